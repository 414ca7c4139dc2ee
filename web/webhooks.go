package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/jobs"
	"turnwise/queries"
	"turnwise/secret"
	"turnwise/views"
)

// ownMapping is what a mapping of one's own begins with.
const ownMapping = `name: my-platform
version: 1
description: What it is.
program: |
  event("message"; .time; {conversation_id: .conversation, message_id: .id, author: "user", text: .text})
tests: []
`

// noMappings is for sites that take no webhooks.
type noMappings struct{}

func (noMappings) Shipped() []views.ShippedMapping { return nil }
func (noMappings) Text(string) (string, bool)      { return "", false }
func (noMappings) Check(string) (bool, error)      { return false, nil }
func (noMappings) Try(_ string, bodies [][]byte) ([]Tried, error) {
	return make([]Tried, len(bodies)), nil
}

func (noMappings) Preview(context.Context, queries.Webhook) (MapPreview, error) {
	return MapPreview{}, nil
}

// triedBodies is how many of the last bodies the page of a webhook shows.
const triedBodies = 20

// webhooks answers GET /admin/webhooks.
func (s *server) webhooks(w http.ResponseWriter, r *http.Request) error {
	all, err := queries.Webhooks(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	m := views.Webhooks{Page: s.page(r, "Incoming webhooks", "Admin"), Shipped: s.Mappings.Shipped(), HasKey: s.Box != nil}
	if r.URL.Query().Get("said") == "removed" {
		m.Said = "The webhook is removed, with the bodies it kept. Its conversations stay."
	}
	for _, x := range all {
		row := views.WebhookRow{
			ID: x.ID, Name: x.Name, Assistant: x.Assistant, Changed: x.ChangedAt, By: x.ChangedBy, Last: x.LastAt,
		}
		m.Rows = append(m.Rows, row)
	}
	return s.render(w, r, http.StatusOK, views.WebhooksPage(m))
}

// newWebhook answers GET /admin/webhooks/new: the form, with a mapping to begin with.
func (s *server) newWebhook(w http.ResponseWriter, r *http.Request) error {
	from := r.URL.Query().Get("from")
	m := views.Webhook{Name: from, Assistant: from, Mapping: ownMapping}
	if text, ok := s.Mappings.Text(from); ok {
		m.Mapping = text
	}
	return s.showWebhook(w, r, http.StatusOK, m)
}

// webhook answers GET /admin/webhooks/{id}.
func (s *server) webhook(w http.ResponseWriter, r *http.Request) error {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	x, err := queries.WebhookByID(r.Context(), s.Pool, id)
	if err != nil {
		return err
	}
	m := views.Webhook{
		ID: x.ID, Version: x.Version, Name: x.Name, Assistant: x.Assistant, Environment: x.Environment,
		Mapping: x.Mapping, Always: x.Always, HasSecret: len(x.Secret) > 0,
	}
	switch r.URL.Query().Get("said") {
	case "kept":
		m.Said = "Saved. What arrives from now on is mapped this way. What is stored stays as it is until you map history again."
	case "mapping":
		m.Said = "History is being mapped again."
	case "busy":
		m.Error = "History is being mapped again already, or conversations are being moved or masked. Wait until that is done."
	}
	return s.showWebhook(w, r, http.StatusOK, m)
}

// showWebhook renders the page, with what the mapping in it makes of the last bodies.
func (s *server) showWebhook(w http.ResponseWriter, r *http.Request, status int, m views.Webhook) error {
	m.Page = s.page(r, cmp.Or(m.Name, "New webhook"), "Admin")
	needs, wrong := s.Mappings.Check(m.Mapping)
	m.NeedsSecret = needs
	if wrong != nil && m.Error == "" {
		m.Error = wrong.Error()
	}
	if m.ID == (conversation.UUID{}) {
		return s.render(w, r, status, views.WebhookPage(m))
	}
	m.Address = s.URL + "/api/v1/ingest/webhooks/" + m.ID.String()
	masker, err := queries.DisplayMask(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	shown := func(body []byte) string {
		masked, _ := masker.Rejected(body)
		return pretty(masked)
	}
	if err := s.showHistory(r, &m, wrong == nil); err != nil {
		return err
	}
	bodies, err := queries.LastWebhookBodies(r.Context(), queries.Clear(s.Pool), m.ID, math.MaxInt64, triedBodies)
	if err != nil {
		return err
	}
	raw := make([][]byte, len(bodies))
	for i, b := range bodies {
		raw[i] = b.Body
	}
	tried := make([]Tried, len(bodies))
	if wrong == nil {
		if tried, err = s.Mappings.Try(m.Mapping, raw); err != nil {
			return err
		}
	}
	for i, b := range bodies {
		x := views.TriedBody{
			At: b.At, Was: b.Events, Reason: tried[i].Reason, Body: shown(b.Body),
		}
		for _, e := range tried[i].Events {
			x.Events = append(x.Events, shown([]byte(e)))
		}
		m.Bodies = append(m.Bodies, x)
	}
	return s.render(w, r, status, views.WebhookPage(m))
}

// showHistory fills in what is kept of a webhook, and, where its mapping is tried, what that would change.
func (s *server) showHistory(r *http.Request, m *views.Webhook, runs bool) error {
	ctx := r.Context()
	is, err := queries.WebhookByID(ctx, s.Pool, m.ID)
	if err != nil {
		return err
	}
	kept, err := queries.CountWebhookBodies(ctx, s.Pool, m.ID, is.Version)
	if err != nil {
		return err
	}
	m.Kept = views.WebhookKept(kept)
	all, err := queries.MapRuns(ctx, s.Pool, m.ID)
	if err != nil {
		return err
	}
	for _, x := range all {
		row := views.MapRunRow{FoldRunRow: s.foldRow(x), Events: x.Events, Version: x.Version}
		row.Waits = 0
		if begins := is.ChangedAt.Add(jobs.SettledAfter).Sub(s.Now()); x.Senders == 0 && x.EndedAt == nil && begins > 0 {
			row.Waits = begins
		}
		m.Runs = append(m.Runs, row)
		m.Running = m.Running || x.EndedAt == nil
	}
	if !m.Tried || !runs {
		return nil
	}
	edited := is
	edited.Mapping, edited.Assistant, edited.Always, edited.Environment = m.Mapping, m.Assistant, m.Always, m.Environment
	p, err := s.Mappings.Preview(ctx, edited)
	m.Preview = (*views.MapPreview)(&p)
	return err
}

// mapWebhook answers POST /admin/webhooks/{id}/map: maps again what it brought, once every request that began by an
// earlier version is over.
func (s *server) mapWebhook(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	hook, err := queries.WebhookByID(ctx, s.Pool, id)
	if err != nil {
		return err
	}
	u, _ := accountOf(ctx)
	err = s.audited(r, func(tx pgx.Tx) (deed, error) {
		d := deed{
			act: queries.AuditWebhookMapped, id: id.String(), name: hook.Name, after: map[string]any{"version": hook.Version},
		}
		run := queries.NewID()
		if err := queries.StartMap(ctx, tx, run, id, u.ID, s.Now()); err != nil {
			return d, err
		}
		begins := hook.ChangedAt.Add(jobs.SettledAfter)
		if now := s.Now(); begins.Before(now) {
			begins = now
		}
		return d, s.Jobs.AddLater(ctx, tx, jobs.FoldArgs{ID: run.String()}, begins)
	})
	said := "mapping"
	if errors.Is(err, queries.ErrConflict) {
		said, err = "busy", nil
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/admin/webhooks/"+id.String()+"?said="+said+"#history", http.StatusSeeOther)
	return nil
}

// pretty writes JSON over lines; what is none as it is.
func pretty(body []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, body, "", "  ") == nil {
		return b.String()
	}
	return strings.ToValidUTF8(string(body), "\uFFFD")
}

// keepWebhook answers POST /admin/webhooks: keeps a webhook, or tries its mapping.
func (s *server) keepWebhook(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 2<<20)
	if err := r.ParseForm(); err != nil {
		return s.showWebhook(w, r, http.StatusUnprocessableEntity, views.Webhook{Mapping: ownMapping, Error: "The form is too large."})
	}
	p := func(name string) string { return strings.TrimSpace(r.PostForm.Get(name)) }
	id, _ := conversation.ParseUUID(p("id")) // zero: a new one
	version, _ := strconv.Atoi(p("version")) // 0 is no version
	u, _ := accountOf(ctx)
	x := queries.Webhook{
		ID: id, Name: p("name"), Version: int32(version), Assistant: p("assistant"), Always: p("always") == "yes",
		Environment: p("environment"), Mapping: strings.ReplaceAll(r.PostForm.Get("mapping"), "\r\n", "\n"), ChangedBy: u.Email,
	}
	m := views.Webhook{
		ID: x.ID, Version: x.Version, Name: x.Name, Assistant: x.Assistant, Environment: x.Environment,
		Mapping: x.Mapping, Always: x.Always,
	}
	var was queries.Webhook
	if id != (conversation.UUID{}) {
		var err error
		if was, err = queries.WebhookByID(ctx, s.Pool, id); err != nil {
			return err
		}
		m.HasSecret = len(was.Secret) > 0
	}
	if p("act") == "try" {
		m.Tried = true
		return s.showWebhook(w, r, http.StatusOK, m)
	}
	refused := func(why string) error {
		m.Error = why
		return s.showWebhook(w, r, http.StatusUnprocessableEntity, m)
	}
	needs, err := s.Mappings.Check(x.Mapping)
	switch {
	case err != nil:
		return refused(err.Error())
	case !fits(x.Name, 1, 100):
		return refused("The name must be 1 to 100 characters.")
	case !fits(x.Assistant, 1, 200):
		return refused("The assistant must be 1 to 200 characters.")
	case !fits(x.Environment, 0, 100):
		return refused("The environment's name must be at most 100 characters.")
	case needs && p("secret") == "" && !m.HasSecret:
		return refused("The mapping checks that what comes is from the platform: enter the secret that the platform shows, or signs with.")
	}
	return s.storeWebhook(w, r, x, was, p("secret"), refused)
}

// fits tells whether a text can be stored and has so many characters.
func fits(text string, least, most int) bool {
	n := utf8.RuneCountInString(text)
	return n >= least && n <= most && utf8.ValidString(text) && !strings.ContainsRune(text, 0)
}

func (s *server) storeWebhook(
	w http.ResponseWriter, r *http.Request, x, was queries.Webhook, secretText string, refused func(why string) error,
) error {
	ctx := r.Context()
	made := x.ID == (conversation.UUID{})
	if made {
		x.ID = queries.NewID()
	}
	if secretText != "" {
		var err error
		if x.Secret, err = s.Box.Seal(secretText, "webhook "+x.ID.String()); err != nil {
			if errors.Is(err, secret.ErrNoKey) {
				return refused("Secrets cannot be kept: start the server with TURNWISE_SECRET_KEY.")
			}
			return err
		}
	}
	told := func(x queries.Webhook) map[string]any {
		return map[string]any{
			"name": x.Name, "assistant": x.Assistant, "always": x.Always, "environment": x.Environment, "mapping": x.Mapping,
		}
	}
	err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		d := deed{act: queries.AuditWebhookMade, id: x.ID.String(), name: x.Name, after: told(x)}
		if made {
			return d, queries.AddWebhook(ctx, tx, x, s.Now())
		}
		d.act, d.before = queries.AuditWebhookChanged, told(was)
		return d, queries.ChangeWebhook(ctx, tx, x, s.Now())
	})
	switch {
	case errors.Is(err, queries.ErrConflict):
		return refused("Another webhook has this name, or somebody else changed this one meanwhile: load the page again.")
	case err != nil:
		return err
	}
	http.Redirect(w, r, "/admin/webhooks/"+x.ID.String()+"?said=kept", http.StatusSeeOther)
	return nil
}

// removeWebhook answers POST /admin/webhooks/{id}/remove.
func (s *server) removeWebhook(w http.ResponseWriter, r *http.Request) error {
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		name, err := queries.DropWebhook(r.Context(), tx, id)
		return deed{act: queries.AuditWebhookDropped, id: id.String(), name: name}, err
	}); err != nil {
		return err
	}
	http.Redirect(w, r, "/admin/webhooks?said=removed", http.StatusSeeOther)
	return nil
}
