package jobs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"turnwise/conversation"
	"turnwise/jobs"
	"turnwise/queries"
	"turnwise/queries/work"
	"turnwise/secret"
)

// receiver is a program that takes webhooks.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []received
	answer func(n int) int // to the nth request; nil: 204
	after  string          // Retry-After
	hang   chan struct{}   // closed to let requests go
}

type received struct {
	header http.Header
	body   []byte
	Type   string
	Data   struct {
		ID, Outcome, API string
		Ended            bool
		FirstText        *string `json:"first_text"`
		Review           *struct {
			By     string
			Rating *int
		}
	}
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		x := received{header: req.Header, body: body}
		if err := json.Unmarshal(body, &x); err != nil {
			t.Errorf("body %s: %v", body, err)
		}
		r.mu.Lock()
		r.got = append(r.got, x)
		code := http.StatusNoContent
		if r.answer != nil {
			code = r.answer(len(r.got))
		}
		hang, after := r.hang, r.after
		r.mu.Unlock()
		if hang != nil && code == http.StatusNoContent {
			<-hang
		}
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		w.WriteHeader(code)
	}))
	t.Cleanup(r.Close)
	return r
}

// take returns what came since it was asked last.
func (r *receiver) take() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

const hookKey = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

// hook keeps an outgoing webhook that is active from now on.
func (o *office) hook(name, url, query string, events ...string) queries.OutgoingWebhook {
	o.t.Helper()
	x := queries.OutgoingWebhook{ID: queries.NewID(), Name: name, URL: url, Query: query, Events: events, ChangedBy: "ann@example.org"}
	o.sealHook(&x, jobs.WebhookSecrets{Key: hookKey, Headers: map[string]string{"Authorization": "Bearer b"}})
	if err := queries.AddOutgoingWebhook(o.t.Context(), o.pool, x, o.clock()); err != nil {
		o.t.Fatal(err)
	}
	return x
}

func (o *office) sealHook(x *queries.OutgoingWebhook, s jobs.WebhookSecrets) {
	o.t.Helper()
	text, err := json.Marshal(s)
	if err == nil {
		x.Secret, err = o.sent.Box.Seal(string(text), jobs.OutgoingPlace(*x))
	}
	if err != nil {
		o.t.Fatal(err)
	}
}

// tell does what the jobs of outgoing webhooks do.
func (o *office) tell() {
	o.t.Helper()
	if err := jobs.IndexTexts(o.t.Context(), o.pool); err != nil {
		o.t.Fatal(err)
	}
	due, err := jobs.PrepareWebhooks(o.t.Context(), o.pool, o.sent.URL, time.UTC, o.clock)
	if err != nil {
		o.t.Fatal(err)
	}
	for _, id := range due {
		if err := jobs.SendWebhook(o.t.Context(), o.pool, o.sent, id, slog.New(slog.DiscardHandler), o.clock); err != nil {
			o.t.Fatal(err)
		}
	}
}

// say stores a message of a user, and what more happens at that moment.
func (o *office) say(sender string, at time.Time, more ...string) {
	o.t.Helper()
	bodies := []string{fmt.Sprintf(
		`{"sender_id":%q,"event":"user","timestamp":%.6f,"text":"my secret","metadata":{"assistant_id":"bank"}}`, sender,
		float64(at.UnixMicro())/1e6,
	)}
	for i, m := range more {
		bodies = append(bodies, fmt.Sprintf(
			`{"sender_id":%q,"timestamp":%.6f,"metadata":{"assistant_id":"bank"},%s}`, sender,
			float64(at.UnixMicro()+int64(i)+1)/1e6, m,
		))
	}
	feed(o.t, o.pool, func() ([]byte, bool) {
		if len(bodies) == 0 {
			return nil, false
		}
		b := bodies[0]
		bodies = bodies[1:]
		return []byte(b), true
	})
}

// conversationOf returns the newest conversation of a sender.
func (o *office) conversationOf(sender string) (k queries.ConversationKey, closes time.Time) {
	o.t.Helper()
	if err := o.pool.QueryRow(o.t.Context(), `select c.sender_id, c.id, c.closes_at from conversations c
		join senders s on s.id = c.sender_id where s.sender_key = $1 order by c.started_at desc limit 1`, sender,
	).Scan(&k.SenderID, &k.ID, &closes); err != nil {
		o.t.Fatal(err)
	}
	return k, closes
}

