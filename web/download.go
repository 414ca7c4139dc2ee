package web

import (
	"bytes"
	"net/http"

	"github.com/go-chi/chi/v5"

	"turnwise/report"
)

// downloadDocument answers GET /documents/{page}: a page of charts as a file.
func (s *server) downloadDocument(w http.ResponseWriter, r *http.Request) error {
	v := s.viewer(r.Context())
	page, err := v.Document(r.Context(), chi.URLParam(r, "page"), r.URL.Query())
	if err != nil {
		return err
	}
	d, err := report.NewDocument(r.Context(), v, page, s.URL)
	if err != nil {
		return err
	}
	return s.attachDocument(w, r, &d)
}

// attachDocument answers with a document as the file that the query asks for.
func (s *server) attachDocument(w http.ResponseWriter, r *http.Request, d *report.Document) error {
	var b bytes.Buffer
	kind, end, err := d.WriteAs(r.Context(), &b, r.URL.Query().Get("as"), s.Now())
	if err != nil {
		return err
	}
	return s.attach(w, r, kind, d.Name+"_"+s.Now().In(s.Zone).Format("2006-01-02")+end, b.Bytes())
}
