package web

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"turnwise/compat"
	"turnwise/queries"
	"turnwise/views"
)

const (
	answerRows = 20 // that the page of examples shows
	answerTime = 10 * time.Second
)

// schemaOf reads which schema of another product is asked for.
func schemaOf(r *http.Request) (string, error) {
	schema := r.URL.Query().Get("schema")
	if schema == "" {
		schema = queries.VendorSchemas[0]
	}
	if !slices.Contains(queries.VendorSchemas, schema) {
		return "", queries.ErrNotFound
	}
	return schema, nil
}

// sqlHelp answers GET /admin/sql.
func (s *server) sqlHelp(w http.ResponseWriter, r *http.Request) error {
	schema, err := schemaOf(r)
	if err != nil {
		return err
	}
	m := views.SQLHelp{
		Page: s.page(r, "SQL", "Admin"), Schemas: queries.VendorSchemas, Schema: schema, Limited: limitsOf(r.Context()) != nil,
		Address: s.databaseAddress("NAME", "PASSWORD"), Private: s.onSocket(),
	}
	examples, err := compat.Examples(schema)
	if err != nil {
		return err
	}
	for _, e := range examples {
		m.Examples = append(m.Examples, views.SQLExample(e))
	}
	tables, err := compat.Tables(schema)
	if err != nil {
		return err
	}
	for _, t := range tables {
		x := views.SQLTable{Name: t.Name, Meaning: t.Meaning}
		for _, c := range t.Columns {
			typ := c.Type
			if c.Null {
				typ += "?"
			}
			x.Columns = append(x.Columns, views.SQLColumn{Name: c.Name, Type: typ, Meaning: c.Meaning})
		}
		m.Tables = append(m.Tables, x)
	}
	return s.render(w, r, http.StatusOK, views.SQLPage(m))
}

// sqlAnswer answers GET /admin/sql/answer: what an example returns now.
func (s *server) sqlAnswer(w http.ResponseWriter, r *http.Request) error {
	schema, err := schemaOf(r)
	if err != nil {
		return err
	}
	examples, err := compat.Examples(schema)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil || n < 0 || n >= len(examples) || limitsOf(r.Context()) != nil {
		return queries.ErrNotFound
	}
	a, err := compat.Ask(r.Context(), s.Pool, schema, examples[n].SQL, answerRows, answerTime)
	if err != nil {
		return err
	}
	m := views.SQLAnswer(a)
	return s.render(w, r, http.StatusOK, views.SQLAnswerView(m))
}

// databaseAddress is the connection string of a login. Of a private database nothing but the socket is known.
func (s *server) databaseAddress(name, password string) string {
	c := s.Pool.Config().ConnConfig
	u := url.URL{Scheme: "postgresql", User: url.UserPassword(name, password), Path: "/" + c.Database}
	if s.onSocket() {
		u.RawQuery = url.Values{"host": {c.Host}}.Encode()
		return u.String()
	}
	u.Host = net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
	return u.String()
}

// onSocket tells whether the database is reached by a socket of this machine.
func (s *server) onSocket() bool {
	host := s.Pool.Config().ConnConfig.Host
	return host == "" || host[0] == '/'
}
