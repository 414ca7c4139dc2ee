package intake_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/conversation"
	"turnwise/ingest"
	"turnwise/ingest/intake"
	"turnwise/mask"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// platform is a webhook of a test.
type platform struct {
	t       *testing.T
	pool    *pgxpool.Pool
	server  *httptest.Server
	history *intake.History
	hook    queries.Webhook
}

func newPlatform(t *testing.T, pool *pgxpool.Pool, program string) *platform {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	writer := ingest.NewWriter(pool, quiet)
	hooks := intake.NewWebhooks(intake.New(pool, writer, quiet), nil)
	t.Cleanup(hooks.Close)
	d := &platform{
		t: t, pool: pool, server: httptest.NewServer(hooks), history: intake.NewHistory(pool, writer, quiet),
		hook: queries.Webhook{ID: queries.NewID(), Name: "desk", Assistant: "shop", ChangedBy: "test", Mapping: mapping(program), Version: 1},
	}
	t.Cleanup(d.server.Close)
	add(t, pool, d.hook)
	return d
}

func mapping(program string) string {
	return "name: desk\nprogram: |\n  " + strings.ReplaceAll(program, "\n", "\n  ") + "\n"
}

func (d *platform) post(body string) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(
		context.Background(), http.MethodPost, d.server.URL+intake.WebhookPath+d.hook.ID.String(), strings.NewReader(body),
	)
	if err != nil {
		d.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusAccepted {
		d.t.Fatal(resp.StatusCode, err)
	}
}

// use changes the mapping.
func (d *platform) use(program string) {
	d.t.Helper()
	d.hook.Mapping = mapping(program)
	if err := change(d.t, d.pool, d.hook); err != nil {
		d.t.Fatal(err)
	}
	d.hook.Version++
}

// mapAgain maps history again, and returns the run.
func (d *platform) mapAgain() queries.FoldRun {
	d.t.Helper()
	id := queries.NewID()
	if err := pgx.BeginFunc(d.t.Context(), d.pool, func(tx pgx.Tx) error {
		return queries.StartMap(d.t.Context(), tx, id, d.hook.ID, conversation.UUID{}, time.Now())
	}); err != nil {
		d.t.Fatal(err)
	}
	if err := d.history.FoldStored(d.t.Context(), id); err != nil {
		d.t.Fatal(err)
	}
	if err := queries.EndFold(d.t.Context(), d.pool, id, 0, "", time.Now()); err != nil {
		d.t.Fatal(err)
	}
	run, err := queries.FoldRunByID(d.t.Context(), d.pool, id)
	if err != nil {
		d.t.Fatal(err)
	}
	return run
}

// deskPrograms differ in what a body gives: which conversation, which author, which text, how many events, none.
var deskPrograms = []string{
	`event("message"; .at; {conversation_id: .thread, message_id: .id, author: .by, text: .text, rev: .rev})`,
	`if .rev == 1 then empty else event("message"; .at; {conversation_id: .thread, message_id: .id, author: .by, text: .text, rev: .rev}) end`,
	`event("message"; .at; {conversation_id: .thread, message_id: .id, author: .by, text: (.text | ascii_upcase), rev: .rev}),
(if .by == "bot" then event("state_changed"; .at; {conversation_id: .thread, state: "waiting"}) else empty end)`,
	`event("message"; .at; {conversation_id: (.thread + (.id | tostring | .[-1:])), message_id: .id, author: "user", text: .text, rev: .rev})`,
	`event("activity"; (.at - (.at % 60)); {conversation_id: .thread, name: .by}), (if .text == "t1" then error("no") else empty end)`,
	`if .by == "bot" then event("message"; .at; {conversation_id: "all", message_id: .text, author: "user", text: .text}) else empty end`,
}

