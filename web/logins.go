package web

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/access"
	"turnwise/queries"
	"turnwise/views"
)

const seesSome = "Your account sees some assistants only, and logins see all."

// loginName is how logins of the database may be called.
var loginName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)

// showLogins renders the page of logins.
func (s *server) showLogins(w http.ResponseWriter, r *http.Request, status int, m views.Logins) error {
	ctx := r.Context()
	m.Page, m.Schemas = s.page(r, "Logins", "Admin"), queries.VendorSchemas
	m.MayTexts, m.Limited = mayTexts(ctx), limitsOf(ctx) != nil
	all, err := queries.Readers(ctx, s.Pool)
	if err != nil {
		return err
	}
	for _, x := range all {
		m.Rows = append(m.Rows, views.LoginRow{Name: x.Name, Schema: x.Schema, Texts: x.Texts, Assistants: x.Assistants})
	}
	choices, err := s.viewer(ctx).Choices(ctx)
	if err != nil {
		return err
	}
	m.Assistants = choices.Assistants
	return s.render(w, r, status, views.LoginsPage(m))
}

// mayTexts tells whether somebody may let a program read what was said, as it is stored.
func mayTexts(ctx context.Context) bool {
	return may(ctx, access.SeeTranscripts) && may(ctx, access.SeePersonal)
}

// logins answers GET /admin/logins.
func (s *server) logins(w http.ResponseWriter, r *http.Request) error {
	m := views.Logins{}
	if r.URL.Query().Get("said") == "removed" {
		m.Said = "The login is removed."
	}
	return s.showLogins(w, r, http.StatusOK, m)
}

// keeping does something on a connection that may make logins.
func (s *server) keeping(ctx context.Context, do func(*pgxpool.Pool) error) error {
	if s.Keeping == nil {
		return do(s.Pool)
	}
	return s.Keeping(ctx, do)
}

// changeLogin writes a change of logins and its entry of the audit log: both, or neither.
func (s *server) changeLogin(r *http.Request, do func(tx pgx.Tx) (deed, error)) error {
	ctx := r.Context()
	return s.keeping(ctx, func(pool *pgxpool.Pool) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			d, err := do(tx)
			if err != nil {
				return err
			}
			return queries.Record(ctx, tx, s.actor(r), s.Now(), d.act, d.id, d.name, d.before, d.after)
		})
	})
}

// makeLogin answers POST /admin/logins. The answer shows the password, so it is no redirect.
func (s *server) makeLogin(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	ctx := r.Context()
	x := queries.Reader{Name: r.PostFormValue("name"), Schema: r.PostFormValue("schema"), Texts: r.PostFormValue("texts") == "yes"}
	x.Assistants = r.PostForm["assistants"]
	m := views.Logins{Name: x.Name, Schema: x.Schema, Texts: x.Texts, Only: x.Assistants}
	switch {
	case limitsOf(ctx) != nil:
		m.Error = seesSome
	case x.Texts && !mayTexts(ctx):
		m.Error = "Your account may not see all of what was said, so a login of yours may not either."
	case !loginName.MatchString(x.Name), x.Name == "public", x.Name == "none", strings.HasPrefix(x.Name, "pg_"):
		m.Error = "A name has small letters, digits and _, at most 40, and begins with a letter or _. Names that begin with pg_, public and none belong to PostgreSQL."
	case x.Schema == "" && len(x.Assistants) > 0:
		m.Error = "A login of Turnwise's own tables sees all assistants. Choose the tables of another product, or tick no assistant."
	case x.Schema != "" && !slices.Contains(queries.VendorSchemas, x.Schema):
		return queries.ErrNotFound
	}
	if m.Error != "" {
		return s.showLogins(w, r, http.StatusUnprocessableEntity, m)
	}
	password, made := rand.Text(), false
	err := s.changeLogin(r, func(tx pgx.Tx) (d deed, err error) {
		made, err = queries.SetReader(ctx, tx, x, password)
		return deed{act: queries.AuditReaderMade, name: x.Name, after: map[string]any{"schema": x.Schema, "texts": x.Texts, "assistants": x.Assistants}}, err
	})
	switch {
	case errors.Is(err, queries.ErrNotOurs):
		m.Error = "The database has another role of this name. Choose another name."
	case errors.Is(err, queries.ErrMayNot):
		m.Error = "The login by which Turnwise uses the database may not make logins. Give it createrole, or run turnwise reader create with one that has it."
	case errors.Is(err, queries.ErrNotFound):
		m.Error = "The schema " + x.Schema + " is not there. The log of the server says why."
	case err != nil:
		return err
	case made:
		m = views.Logins{Made: x.Name, Password: password, Address: s.databaseAddress(x.Name, password)}
	default:
		m = views.Logins{Said: "The login " + x.Name + " reads what the form says from now on."}
	}
	if m.Error != "" {
		return s.showLogins(w, r, http.StatusUnprocessableEntity, m)
	}
	return s.showLogins(w, r, http.StatusOK, m)
}

// removeLogin answers POST /admin/logins/remove.
func (s *server) removeLogin(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	ctx, name := r.Context(), r.PostFormValue("name")
	if limitsOf(ctx) != nil {
		return s.showLogins(w, r, http.StatusUnprocessableEntity, views.Logins{Error: seesSome})
	}
	err := s.changeLogin(r, func(tx pgx.Tx) (deed, error) {
		return deed{act: queries.AuditReaderDropped, name: name}, queries.DropReader(ctx, tx, name)
	})
	if errors.Is(err, queries.ErrNotOurs) {
		err = queries.ErrNotFound
	}
	if errors.Is(err, queries.ErrMayNot) {
		return s.showLogins(w, r, http.StatusUnprocessableEntity, views.Logins{Error: "The login by which Turnwise uses the database may not remove logins. Run turnwise reader drop with one that may."})
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/admin/logins?said=removed", http.StatusSeeOther)
	return nil
}
