package web

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/dashboard"
	"turnwise/jobs"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/secret"
	"turnwise/views"
)

// outgoingPath is below which the pages of outgoing webhooks are.
const outgoingPath = "/admin/outgoing-webhooks"

// outgoingEvents are the events that a webhook can be told of.
var outgoingEvents = []string{queries.EventEnded, queries.EventReviewed}

// outgoingShown is how many deliveries a page shows.
const outgoingShown = 50

// outgoing answers GET /admin/outgoing-webhooks.
func (s *server) outgoing(w http.ResponseWriter, r *http.Request) error {
	all, err := queries.OutgoingWebhooks(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	counts, err := queries.CountOutgoing(r.Context(), s.Pool, conversation.UUID{})
	if err != nil {
		return err
	}
	m := views.OutgoingWebhooks{Page: s.page(r, "Outgoing webhooks", "Admin")}
	if r.URL.Query().Get("said") == "deleted" {
		m.Said = "The webhook is deleted, with its deliveries."
	}
	for i := range all {
		m.Rows = append(m.Rows, s.outgoingRow(r, &all[i], counts[all[i].ID]))
	}
	return s.render(w, r, http.StatusOK, views.OutgoingWebhooksPage(m))
}

func (s *server) outgoingRow(r *http.Request, x *queries.OutgoingWebhook, c queries.OutgoingCounts) views.OutgoingRow {
	row := views.OutgoingRow{
		ID: x.ID.String(), Name: x.Name, URL: x.URL, Events: x.Events, Query: x.Query, Headers: x.Headers,
		Active: x.ActiveSince != nil, FailingSince: x.FailingSince, RetryAt: x.RetryAt, PausedBecause: x.PausedBecause,
		Waiting: c.Waiting, Failed: c.Failed, LastSent: c.LastSent, Revision: x.Revision,
	}
	f, err := jobs.OutgoingFilter(r.Context(), s.viewer(r.Context()), x.Query)
	if row.Filter = dashboard.FilterWords(f); err != nil {
		row.Filter = "The filter cannot be read any more: nothing is sent. Save it again."
	}
	return row
}

// newOutgoing answers GET /admin/outgoing-webhooks/new.
func (s *server) newOutgoing(w http.ResponseWriter, r *http.Request) error {
	return s.outgoingForm(w, r, http.StatusOK, views.OutgoingForm{
		ID: queries.NewID().String(), Events: outgoingEvents[:1], Filter: r.URL.Query().Get("filter"),
	})
}

// editOutgoing answers GET /admin/outgoing-webhooks/{id}/edit.
func (s *server) editOutgoing(w http.ResponseWriter, r *http.Request) error {
	x, err := s.outgoingByURL(r)
	if err != nil {
		return err
	}
	return s.outgoingForm(w, r, http.StatusOK, views.OutgoingForm{
		ID: x.ID.String(), Revision: x.Revision, Name: x.Name, URL: x.URL, Events: x.Events, Filter: x.Query,
		Kept: x.Headers,
	})
}

func (s *server) outgoingForm(w http.ResponseWriter, r *http.Request, status int, m views.OutgoingForm) error {
	m.Page, m.HasKey, m.AllEvents = s.page(r, "Outgoing webhook", "Admin"), s.Box != nil, outgoingEvents
	return s.render(w, r, status, views.OutgoingFormPage(m))
}

func (s *server) outgoingByURL(r *http.Request) (queries.OutgoingWebhook, error) {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.OutgoingWebhook{}, queries.ErrNotFound
	}
	return queries.OutgoingWebhookByID(r.Context(), s.Pool, id)
}

// outgoingWebhook answers GET /admin/outgoing-webhooks/{id}: one with its deliveries.
func (s *server) outgoingWebhook(w http.ResponseWriter, r *http.Request) error {
	x, err := s.outgoingByURL(r)
	if err != nil {
		return err
	}
	return s.showOutgoing(w, r, x, "")
}

