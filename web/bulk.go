package web

import (
	"net/http"
	"net/url"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/dashboard"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/work"
	"turnwise/views"
)

// bulkPatience is how long a request acts on many conversations before it leaves the rest to a job.
const bulkPatience = 1500 * time.Millisecond

// showOnly asks for the list of what is selected, which can be exported or sent to somebody like any other.
const showOnly work.BulkKind = "only"

// act answers POST /conversations/act: something is done to many conversations at once.
func (s *server) act(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	u, _ := accountOf(ctx)
	if err := r.ParseForm(); err != nil {
		return &metric.InputError{Field: "selection", Msg: "is too large"}
	}
	kept, err := url.ParseQuery(r.PostFormValue("query"))
	if err != nil {
		return &metric.InputError{Field: "query", Msg: "is no filter"}
	}
	f, err := s.viewer(r.Context()).Filter(r.Context(), kept)
	if err != nil {
		return err
	}
	run := work.BulkRun{
		ID: queries.NewID(), AccountID: u.ID, Kind: work.BulkKind(r.PostFormValue("do")), CreatedAt: s.Now(),
	}
	if run.Kind == showOnly {
		if r.PostFormValue("all") == "" {
			if f.IDs = r.PostForm["c"]; len(f.IDs) == 0 {
				return &metric.InputError{Field: "selection", Msg: "is empty: choose conversations first"}
			}
			f.Range = metric.Range{Days: metric.MaxDays} // it stays the same when time goes on
		}
		http.Redirect(w, r, dashboard.Address(f), http.StatusSeeOther)
		return nil
	}
	if err := s.describeBulk(r, &run); err != nil {
		return err
	}
	var ids []conversation.UUID
	if r.PostFormValue("all") == "" {
		for _, v := range r.PostForm["c"] {
			id, err := conversation.ParseUUID(v)
			if err != nil {
				return &metric.InputError{Field: "c", Msg: "is no conversation"}
			}
			ids = append(ids, id)
		}
		if len(ids) == 0 {
			return &metric.InputError{Field: "selection", Msg: "is empty: choose conversations first"}
		}
	}
	limits := u.Assistants
	if run.Kind == work.BulkAssign {
		to, err := queries.AccountByID(ctx, s.Pool, *run.Subject)
		if err != nil {
			return err
		}
		if !to.Rights()[access.Review] {
			return &metric.InputError{Field: "colleague", Msg: "may not read conversations"}
		}
		limits = metric.Filter{Assistants: limits}.LimitTo(to.Assistants).Assistants // what both may see
	}
	p, err := queries.LoadPseudonyms(ctx, s.Pool)
	if err != nil {
		return err
	}
	if err := s.audited(r, func(tx pgx.Tx) (d deed, err error) {
		run, err = work.StartBulk(ctx, tx, run, ids, f, limits, s.Now(), s.Zone)
		after := map[string]any{"conversations": len(ids)}
		if len(ids) == 0 { // all of the filter
			after = map[string]any{"filter": withoutPeople(f, p).Encode()}
		}
		return deed{act: queries.AuditBulkDone, id: run.ID.String(), name: run.Words, after: after}, err
	}); err != nil {
		return err
	}
	if err := s.goOn(r, run.ID); err != nil {
		return err
	}
	http.Redirect(
		w, r, "/acts/"+run.ID.String()+"?"+url.Values{"back": {dashboard.Address(f)}}.Encode(), http.StatusSeeOther,
	)
	return nil
}

// goOn works at a run for a moment.
func (s *server) goOn(r *http.Request, id conversation.UUID) error {
	ctx := r.Context()
	for until := time.Now().Add(bulkPatience); time.Now().Before(until); {
		var more bool
		err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) (err error) {
			more, err = work.ContinueBulk(ctx, tx, &id, s.Now())
			return err
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// describeBulk reads what is to be done.
func (s *server) describeBulk(r *http.Request, run *work.BulkRun) error {
	switch run.Kind {
	case work.BulkTag, work.BulkUntag:
		tags, err := work.TagChoices(r.Context(), s.Pool, "", limitsOf(r.Context()))
		if err != nil {
			return err
		}
		for _, t := range tags {
			if t.ID.String() == r.PostFormValue("tag") {
				run.Subject, run.Words = &t.ID, "Tag “"+t.Name+"” added"
				if run.Kind == work.BulkUntag {
					run.Words = "Tag “" + t.Name + "” removed"
				}
				return nil
			}
		}
		return &metric.InputError{Field: "tag", Msg: "is to be chosen first"}
	case work.BulkAssign:
		people, err := work.Colleagues(r.Context(), s.Pool)
		if err != nil {
			return err
		}
		for _, p := range people {
			if p.ID.String() == r.PostFormValue("to") {
				run.Subject, run.Words = &p.ID, "Assigned to "+p.Name
				return nil
			}
		}
		return &metric.InputError{Field: "colleague", Msg: "is to be chosen first"}
	case work.BulkReview:
		run.Words = "Marked as reviewed"
		return nil
	}
	return &metric.InputError{Field: "do", Msg: "is tag, untag, assign or review"}
}

// bulkRun answers GET /acts/{id}: how far it is.
func (s *server) bulkRun(w http.ResponseWriter, r *http.Request) error {
	u, _ := accountOf(r.Context())
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	run, err := work.BulkByID(r.Context(), s.Pool, id, u.ID)
	if err != nil {
		return err
	}
	m := views.BulkRun{
		Page: s.page(r, run.Words, "Conversations"), ID: id.String(), Words: run.Words, Total: run.Total,
		Done: run.Done, Changed: run.Changed, Undo: run.Undo, Ended: run.EndedAt != nil,
		Back: local(r.URL.Query().Get("back")),
	}
	if m.Back == "/" {
		m.Back = "/conversations"
	}
	return s.renderEither(w, r, views.BulkPage(m), views.BulkView(m))
}

// undoBulk answers POST /acts/{id}/undo: of a run, or of one act.
func (s *server) undoAct(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	u, _ := accountOf(r.Context())
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	if err := work.UndoBulk(r.Context(), s.Pool, id, u.ID); err != nil {
		return err
	}
	if err := s.goOn(r, id); err != nil {
		return err
	}
	http.Redirect(
		w, r, "/acts/"+id.String()+"?"+url.Values{"back": {local(r.PostFormValue("back"))}}.Encode(),
		http.StatusSeeOther,
	)
	return nil
}
