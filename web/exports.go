package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/dashboard"
	"turnwise/jobs"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/report"
	"turnwise/views"
)

// smallExport is up to how many conversations a file is made while the browser waits.
const smallExport = 2000

// makeExport answers POST /exports: a small file comes at once, a large one is made in the background.
func (s *server) makeExport(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	kept, err := url.ParseQuery(r.PostFormValue("query"))
	if err != nil {
		return &metric.InputError{Field: "query", Msg: "is no filter"}
	}
	u, _ := accountOf(ctx)
	x, err := s.wanted(ctx, kept, r.PostFormValue("grain"), r.PostFormValue("format"), u)
	if err != nil {
		return err
	}
	reason, clear, err := s.clear(r, r.PostFormValue("clear"))
	if err != nil {
		return err
	}
	x.Clear = clear
	now := s.Now()
	n, more, err := s.viewer(ctx).Total(ctx, x.Filter, now)
	if err != nil {
		return err
	}
	name := x.FileName(now, s.Zone)
	after, err := s.exportDeed(ctx, x, reason)
	if err != nil {
		return err
	}
	made := deed{act: queries.AuditExportMade, name: name, after: after}
	if !more && n <= smallExport {
		if err := s.noted(r, made); err != nil {
			return err
		}
		return s.stream(w, r, x, name)
	}
	if more {
		n = 0
	}
	e := queries.ExportFile{
		ID: queries.NewID(), AccountID: &u.ID, Title: x.Title, Query: x.Filter.Encode(), Grain: x.Grain,
		Format: string(x.Format), FileName: name, Total: n, CreatedAt: now, Clear: x.Clear,
	}
	made.id = e.ID.String()
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		if err := queries.AddExport(ctx, tx, e); err != nil {
			return made, err
		}
		return made, s.Jobs.Add(ctx, tx, jobs.ExportArgs{ID: e.ID.String()})
	}); err != nil {
		return err
	}
	http.Redirect(w, r, "/exports/"+e.ID.String(), http.StatusSeeOther)
	return nil
}

// rows answers GET /rows, for programs: a row for each conversation, turn, message, event or user of a filter, streamed
// in whole.
func (s *server) rows(w http.ResponseWriter, r *http.Request) error {
	ctx, q := r.Context(), r.URL.Query()
	u, _ := accountOf(ctx)
	x, err := s.wanted(ctx, q, q.Get("grain"), q.Get("format"), u)
	if err != nil {
		return err
	}
	reason, clear, err := s.clear(r, q.Get("clear"))
	if err != nil {
		return err
	}
	x.Clear = clear
	name := x.FileName(s.Now(), s.Zone)
	after, err := s.exportDeed(ctx, x, reason)
	if err != nil {
		return err
	}
	if err := s.noted(r, deed{act: queries.AuditExportMade, name: name, after: after}); err != nil {
		return err
	}
	return s.stream(&steady{w}, r, x, name)
}

// wanted reads what is to be taken out.
func (s *server) wanted(
	ctx context.Context, query url.Values, grain, format string, u access.Account,
) (x report.Wanted, err error) {
	x = report.Wanted{Grain: queries.Grain(grain), By: u.Name}
	if !slices.Contains(queries.Grains, x.Grain) && x.Grain != queries.ByUser {
		return x, &metric.InputError{Field: "grain", Msg: "is one of conversation, turn, message, event, user"}
	}
	if x.Format, err = report.ParseFormat(format); err != nil {
		return x, err
	}
	if x.Filter, err = s.viewer(ctx).Filter(ctx, query); err != nil {
		return x, err
	}
	x.Title = dashboard.ListHeading(x.Filter)
	switch x.Grain {
	case queries.ByConversation:
	case queries.ByUser:
		x.Title = dashboard.UsersHeading(x.Filter)
	default:
		x.Title += ", by " + string(x.Grain)
	}
	return x, nil
}

func (s *server) exportDeed(ctx context.Context, x report.Wanted, reason string) (map[string]any, error) {
	p, err := queries.LoadPseudonyms(ctx, s.Pool)
	if err != nil {
		return nil, err
	}
	d := map[string]any{"grain": x.Grain, "format": x.Format, "filter": withoutPeople(x.Filter, p).Encode()}
	if x.Clear {
		d["in_the_clear"] = reason
	}
	return d, nil
}