// TestHistory: what was mapped by one mapping and is mapped again by another stands in the tables as if it had been
// mapped by that from the beginning, whatever each makes of a body, whichever bodies tell the same, and wherever a run
// was stopped.
func TestHistory(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 7))
			var bodies []string
			for range 60 {
				bodies = append(bodies, fmt.Sprintf(
					`{"id":"m%d","thread":"c%d","by":%q,"text":"t%d","at":%d,"rev":%d}`, r.IntN(25), r.IntN(4),
					[]string{"user", "bot"}[r.IntN(2)], r.IntN(3), 1795166042+r.IntN(40)*30, r.IntN(2),
				))
			}
			program := func() string { return deskPrograms[r.IntN(len(deskPrograms))] }
			programs := []string{program(), program(), program()}
			d := newPlatform(t, dbtest.Pool(t), programs[0])
			for _, b := range bodies[:30] {
				d.post(b)
			}
			d.use(programs[1])
			if seed%2 == 0 {
				d.mapAgain()
			}
			for _, b := range bodies[30:] {
				d.post(b)
			}
			d.use(programs[2])
			run := d.mapAgain()
			if n := run.Total; run.Senders != n {
				t.Errorf("%d of %d bodies", run.Senders, n)
			}
			if again := d.mapAgain(); again.Events != 0 {
				t.Errorf("a second time changes %d events", again.Events)
			}
			fresh := newPlatform(t, dbtest.Pool(t), programs[2])
			for _, i := range r.Perm(len(bodies)) {
				fresh.post(bodies[i])
			}
			if got, want := dbtest.Dump(t, d.pool), dbtest.Dump(t, fresh.pool); got != want {
				t.Errorf("by %q, %q, %q: %s", programs[0], programs[1], programs[2], firstDifference(got, want))
			}
		})
	}
}

func firstDifference(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("\n%s\nbut from the beginning\n%s", a[i], b[i])
		}
	}
	return fmt.Sprintf("%d lines, from the beginning %d", len(a), len(b))
}

// TestHistoryPreview: before a mapping is saved it is known how many stored conversations it would change.
func TestHistoryPreview(t *testing.T) {
	t.Parallel()
	d := newPlatform(t, dbtest.Pool(t), deskPrograms[0])
	for i := range 9 {
		d.post(fmt.Sprintf(`{"id":"m%d","thread":"c%d","by":%q,"text":"hi","at":%d,"rev":0}`, i, i%3, []string{"user", "user", "bot"}[i%3], 1795166042+i))
	}
	for _, tt := range []struct {
		program string
		until   time.Time
		want    intake.Preview
	}{
		{deskPrograms[0], time.Now().Add(time.Hour), intake.Preview{Bodies: 9}},
		{deskPrograms[2], time.Now().Add(time.Hour), intake.Preview{Bodies: 9, Conversations: 3}},
		{`select(.by == "user") | ` + deskPrograms[0], time.Now().Add(time.Hour), intake.Preview{Bodies: 9, Conversations: 1}},
		{deskPrograms[2], time.Now().Add(-time.Hour), intake.Preview{More: true}},
	} {
		edited := d.hook
		edited.Mapping = mapping(tt.program)
		if got, err := d.history.Preview(t.Context(), edited, tt.until); err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v", tt.program, got, err)
		}
	}
	edited := d.hook
	edited.Assistant = "another"
	if got, err := d.history.Preview(t.Context(), edited, time.Now().Add(time.Hour)); err != nil || got.Conversations != 3 {
		t.Errorf("of another assistant: %+v, %v", got, err)
	}
	if events := d.mapAgain().Events; events != 0 {
		t.Errorf("a preview changed %d events", events)
	}
}