// TestOutgoingEnded: each end of a conversation is told once, at the moment it counts, in order of arrival or not, and
// only to whom it concerns.
func TestOutgoingEnded(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 0)
	all, some, none := newReceiver(t), newReceiver(t), newReceiver(t)
	o.tell() // a server that has been there for a while
	o.hook("all", all.URL, "", queries.EventEnded)
	o.hook("some", some.URL, "outcome=escalated", queries.EventEnded)
	o.hook("none", none.URL, "assistant=shop", queries.EventEnded)
	expect := func(what string, r *receiver, senders ...string) []received {
		t.Helper()
		got := r.take()
		var ids, want []string
		for _, x := range got {
			ids = append(ids, x.Data.ID)
			if x.Type != queries.EventEnded || !x.Data.Ended {
				t.Errorf("%s: %s", what, x.body)
			}
		}
		for _, s := range senders {
			k, _ := o.conversationOf(s)
			want = append(want, k.ID.String())
		}
		slices.Sort(ids)
		slices.Sort(want)
		if !slices.Equal(ids, want) {
			t.Errorf("%s: told of %v, want %v", what, ids, want)
		}
		return got
	}
	o.say("ann", noon.Add(-5*time.Minute))
	o.say("bob", noon.Add(-4*time.Minute), `"event":"action","name":"action_human_handoff"`)
	_, closes := o.conversationOf("ann")
	o.set(closes.Add(-time.Microsecond))
	o.tell()
	expect("just before", all)
	o.set(closes)
	o.tell()
	got := expect("at the moment", all, "ann")
	o.tell()
	expect("again", all)
	x := got[0]
	hook, err := standardwebhooks.NewWebhook(hookKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := hook.VerifyIgnoringTimestamp(x.body, x.header); err != nil {
		t.Error(err)
	}
	if err := hook.VerifyIgnoringTimestamp(append(x.body, ' '), x.header); err == nil {
		t.Error("another body has the same signature")
	}
	if at := x.header.Get("Webhook-Timestamp"); at != fmt.Sprint(closes.Unix()) || x.header.Get("Authorization") != "Bearer b" {
		t.Errorf("header: %v", x.header)
	}
	if x.Data.FirstText != nil || strings.Contains(string(x.body), "secret") || x.Data.API != o.sent.URL+"/api/v1/conversations/"+x.Data.ID {
		t.Errorf("body: %s", x.body)
	}
	// Ann goes on, which is a conversation of its own only if the idle time is over: here the same sender comes back late.
	o.set(closes.Add(time.Hour))
	o.tell()
	expect("bob", all, "bob")
	expect("bob, handed over", some, "bob")
	o.say("ann", closes.Add(time.Hour))
	o.tell()
	expect("she writes again", all)
	_, closes = o.conversationOf("ann")
	o.set(closes.Add(time.Minute))
	o.tell()
	expect("her second", all, "ann")

	// What ended before it was stored is found by what changed; what ended before the webhook was there, or more than a
	// week ago, is not told.
	now := o.clock()
	o.say("late", now.Add(-26*time.Hour))
	o.tell()
	expect("it ended before the webhook was active", all)
	if _, err := o.pool.Exec(t.Context(), `update outgoing_webhooks set active_since = $1`, noon.AddDate(0, 0, -30)); err != nil {
		t.Fatal(err)
	}
	o.say("later", now.Add(-48*time.Hour))
	o.say("oldest", now.Add(-8*24*time.Hour))
	o.tell()
	expect("late", all, "later")
	o.say("exactly", noon.AddDate(0, 0, -1))
	_, closes = o.conversationOf("exactly")
	if _, err := o.pool.Exec(t.Context(), `update outgoing_webhooks set active_since = $1`, closes); err != nil {
		t.Fatal(err)
	}
	o.tell()
	expect("active from exactly its end on", all, "exactly")

	// One that goes on before it is told of is told of when it ends again, by another id.
	o.say("eve", now)
	_, closes = o.conversationOf("eve")
	o.set(closes)
	if err := queries.FindEnded(t.Context(), o.pool, o.clock()); err != nil {
		t.Fatal(err)
	}
	o.say("eve", closes.Add(-time.Second)) // arrives late
	o.tell()
	expect("open again", all)
	_, closes = o.conversationOf("eve")
	o.set(closes)
	o.tell()
	expect("ended again", all, "eve")
	expect("others", none)
}