// showOutgoing shows a webhook. key is one that was just made, and is shown this once.
func (s *server) showOutgoing(w http.ResponseWriter, r *http.Request, x queries.OutgoingWebhook, key string) error {
	ctx, q := r.Context(), r.URL.Query()
	m := views.OutgoingWebhook{
		Page: s.page(r, x.Name, "Admin"), Key: key, Said: map[string]string{
			"saved": "Saved.", "test": "A test message is on its way.", "paused": "Paused. What happens from now on is not sent.",
			"resumed": "Active. What happens from now on is sent, and what waited.", "retry": "Trying again.",
		}[q.Get("said")],
	}
	if show := q.Get("show"); show == "waiting" || show == "failed" {
		m.Show = show
	}
	var at *time.Time
	var after conversation.UUID
	if c, err := metric.ParseCursor(q.Get("page")); err != nil {
		return err
	} else if c != nil {
		t := time.UnixMicro(c.At)
		at, after = &t, c.ID
	}
	log, err := queries.OutgoingLog(ctx, s.Pool, x.ID, m.Show, at, after, outgoingShown+1)
	if err != nil {
		return err
	}
	// Counted last: a page that says that nothing waits is not loaded again.
	counts, err := queries.CountOutgoing(ctx, s.Pool, x.ID)
	if err != nil {
		return err
	}
	m.OutgoingRow = s.outgoingRow(r, &x, counts[x.ID])
	if len(log) > outgoingShown {
		log = log[:outgoingShown]
		last := log[outgoingShown-1]
		older := url.Values{"page": {metric.Cursor{At: last.CreatedAt.UnixMicro(), ID: last.ID}.String()}}
		if m.Show != "" {
			older.Set("show", m.Show)
		}
		m.Older = older.Encode()
	}
	for i := range log {
		d := &log[i]
		row := views.OutgoingDelivery{
			ID: d.ID.String(), Event: d.Event, At: d.HappenedAt, State: d.State, Attempts: d.Attempts, RetryAt: d.RetryAt,
			Status: d.Status, TookMS: d.TookMS, Error: d.Error, Body: pretty([]byte(d.Body)), SentAt: d.SentAt,
		}
		if d.ConversationID != nil {
			row.Conversation = d.ConversationID.String()
		}
		m.Log = append(m.Log, row)
	}
	return s.render(w, r, http.StatusOK, views.OutgoingWebhookPage(m))
}

// newKey draws a key that messages are signed with.
func newKey() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(b[:])
}

// keepOutgoing answers POST /admin/outgoing-webhooks.
func (s *server) keepOutgoing(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 256<<10)
	if err := r.ParseForm(); err != nil {
		return &metric.InputError{Field: "form", Msg: "is too large"}
	}
	p := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	id, err := conversation.ParseUUID(p("id"))
	revision, bad := strconv.ParseInt(p("revision"), 10, 32)
	if err != nil || bad != nil {
		return &metric.InputError{Field: "id", Msg: "is missing: open the form again"}
	}
	var was queries.OutgoingWebhook
	if revision > 0 {
		if was, err = queries.OutgoingWebhookByID(ctx, s.Pool, id); err != nil {
			return err
		}
	}
	x := was
	x.ID, x.Revision = id, int32(revision)
	key, err := s.parseOutgoing(r, &x, was)
	if err == nil {
		err = s.audited(r, func(tx pgx.Tx) (deed, error) {
			d := deed{act: queries.AuditOutgoingMade, id: x.ID.String(), name: x.Name, after: outgoingDeed(x)}
			if revision == 0 {
				return d, queries.AddOutgoingWebhook(ctx, tx, x, s.Now())
			}
			d.act, d.before = queries.AuditOutgoingChanged, outgoingDeed(was)
			return d, queries.ChangeOutgoingWebhook(ctx, tx, x, s.Now())
		})
	}
	wrong := ""
	var input *metric.InputError
	switch {
	case errors.Is(err, queries.ErrConflict):
		now, err := queries.OutgoingWebhookByID(ctx, s.Pool, id)
		if err != nil && !errors.Is(err, queries.ErrNotFound) {
			return err
		}
		switch {
		case err != nil || now.Revision == int32(revision):
			wrong = "Another outgoing webhook has this name."
		case revision == 0: // the form was sent twice
			http.Redirect(w, r, outgoingPath+"/"+id.String()+"?said=saved", http.StatusSeeOther)
			return nil
		default:
			wrong = "Somebody else changed this webhook meanwhile: open it again."
		}
	case errors.Is(err, secret.ErrNoKey):
		wrong = "Secrets cannot be kept: start the server with TURNWISE_SECRET_KEY."
	case errors.As(err, &input):
		wrong = "The " + input.Field + " " + input.Msg + "."
	case err != nil:
		return err
	case key != "":
		if x, err = queries.OutgoingWebhookByID(ctx, s.Pool, id); err != nil {
			return err
		}
		return s.showOutgoing(w, r, x, key)
	default:
		http.Redirect(w, r, outgoingPath+"/"+id.String()+"?said=saved", http.StatusSeeOther)
		return nil
	}
	return s.outgoingForm(w, r, http.StatusUnprocessableEntity, views.OutgoingForm{
		Error: wrong, ID: id.String(), Revision: int32(revision), Name: p("name"), URL: p("url"), Events: r.PostForm["events"],
		Filter: p("filter"), Headers: r.PostFormValue("headers"), Kept: was.Headers,
	})
}