// stream writes the rows while they are read.
func (s *server) stream(w http.ResponseWriter, r *http.Request, x report.Wanted, name string) error {
	ctx := r.Context()
	w.Header().Set("Content-Type", x.Format.ContentType())
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	out := &late{ResponseWriter: w}
	if _, err := report.WriteRows(ctx, s.Pool, out, x, s.Now(), s.Zone, func(int64) {}); err != nil {
		if out.begun {
			s.Log.ErrorContext(ctx, "an export broke off", "error", err)
			panic(http.ErrAbortHandler) // the file must not look whole
		}
		w.Header().Del("Content-Disposition")
		return err
	}
	return nil
}

// late tells whether anything was written.
type late struct {
	http.ResponseWriter
	begun bool
}

// Write writes.
func (l *late) Write(b []byte) (int, error) {
	l.begun = true
	return l.ResponseWriter.Write(b)
}

// exportByURL returns the export of the address, if it is the user's or the user is an admin.
func (s *server) exportByURL(r *http.Request) (e queries.ExportFile, err error) {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return e, queries.ErrNotFound
	}
	u, _ := accountOf(r.Context())
	e, err = queries.ExportByID(r.Context(), s.Pool, id)
	if err == nil && (e.AccountID == nil || *e.AccountID != u.ID) && !u.Rights()[access.Administer] {
		return e, queries.ErrNotFound
	}
	if err == nil && !s.viewer(r.Context()).Within(r.Context(), e.Query) { // made before the user was limited
		return e, queries.ErrNotFound
	}
	return e, err
}

func (s *server) exportRow(e queries.ExportFile) views.ExportRow {
	return views.ExportRow{
		ID: e.ID.String(), Title: e.Title, Grain: string(e.Grain), Format: e.Format, State: e.State, Rows: e.Rows,
		Total: e.Total, Bytes: e.Bytes, Error: e.Error, By: e.By,
		CreatedAt: e.CreatedAt, EndedAt: e.EndedAt, ExpiresAt: e.ExpiresAt, List: "/conversations?" + e.Query,
	}
}

// export answers GET /exports/{id}: how far a file is, and where it can be fetched.
func (s *server) export(w http.ResponseWriter, r *http.Request) error {
	e, err := s.exportByURL(r)
	if err != nil {
		return err
	}
	m := views.Export{Page: s.page(r, "Export", "Reports"), ExportRow: s.exportRow(e)}
	return s.renderEither(w, r, views.ExportPage(m), views.ExportView(m))
}

// cancelExport answers POST /exports/{id}/cancel.
func (s *server) cancelExport(w http.ResponseWriter, r *http.Request) error {
	e, err := s.exportByURL(r)
	if err != nil {
		return err
	}
	ctx := r.Context()
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		return deed{
			act: queries.AuditExportCancelled, id: e.ID.String(), name: e.Title,
		}, queries.CancelExport(ctx, tx, e.ID, s.Now())
	}); err != nil && !errors.Is(err, queries.ErrNotFound) { // it may have ended meanwhile
		return err
	}
	http.Redirect(w, r, "/exports/"+e.ID.String(), http.StatusSeeOther)
	return nil
}

// downloadExport answers GET /exports/{id}/file.
func (s *server) downloadExport(w http.ResponseWriter, r *http.Request) error {
	e, err := s.exportByURL(r)
	if err != nil {
		return err
	}
	ctx := r.Context()
	if e.State != queries.ExportDone || e.Clear && !may(ctx, access.SeePersonal) {
		return queries.ErrNotFound
	}
	if err := s.noted(r, deed{act: queries.AuditExportFetched, id: e.ID.String(), name: e.FileName}); err != nil {
		return err
	}
	return s.sendParts(
		w, r, report.Format(e.Format).ContentType(), e.FileName, e.Bytes,
		func(n int) ([]byte, error) { return queries.ExportPart(ctx, s.Pool, e.ID, n) },
	)
}

// sendParts writes the parts of a file.
func (s *server) sendParts(
	w http.ResponseWriter, r *http.Request, kind, name string, size int64, part func(n int) ([]byte, error),
) error {
	ctx := r.Context()
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	w = &steady{w}
	var sent int64
	for n := 0; sent < size; n++ {
		body, err := part(n)
		if err != nil {
			s.Log.WarnContext(ctx, "a download broke off", "error", err)
			panic(http.ErrAbortHandler) // the file must not look whole
		}
		if _, err := w.Write(body); err != nil {
			return nil //nolint:nilerr // the client is gone
		}
		sent += int64(len(body))
	}
	return nil
}