// TestOutgoingReviewed: who marks a conversation as reviewed has it told once, unless that is taken back first.
func TestOutgoingReviewed(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 0)
	r := newReceiver(t)
	o.hook("reviews", r.URL, "", queries.EventReviewed)
	act := func(sender string, change func(work.Review) work.Review) (id conversation.UUID) {
		t.Helper()
		k, _ := o.conversationOf(sender)
		id = queries.NewID()
		if err := pgx.BeginFunc(t.Context(), o.pool, func(tx pgx.Tx) error {
			_, err := work.ApplyReviewAction(t.Context(), tx, work.Act{
				ID: id, Place: k, User: o.user.ID, Kind: work.ActReview, At: o.clock(), Change: change,
			})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return id
	}
	now := o.clock()
	mark := func(r work.Review) work.Review { r.ReviewedAt = &now; return r }
	o.say("ann", noon.Add(-2*time.Hour))
	o.say("bob", noon.Add(-2*time.Hour))
	act("ann", func(r work.Review) work.Review { r.Rating = 4; return r })
	o.tell()
	if got := r.take(); len(got) != 0 {
		t.Fatalf("a rating alone is told: %s", got[0].body)
	}
	act("ann", mark)
	act("ann", func(r work.Review) work.Review { r.SpentMS = 9; return r })
	later := now.Add(time.Second)
	undone := act("bob", mark)
	if err := pgx.BeginFunc(t.Context(), o.pool, func(tx pgx.Tx) error {
		_, err := work.Undo(t.Context(), tx, undone, o.user.ID, o.clock())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	o.tell()
	o.tell()
	got := r.take()
	if len(got) != 1 || got[0].Type != queries.EventReviewed || got[0].Data.Review == nil ||
		got[0].Data.Review.By != "Ann" || got[0].Data.Review.Rating == nil || *got[0].Data.Review.Rating != 4 {
		t.Fatalf("%d told: %+v", len(got), got)
	}
	act("ann", func(r work.Review) work.Review { r.ReviewedAt = &later; return r }) // as it went on meanwhile
	o.tell()
	if again := r.take(); len(again) != 1 || again[0].header.Get("Webhook-Id") == got[0].header.Get("Webhook-Id") {
		t.Errorf("%d told of the second review", len(again))
	}
}

// TestOutgoingJudgedOnce: what the filter left out when it ended is not told for what is known later, or by another
// filter; and a conversation that is moved to another sender is not told of again.
func TestOutgoingJudgedOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 0)
	r := newReceiver(t)
	x := o.hook("some", r.URL, "outcome=escalated", queries.EventEnded)
	o.say("ann", noon.Add(-time.Minute))
	o.say("bob", noon.Add(-time.Minute), `"event":"action","name":"action_human_handoff"`)
	_, closes := o.conversationOf("bob")
	o.set(closes)
	o.tell()
	if n := len(r.take()); n != 1 {
		t.Fatalf("%d told, want bob", n)
	}
	x.Query, x.Revision = "", 1
	if err := queries.ChangeOutgoingWebhook(t.Context(), o.pool, x, o.clock()); err != nil {
		t.Fatal(err)
	}
	ann, _ := o.conversationOf("ann")
	bob, _ := o.conversationOf("bob")
	to := queries.ConversationKey{SenderID: 42, ID: queries.NewID()}
	if err := pgx.BeginFunc(t.Context(), o.pool, func(tx pgx.Tx) error {
		if err := queries.MoveConversations(
			t.Context(), tx, bob.SenderID, to.SenderID, []conversation.UUID{bob.ID}, []conversation.UUID{to.ID},
		); err != nil {
			return err
		}
		if _, err := tx.Exec(
			t.Context(), "update conversations set sender_id = $1, id = $2 where id = $3", to.SenderID, to.ID, bob.ID,
		); err != nil {
			return err
		}
		return queries.MarkOutgoing(t.Context(), tx, []int64{ann.SenderID, to.SenderID})
	}); err != nil {
		t.Fatal(err)
	}
	o.tell()
	for _, d := range r.take() {
		t.Errorf("told again: %s", d.body)
	}
}

// TestOutgoingWaits: what an address says of when to come again is kept to; a message that it refuses does not hold up
// others; what waits is given up in time also while nobody sends; a process without the key leaves it to others.
func TestOutgoingWaits(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 0)
	r := newReceiver(t)
	x := o.hook("busy", r.URL, "", queries.EventEnded)
	state := func() queries.OutgoingWebhook {
		t.Helper()
		x, err := queries.OutgoingWebhookByID(t.Context(), o.pool, x.ID)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	newest := func() queries.OutgoingDelivery {
		t.Helper()
		all, err := queries.OutgoingLog(t.Context(), o.pool, x.ID, "", nil, conversation.UUID{}, 1)
		if err != nil || len(all) == 0 {
			t.Fatalf("%d deliveries, %v", len(all), err)
		}
		return all[0]
	}
	end := func(sender string) {
		t.Helper()
		o.say(sender, o.clock())
		_, closes := o.conversationOf(sender)
		o.set(closes)
	}
	r.after, r.answer = "600", func(int) int { return http.StatusTooManyRequests }
	end("ann")
	o.tell()
	if s := state(); s.RetryAt == nil || s.RetryAt.Sub(o.clock()) != 10*time.Minute {
		t.Errorf("left alone until %v, now is %v", s.RetryAt, o.clock())
	}
	r.after, r.answer = "", func(int) int { return http.StatusUnprocessableEntity }
	o.set(o.clock().Add(10 * time.Minute))
	o.tell()
	before := newest()
	o.set(o.clock().Add(time.Hour))
	r.answer = func(n int) int { return http.StatusNoContent }
	o.tell()
	if s := state(); s.FailingSince != nil || newest().State != "sent" {
		t.Errorf("%+v, was %+v", newest(), before)
	}
	r.answer = func(int) int { return http.StatusUnprocessableEntity }
	end("bob")
	o.tell()
	if s := state(); s.FailingSince != nil || newest().State != "waiting" {
		t.Errorf("one message is refused: failing since %v, %+v", s.FailingSince, newest())
	}
	r.take()

	box := o.sent.Box
	o.sent.Box = nil
	o.set(o.clock().Add(time.Minute))
	err := jobs.SendWebhook(t.Context(), o.pool, o.sent, x.ID, slog.New(slog.DiscardHandler), o.clock)
	if s := state(); err == nil || s.ActiveSince == nil || s.FailingSince != nil || newest().Attempts != 1 {
		t.Errorf("without a key: %v, %+v, %+v", err, s, newest())
	}
	var wrong error
	if o.sent.Box, wrong = secret.NewBox("another key of the server"); wrong != nil {
		t.Fatal(wrong)
	}
	o.tell()
	if s := state(); s.ActiveSince == nil || s.FailingSince == nil || !strings.Contains(newest().Error, "key cannot be read") || len(r.take()) != 0 {
		t.Errorf("with another key: %+v, %+v", s, newest())
	}
	o.sent.Box = box

	if err := queries.PauseOutgoingWebhook(t.Context(), o.pool, x.ID); err != nil {
		t.Fatal(err)
	}
	created := newest().CreatedAt
	o.set(created.Add(queries.GivesUpAfter - time.Microsecond))
	o.tell()
	if s := newest().State; s != "waiting" {
		t.Errorf("%s before three days", s)
	}
	o.set(created.Add(queries.GivesUpAfter))
	o.tell()
	if d := newest(); d.State != "failed" || d.RetryAt != nil {
		t.Errorf("after three days: %+v", d)
	}
}

// TestOutgoingCutOff: a job that is cut off while an address hangs has noted that the address fails.
func TestOutgoingCutOff(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 0)
	r := newReceiver(t)
	r.hang = make(chan struct{})
	defer close(r.hang)
	r.answer = func(n int) int {
		if n < 3 {
			return http.StatusBadGateway
		}
		return http.StatusNoContent // and hangs
	}
	x := o.hook("cut", r.URL, "", queries.EventEnded)
	for i := range 3 {
		o.say(fmt.Sprint("s", i), noon.Add(-time.Minute))
	}
	_, closes := o.conversationOf("s0")
	o.set(closes)
	if _, err := jobs.PrepareWebhooks(t.Context(), o.pool, o.sent.URL, time.UTC, o.clock); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- jobs.SendWebhook(ctx, o.pool, o.sent, x.ID, slog.New(slog.DiscardHandler), o.clock) }()
	noted := func() (n int) {
		if err := o.pool.QueryRow(t.Context(), "select count(*) from outgoing_deliveries where status = 502").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for noted() < 2 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("no error")
	}
	if s, err := queries.OutgoingWebhookByID(t.Context(), o.pool, x.ID); err != nil || s.FailingSince == nil {
		t.Errorf("%+v, %v", s, err)
	}
}