func outgoingDeed(x queries.OutgoingWebhook) map[string]any {
	return map[string]any{"name": x.Name, "url": x.URL, "events": x.Events, "filter": x.Query, "headers": append([]string{}, x.Headers...)}
}

// parseOutgoing reads the form into the webhook, and returns the key if it made one.
func (s *server) parseOutgoing(r *http.Request, x *queries.OutgoingWebhook, was queries.OutgoingWebhook) (string, error) {
	p := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	u, _ := accountOf(r.Context())
	x.Name, x.URL, x.Events, x.ChangedBy = strings.Join(strings.Fields(p("name")), " "), p("url"), nil, u.Email
	if !fits(x.Name, 1, 100) {
		return "", &metric.InputError{Field: "name", Msg: "is needed, and at most 100 characters long"}
	}
	at, err := url.Parse(x.URL)
	if err != nil || at.Scheme != "https" && at.Scheme != "http" || at.Host == "" || at.User != nil || !fits(x.URL, 1, 2000) {
		return "", &metric.InputError{
			Field: "URL", Msg: "is one such as https://crm.example.org/turnwise, without a password in it",
		}
	}
	if err := s.Internal.Admits(r.Context(), at); err != nil {
		return "", &metric.InputError{Field: "URL", Msg: err.Error()}
	}
	for _, e := range outgoingEvents {
		if slices.Contains(r.PostForm["events"], e) {
			x.Events = append(x.Events, e)
		}
	}
	if len(x.Events) == 0 {
		return "", &metric.InputError{Field: "events", Msg: "are needed: choose at least one"}
	}
	if x.Query, err = s.pastedFilter(r, p("filter")); err != nil {
		return "", err
	}
	var secrets jobs.WebhookSecrets
	if x.Revision > 0 {
		secrets, err = jobs.OpenSecrets(s.Box, was)
	}
	closed := errors.Is(err, secret.ErrClosed) // the server's key has changed: nobody can use what is kept
	made := x.Revision == 0 || closed
	if made {
		secrets, err = jobs.WebhookSecrets{Key: newKey()}, nil
	}
	if err != nil {
		return "", err
	}
	switch typed := r.PostFormValue("headers"); {
	case strings.TrimSpace(typed) != "":
		if secrets.Headers, x.Headers, err = parseHeaders(typed); err != nil {
			return "", err
		}
	case p("keep") == "" || closed || jobs.OutgoingPlace(*x) != jobs.OutgoingPlace(was):
		if len(was.Headers) > 0 && p("keep") != "" {
			return "", &metric.InputError{Field: "headers", Msg: "cannot be kept, as the URL or the server's key is another: enter them again, or take them out"}
		}
		secrets.Headers, x.Headers = nil, nil
	}
	if !made {
		return "", s.sealOutgoing(x, secrets)
	}
	return secrets.Key, s.sealOutgoing(x, secrets)
}

func (s *server) sealOutgoing(x *queries.OutgoingWebhook, secrets jobs.WebhookSecrets) error {
	text, err := json.Marshal(secrets)
	if err != nil {
		return err
	}
	x.Secret, err = s.Box.Seal(string(text), jobs.OutgoingPlace(*x))
	return err
}

// pastedFilter reads a filter that was pasted: the address of a page, or what stands in it behind the question mark.
// Ranges are left out.
func (s *server) pastedFilter(r *http.Request, text string) (string, error) {
	if _, after, ok := strings.Cut(text, "?"); ok {
		text = after
	}
	q, err := url.ParseQuery(strings.TrimSpace(text))
	if err != nil {
		return "", &metric.InputError{Field: "filter", Msg: "is no address of a page"}
	}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		switch {
		case slices.Contains([]string{"range", "from", "until", "compare", "order", "page", "view", "bucket"}, name):
			q.Del(name)
		case !metric.IsField(name):
			return "", &metric.InputError{Field: "filter", Msg: "does not know “" + name + "”: paste the address of the Conversations page"}
		}
	}
	if _, err = jobs.OutgoingFilter(r.Context(), s.viewer(r.Context()), q.Encode()); err != nil {
		return "", err
	}
	return q.Encode(), nil
}

