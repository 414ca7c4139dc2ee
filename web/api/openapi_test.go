package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"turnwise/queries/dbtest"
	"turnwise/web/api"
)

// described is the API as its document describes it, in the words of OpenAPI 3.0.
func described(t *testing.T, site string) (*openapi3.T, routers.Router) {
	t.Helper()
	b, err := json.Marshal(api.Document(site, "test"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return doc, router
}

// asDescribed holds an answer against the document.
func (s *service) asDescribed(resp *http.Response, body string) {
	s.t.Helper()
	route, params, err := s.router.FindRoute(resp.Request)
	if err != nil {
		if resp.StatusCode != 404 && resp.StatusCode != 405 && resp.StatusCode != 204 {
			s.t.Errorf("%s %s: %d, and %v", resp.Request.Method, resp.Request.URL, resp.StatusCode, err)
		}
		return
	}
	if resp.StatusCode == 200 && strings.HasSuffix(route.Path, "/download") { // a file
		kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		if route.Operation.Responses.Status(200).Value.Content[kind] == nil {
			s.t.Errorf("%s: nobody is told of %s", resp.Request.URL, kind)
		}
		return
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: resp.Request, PathParams: params, Route: route,
		},
		Status: resp.StatusCode, Header: resp.Header, Body: io.NopCloser(bytes.NewReader([]byte(body))),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(s.t.Context(), in); err != nil {
		s.t.Errorf("%s %s: %v", resp.Request.Method, resp.Request.URL, err)
	}
}

// TestDocument: the document names every route, says that in the words of 3.1, and closes its objects in tests, so that
// no member is left out.
func TestDocument(t *testing.T) {
	t.Parallel()
	s := newService(t, dbtest.Pool(t), time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), nil)
	resp, body := s.ask("GET", "", "/openapi.json", "")
	if resp.StatusCode != 200 {
		t.Fatal(resp.StatusCode, body)
	}
	if strings.Contains(body, `"nullable"`) || !strings.Contains(body, `"openapi":"3.1.0"`) ||
		!strings.Contains(body, `"type":["number","null"]`) {
		t.Errorf("it is not of 3.1: %.300s", body)
	}
	var doc struct {
		Paths map[string]map[string]struct{ OperationID string }
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatal(err)
	}
	var named []string
	ids := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, x := range methods {
			named = append(named, strings.ToUpper(method)+" /api/v1"+path)
			if x.OperationID == "" || ids[x.OperationID] {
				t.Errorf("%s %s: the id %q is none of its own", method, path, x.OperationID)
			}
			ids[x.OperationID] = true
		}
	}
	want := slices.DeleteFunc(api.Patterns(), func(p string) bool { return strings.HasSuffix(p, "/ingest/webhooks/{id}") })
	slices.Sort(named)
	slices.Sort(want)
	if !slices.Equal(named, want) {
		t.Errorf("it names %q, the routes are %q", named, want)
	}
}
