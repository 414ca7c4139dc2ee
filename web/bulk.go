package web

import (
	"context"
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
		if _, err := selected(r); err != nil {
			return err
		}
		if r.PostFormValue("all") == "" {
			f.IDs = r.PostForm["c"]
			f.Range = metric.Range{Days: metric.MaxDays} // it stays the same when time goes on
		}
		http.Redirect(w, r, dashboard.Address(f), http.StatusSeeOther)
		return nil
	}
	if err := s.describeBulk(r, &run); err != nil {
		return err
	}
	ids, err := selected(r)
	if err != nil {
		return err
	}
	limits, err := s.bulkLimits(ctx, u.Assistants, run)
	if err != nil {
		return err
	}
	if err := s.startBulk(r, run, ids, f, limits); err != nil {
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

func (s *server) startBulk(
	r *http.Request, run work.BulkRun, ids []conversation.UUID, f metric.Filter, limits []string,
) error {
	ctx := r.Context()
	p, err := queries.LoadPseudonyms(ctx, s.Pool)
	if err != nil {
		return err
	}
	return s.audited(r, func(tx pgx.Tx) (deed, error) {
		run, err := work.StartBulk(ctx, tx, run, ids, f, limits, s.Now(), s.Zone)
		after := map[string]any{"conversations": len(ids)}
		if len(ids) == 0 { // all of the filter
			after = map[string]any{"filter": withoutPeople(f, p).Encode()}
		}
		return deed{act: queries.AuditBulkDone, id: run.ID.String(), name: run.Words, after: after}, err
	})
}

// selected are the conversations that were ticked; none where all of the filter are meant.
func selected(r *http.Request) (ids []conversation.UUID, err error) {
	if r.PostFormValue("all") != "" {
		return nil, nil
	}
	for _, v := range r.PostForm["c"] {
		id, err := conversation.ParseUUID(v)
		if err != nil {
			return nil, &metric.InputError{Field: "c", Msg: "is no conversation"}
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil, &metric.InputError{Field: "selection", Msg: "is empty: choose conversations first"}
	}
	return ids, nil
}

// bulkLimits are the assistants whose conversations are meant: those of who asks and, where they are handed to
// somebody, of whom they are handed to.
func (s *server) bulkLimits(ctx context.Context, limits []string, run work.BulkRun) ([]string, error) {
	if run.Kind != work.BulkAssign {
		return limits, nil
	}
	to, err := queries.AccountByID(ctx, s.Pool, *run.Subject)
	if err != nil {
		return nil, err
	}
	if !to.Rights()[access.Review] {
		return nil, &metric.InputError{Field: "colleague", Msg: "may not read conversations"}
	}
	return metric.Filter{Assistants: limits}.LimitTo(to.Assistants).Assistants, nil
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
