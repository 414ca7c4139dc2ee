package web

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"turnwise/metric"
)

// largestForm is the largest body that any form has; most handlers take far less.
const largestForm = 4<<20 + 256<<10

// legible lets through what can be read and stored as text: in addresses and forms no bytes that are no UTF-8 and no
// NUL, and of the names by which lists are ordered and paged only those that the page has.
func (s *server) legible(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := legibleQuery("address", r.URL.RawQuery)
		if err == nil && !text(r.URL.Path) {
			err = &metric.InputError{Field: "address", Msg: notText}
		}
		if err == nil && r.Method == http.MethodGet {
			err = strays(r.URL)
		}
		if err == nil && r.Method == http.MethodPost {
			err = legibleForm(w, r)
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

const notText = "holds bytes that are not text"

func text(v string) bool { return utf8.ValidString(v) && strings.IndexByte(v, 0) < 0 }

func legibleQuery(field, raw string) error {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return &metric.InputError{Field: field, Msg: "is not written as addresses and forms are"}
	}
	for name, all := range values {
		if !text(name) {
			return &metric.InputError{Field: field, Msg: notText}
		}
		for _, v := range all {
			if !text(v) {
				return &metric.InputError{Field: name, Msg: notText}
			}
		}
	}
	return nil
}

func legibleForm(w http.ResponseWriter, r *http.Request) error {
	most := int64(largestForm)
	if _, known := accountOf(r.Context()); !known {
		most = 64 << 10 // as much as those have that are for everybody
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &metric.InputError{Field: "form", Msg: "is too large"}
	}
	if err != nil {
		return &metric.InputError{Field: "form", Msg: "could not be read to its end"}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	switch kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind {
	case "application/x-www-form-urlencoded":
		return legibleQuery("form", string(body))
	case "multipart/form-data": // net/http would read it as one
		return &metric.InputError{Field: "form", Msg: "is of a kind that no page here sends"}
	}
	return nil // nothing is read of it as a form
}

// orders are names by which lists are ordered and paged, and where each means something. A name that a page ignores
// would promise what is not so.
var orders = map[string][]string{
	"sort":   {"/flows", "/documents/flows"},
	"order":  {"/conversations", "/conversations/"},
	"cols":   {"/conversations", "/conversations/"},
	"page":   {"/conversations", "/conversations/", "/users/list", "/rejected", "/reports/edit", "/reports/next"},
	"after":  {"/conversations/", "/turns", "/queues/"},
	"before": {"/conversations/", "/admin/audit"},
	"rows": {
		"/overview", "/latency", "/csat", "/flows", "/flow", "/intents", "/users", "/compare", "/paths", "/funnel",
	},
	"cursor": nil, "offset": nil, "limit": nil,
}

// strays refuses what a page does not know.
func strays(at *url.URL) error {
	for name := range at.Query() {
		where, known := orders[name]
		if !known || slices.ContainsFunc(where, func(path string) bool {
			return at.Path == path || strings.HasSuffix(path, "/") && strings.HasPrefix(at.Path, path)
		}) {
			continue
		}
		return &metric.InputError{Field: name, Msg: "is nothing that this page knows"}
	}
	return nil
}