// TestHistoryWaiting: a body whose taker was stopped is mapped later, by the version with which it came.
func TestHistoryWaiting(t *testing.T) {
	t.Parallel()
	d := newPlatform(t, dbtest.Pool(t), deskPrograms[0])
	keep := func(body string, at time.Time) {
		if err := queries.KeepWebhookBody(t.Context(), d.pool, queries.WebhookBody{
			ID: queries.NewID(), Webhook: d.hook.ID, At: at, Version: 1, Whole: !strings.Contains(body, "[phone]"), Body: []byte(body),
		}); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	keep(`{"id":"a","thread":"c","by":"user","text":"hi","at":1795166042,"rev":0}`, now.Add(-time.Hour))
	keep(`{"id":"b","thread":"c","by":"user","text":"hi","at":1795166042,"rev":0}`, now)
	keep(`{`, now.Add(-time.Hour))
	keep(`{"id":"c","thread":"[phone]","by":"user","text":"hi","at":1795166042,"rev":0}`, now.Add(-time.Hour)) // whose was masked
	d.use(deskPrograms[2])
	if err := d.history.MapOnce(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	var ids, texts string
	var waiting, aside int
	if err := d.pool.QueryRow(t.Context(), `select (select string_agg(text, ',') from messages), (select string_agg(reason, '') from webhook_bodies),
		(select count(*) from webhook_bodies where not mapped), (select count(*) from rejected_events)`).Scan(&texts, &ids, &waiting, &aside); err != nil ||
		texts != "hi" || waiting != 1 || aside != 1 || !strings.Contains(ids, "not JSON") || !strings.Contains(ids, "send it again") {
		t.Errorf("texts %q, reasons %q, %d waiting, %d set aside, %v", texts, ids, waiting, aside, err)
	}
}

// TestHistoryMasked: what is masked when it arrives, or later, is not mapped again; who is erased is erased from what is
// kept too, and from what gave nothing.
func TestHistoryMasked(t *testing.T) {
	t.Parallel()
	d := newPlatform(t, dbtest.Pool(t), deskPrograms[0])
	d.post(`{"id":"a","thread":"c-zephyrine","by":"user","text":"hi","at":1795166042,"rev":0}`)
	d.post(`{"id":"b","thread":"d","by":"user","text":"I am jo@example.org","at":1795166043,"rev":0}`)
	d.post(`{"id":"c","thread":"e","by":"user","text":"fine","at":1795166043,"rev":0}`)
	d.post(`{"who":"c-zephyrine"}`)
	of, err := queries.Person(t.Context(), queries.Clear(d.pool), "c-zephyrine")
	if err != nil {
		t.Fatal(err)
	}
	if err := pgx.BeginFunc(t.Context(), d.pool, func(tx pgx.Tx) error {
		_, _, err := queries.Erase(t.Context(), tx, queries.Erasing{Of: of, Names: []string{"c-zephyrine"}, Word: "a word"}, time.Now())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	d.post(`{"id":"a","thread":"c-zephyrine","by":"user","text":"hi","at":1795166042,"rev":0}`) // it is sent again
	if in := dbtest.Holding(t, d.pool, "zephyrine"); len(in) > 0 {
		t.Errorf("they still stand in %v", in)
	}
	rules, err := queries.MaskingRules(t.Context(), d.pool)
	if err != nil {
		t.Fatal(err)
	}
	rules.Email = true
	m, err := mask.New(rules.Rules)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := queries.MaskOthers(t.Context(), d.pool, m); err != nil {
		t.Fatal(err)
	}
	d.use(deskPrograms[2])
	d.mapAgain()
	kept, err := queries.CountWebhookBodies(t.Context(), d.pool, d.hook.ID, d.hook.Version)
	if want := (queries.WebhookCounts{Kept: 2, Masked: 1}); err != nil || kept != want {
		t.Errorf("%+v is kept, %v", kept, err)
	}
	var texts string
	if err := d.pool.QueryRow(t.Context(), `select string_agg(text, ',' order by text) from messages`).Scan(&texts); err != nil || texts != "FINE,I am jo@example.org" {
		t.Errorf("%q, %v", texts, err)
	}
}

// TestHistorySlots: of a body with values that are masked by the names of their slots nothing is kept, as these cannot be
// told in it; it is not mapped again. A masking run does the same to what was kept before.
func TestHistorySlots(t *testing.T) {
	t.Parallel()
	d := newPlatform(t, dbtest.Pool(t), `event("message"; .at; {conversation_id: "c", message_id: .id, author: "user", text: "hi", slots: {iban: .account}})`)
	d.post(`{"id":"a","account":"zephyrine","at":1795166042}`)
	rules, err := queries.MaskingRules(t.Context(), d.pool)
	if err != nil {
		t.Fatal(err)
	}
	rules.Slots, rules.OnArrival = []string{"iban"}, true
	if err := pgx.BeginFunc(t.Context(), d.pool, func(tx pgx.Tx) error {
		return queries.SetMasking(t.Context(), tx, rules, conversation.UUID{}, time.Now())
	}); err != nil {
		t.Fatal(err)
	}
	other := newPlatformBeside(d)
	other.post(`{"id":"b","account":"zephyrine","at":1795166043}`)
	if in := dbtest.Holding(t, d.pool, "zephyrine"); !slices.Contains(in, "webhook_bodies") {
		t.Errorf("what came before is not kept: %v", in)
	}
	var whole, blank int
	if err := d.pool.QueryRow(t.Context(), `select count(*) filter (where whole), count(*) filter (where body = '' and not whole) from webhook_bodies`).Scan(&whole, &blank); err != nil || whole != 1 || blank != 1 {
		t.Errorf("%d bodies are kept whole and %d not at all, %v", whole, blank, err)
	}
	m, err := mask.New(rules.Rules)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := queries.MaskOthers(t.Context(), d.pool, m); err != nil {
		t.Fatal(err)
	}
	if in := dbtest.Holding(t, d.pool, "zephyrine"); slices.Contains(in, "webhook_bodies") {
		t.Errorf("bodies still hold it: %v", in)
	}
	kept, err := queries.CountWebhookBodies(t.Context(), d.pool, d.hook.ID, 2)
	if want := (queries.WebhookCounts{Kept: 2, Masked: 2}); err != nil || kept != want {
		t.Errorf("%+v is kept, %v", kept, err)
	}
}

// newPlatformBeside takes bodies of the same webhook by a server that has just begun.
func newPlatformBeside(d *platform) *platform {
	d.t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	hooks := intake.NewWebhooks(intake.New(d.pool, ingest.NewWriter(d.pool, quiet), quiet), nil)
	d.t.Cleanup(hooks.Close)
	other := *d
	other.server = httptest.NewServer(hooks)
	d.t.Cleanup(other.server.Close)
	return &other
}

// TestHistorySaved: a webhook that is saved while history is mapped again does not break that off; and nothing that moves
// or masks what is stored runs beside it.
func TestHistorySaved(t *testing.T) {
	t.Parallel()
	d := newPlatform(t, dbtest.Pool(t), deskPrograms[0])
	d.post(`{"id":"a","thread":"c","by":"user","text":"hi","at":1795166042,"rev":0}`)
	d.use(deskPrograms[2])
	id := queries.NewID()
	start := func(do func(tx pgx.Tx) error) error { return pgx.BeginFunc(t.Context(), d.pool, do) }
	mapping := func(tx pgx.Tx) error {
		return queries.StartMap(t.Context(), tx, id, d.hook.ID, conversation.UUID{}, time.Now())
	}
	if err := start(mapping); err != nil {
		t.Fatal(err)
	}
	if err := start(mapping); !errors.Is(err, queries.ErrConflict) {
		t.Errorf("it runs twice: %v", err)
	}
	if err := start(func(tx pgx.Tx) error {
		return queries.StartFold(t.Context(), tx, queries.FoldRun{
			ID: queries.NewID(), Kind: queries.FoldToMerge, Assistant: "shop", Target: "bank", AccountID: new(conversation.UUID), CreatedAt: time.Now(),
		}, nil)
	}); !errors.Is(err, queries.ErrConflict) {
		t.Errorf("a merge runs beside it: %v", err)
	}
	d.use(deskPrograms[0])
	d.post(`{"id":"b","thread":"c","by":"user","text":"hi","at":1795166042,"rev":0}`)
	if err := d.history.FoldStored(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	var texts string
	if err := d.pool.QueryRow(t.Context(), `select string_agg(text, ',' order by text collate "C") from messages`).Scan(&texts); err != nil || texts != "HI,hi" {
		t.Errorf("%q, %v", texts, err)
	}
}