// onOutgoing does something with a webhook, writes it down and shows the page again.
func (s *server) onOutgoing(
	w http.ResponseWriter, r *http.Request, said string, act queries.AuditAct,
	do func(tx pgx.Tx, x queries.OutgoingWebhook) error,
) error {
	x, err := s.outgoingByURL(r)
	if err != nil {
		return err
	}
	err = s.audited(r, func(tx pgx.Tx) (deed, error) {
		return deed{act: act, id: x.ID.String(), name: x.Name}, do(tx, x)
	})
	if err != nil && !errors.Is(err, queries.ErrNotFound) { // else it is done already
		return err
	}
	http.Redirect(w, r, outgoingPath+"/"+x.ID.String()+"?said="+said, http.StatusSeeOther)
	return nil
}

// testOutgoing answers POST /admin/outgoing-webhooks/{id}/test.
func (s *server) testOutgoing(w http.ResponseWriter, r *http.Request) error {
	return s.onOutgoing(w, r, "test", queries.AuditOutgoingTested, func(tx pgx.Tx, x queries.OutgoingWebhook) error {
		if err := queries.AddDelivery(r.Context(), tx, queries.OutgoingDelivery{
			WebhookID: x.ID, ID: queries.NewID(), Event: queries.EventTest, Body: jobs.TestMessage(x, s.Now()),
		}, s.Now()); err != nil {
			return err
		}
		if err := queries.TryOutgoing(r.Context(), tx, x.ID); err != nil {
			return err
		}
		return s.Jobs.Add(r.Context(), tx, jobs.WebhookArgs{ID: x.ID.String()})
	})
}

// pauseOutgoing answers POST /admin/outgoing-webhooks/{id}/pause.
func (s *server) pauseOutgoing(w http.ResponseWriter, r *http.Request) error {
	return s.onOutgoing(w, r, "paused", queries.AuditOutgoingPaused, func(tx pgx.Tx, x queries.OutgoingWebhook) error {
		return queries.PauseOutgoingWebhook(r.Context(), tx, x.ID)
	})
}

// resumeOutgoing answers POST /admin/outgoing-webhooks/{id}/resume.
func (s *server) resumeOutgoing(w http.ResponseWriter, r *http.Request) error {
	return s.onOutgoing(w, r, "resumed", queries.AuditOutgoingResumed, func(tx pgx.Tx, x queries.OutgoingWebhook) error {
		return queries.ResumeOutgoingWebhook(r.Context(), tx, x.ID, s.Now())
	})
}

// retryOutgoing answers POST /admin/outgoing-webhooks/{id}/retry: sends again what failed, one delivery or all.
func (s *server) retryOutgoing(w http.ResponseWriter, r *http.Request) error {
	one, _ := conversation.ParseUUID(r.PostFormValue("delivery")) // zero: all
	return s.onOutgoing(w, r, "retry", queries.AuditOutgoingRetried, func(tx pgx.Tx, x queries.OutgoingWebhook) error {
		if err := queries.RetryOutgoing(r.Context(), tx, x.ID, one, s.Now()); err != nil {
			return err
		}
		if err := queries.TryOutgoing(r.Context(), tx, x.ID); err != nil {
			return err
		}
		return s.Jobs.Add(r.Context(), tx, jobs.WebhookArgs{ID: x.ID.String()})
	})
}

// keyOutgoing answers POST /admin/outgoing-webhooks/{id}/key: makes a new key, beside which the one before is used for a
// while.
func (s *server) keyOutgoing(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	x, err := s.outgoingByURL(r)
	if err != nil {
		return err
	}
	secrets, err := jobs.OpenSecrets(s.Box, x)
	if errors.Is(err, secret.ErrClosed) {
		secrets, x.Headers, err = jobs.WebhookSecrets{}, nil, nil // nobody can use what is there
	}
	if err != nil {
		return err
	}
	u, _ := accountOf(ctx)
	secrets.Renew(newKey(), s.Now())
	x.ChangedBy = u.Email
	if err := s.sealOutgoing(&x, secrets); err != nil {
		return err
	}
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		return deed{act: queries.AuditOutgoingKey, id: x.ID.String(), name: x.Name},
			queries.ChangeOutgoingWebhook(ctx, tx, x, s.Now())
	}); err != nil {
		return err
	}
	return s.showOutgoing(w, r, x, secrets.Key)
}

// deleteOutgoing answers POST /admin/outgoing-webhooks/{id}/delete.
func (s *server) deleteOutgoing(w http.ResponseWriter, r *http.Request) error {
	x, err := s.outgoingByURL(r)
	if err != nil {
		return err
	}
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		name, err := queries.DeleteOutgoingWebhook(r.Context(), tx, x.ID)
		return deed{act: queries.AuditOutgoingDeleted, id: x.ID.String(), name: name}, err
	}); err != nil {
		return err
	}
	http.Redirect(w, r, outgoingPath+"?said=deleted", http.StatusSeeOther)
	return nil
}
