package jobs_test

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"turnwise/conversation"
	"turnwise/jobs"
	"turnwise/queries"
)

// TestOutgoingFails: an address that fails is left alone longer each time, and gets everything once it works; one that
// hangs, or wants no more, delays nobody else; what a process was sending when it ended is sent again, by the same id.
func TestOutgoingFails(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 0)
	bad, good := newReceiver(t), newReceiver(t)
	bad.answer = func(int) int { return http.StatusServiceUnavailable }
	x := o.hook("bad", bad.URL, "", queries.EventEnded)
	o.hook("good", good.URL, "", queries.EventEnded)
	state := func() queries.OutgoingWebhook {
		t.Helper()
		x, err := queries.OutgoingWebhookByID(t.Context(), o.pool, x.ID)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	log := func() []queries.OutgoingDelivery {
		t.Helper()
		all, err := queries.OutgoingLog(t.Context(), o.pool, x.ID, "", nil, conversation.UUID{}, 100)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	o.say("ann", noon.Add(-time.Minute))
	o.say("bob", noon.Add(-2*time.Minute))
	_, closes := o.conversationOf("ann")
	o.set(closes)
	o.tell()
	if n := len(good.take()); n != 2 {
		t.Errorf("%d told beside one that fails", n)
	}
	first := bad.take()
	if len(first) != 2 || state().FailingSince == nil {
		t.Fatalf("%d attempts, failing since %v", len(first), state().FailingSince)
	}
	o.tell()
	o.set(closes.Add(9 * time.Second))
	o.tell()
	if n := len(bad.take()); n != 0 {
		t.Errorf("%d attempts while it is to be left alone", n)
	}
	var waits []time.Duration
	for range 7 {
		o.set(*state().RetryAt)
		o.tell()
		waits = append(waits, state().RetryAt.Sub(o.clock()))
	}
	if want := []time.Duration{
		20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 5 * time.Minute, 5 * time.Minute,
		5 * time.Minute,
	}; !slices.Equal(waits, want) {
		t.Errorf("waits %v, want %v", waits, want)
	}
	if n := len(bad.take()); n != len(waits) {
		t.Errorf("%d attempts in %d waits: one is enough to see whether it works again", n, len(waits))
	}
	bad.mu.Lock()
	bad.answer = nil
	bad.mu.Unlock()
	o.set(*state().RetryAt)
	o.tell()
	ids := map[string]int{}
	for _, r := range append(first, bad.take()...) {
		ids[r.header.Get("Webhook-Id")]++
	}
	if len(ids) != 2 || state().FailingSince != nil {
		t.Errorf("attempts by id: %v, failing since %v", ids, state().FailingSince)
	}
	for id, n := range ids {
		if n != 2 {
			t.Errorf("%s: %d attempts", id, n)
		}
	}
	for _, d := range log() {
		if d.State != "sent" || d.Status == nil || *d.Status != 204 || d.Error != "" {
			t.Errorf("delivery: %+v", d)
		}
	}

	// A process ends in the middle: after the lease another one sends the same.
	o.say("cid", o.clock())
	_, closes = o.conversationOf("cid")
	o.set(closes)
	if _, err := jobs.PrepareWebhooks(t.Context(), o.pool, o.sent.URL, time.UTC, o.clock); err != nil {
		t.Fatal(err)
	}
	held, err := queries.HoldOutgoing(t.Context(), o.pool, x.ID, o.clock(), o.clock().Add(2*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	lost, err := queries.ClaimDeliveries(t.Context(), o.pool, held, 10, o.clock(), o.clock().Add(2*time.Minute))
	if err != nil || len(lost) != 1 {
		t.Fatalf("%d claimed, %v", len(lost), err)
	}
	o.tell()
	if n := len(bad.take()); n != 0 {
		t.Errorf("%d sent while somebody else does", n)
	}
	o.set(closes.Add(2 * time.Minute))
	o.tell()
	if got := bad.take(); len(got) != 1 || got[0].header.Get("Webhook-Id") != lost[0].ID.String() {
		t.Errorf("%d sent after that", len(got))
	}

	// It fails for three days: then it is given up, until somebody has it sent again.
	bad.mu.Lock()
	bad.answer = func(int) int { return http.StatusNotFound }
	bad.mu.Unlock()
	o.say("dan", o.clock())
	_, closes = o.conversationOf("dan")
	o.set(closes)
	o.tell()
	o.set(closes.Add(3*24*time.Hour - time.Second))
	o.tell()
	if d := log()[0]; d.State != "waiting" || d.Attempts != 2 {
		t.Errorf("before three days: %+v", d)
	}
	o.set(closes.Add(3*24*time.Hour + 11*time.Hour))
	o.tell()
	if d := log()[0]; d.State != "failed" || d.Error != "the address answered 404 Not Found" {
		t.Errorf("after three days: %+v", d)
	}
	bad.mu.Lock()
	bad.answer = func(n int) int { return http.StatusGone }
	bad.mu.Unlock()
	if err := queries.RetryOutgoing(t.Context(), o.pool, x.ID, log()[0].ID, o.clock()); err != nil {
		t.Fatal(err)
	}
	o.set(o.clock().Add(time.Hour))
	o.tell()
	if s := state(); s.ActiveSince != nil || !strings.Contains(s.PausedBecause, "410") {
		t.Errorf("after it wants no more: %+v", s)
	}
	good.take()

	// While it is paused nothing more is noted; two keys sign for a while after a new one was made.
	bad.mu.Lock()
	bad.answer, bad.got = nil, nil
	bad.mu.Unlock()
	o.say("eve", o.clock())
	_, closes = o.conversationOf("eve")
	o.set(closes)
	o.tell()
	if err := queries.ResumeOutgoingWebhook(t.Context(), o.pool, x.ID, o.clock().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	x = state()
	const newer = "whsec_bmV3ZXIgbmV3ZXIgbmV3ZXIgbmV3ZXIgbmV3ZXI="
	secrets := jobs.WebhookSecrets{Key: hookKey}
	secrets.Renew(newer, o.clock())
	o.sealHook(&x, secrets)
	if err := queries.ChangeOutgoingWebhook(t.Context(), o.pool, x, o.clock()); err != nil {
		t.Fatal(err)
	}
	for _, both := range []bool{true, false} {
		if err := queries.AddDelivery(t.Context(), o.pool, queries.OutgoingDelivery{
			WebhookID: x.ID, ID: queries.NewID(), Event: queries.EventTest, Body: jobs.TestMessage(x, o.clock()),
		}, o.clock()); err != nil {
			t.Fatal(err)
		}
		o.set(o.clock().Add(time.Minute))
		o.tell()
		got := bad.take()
		if both { // what waited when it was paused comes too
			got = slices.DeleteFunc(got, func(r received) bool { return r.Type != queries.EventTest })
		}
		if len(got) != 1 || got[0].Type != queries.EventTest {
			t.Fatalf("%d tests: %+v", len(got), got)
		}
		for key, verifies := range map[string]bool{newer: true, hookKey: both} {
			h, err := standardwebhooks.NewWebhook(key)
			if err != nil {
				t.Fatal(err)
			}
			if is := h.VerifyIgnoringTimestamp(got[0].body, got[0].header) == nil; is != verifies {
				t.Errorf("key %s verifies %v: %v", key, got[0].header["Webhook-Signature"], is)
			}
		}
		o.set(o.clock().Add(jobs.FormerKeyLasts))
	}
}

// TestOutgoingInternal: an address within the organisation is not sent to, whatever its name stands for when it is.
func TestOutgoingInternal(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 0)
	r := newReceiver(t)
	o.sent.Internal = nil
	x := o.hook("inside", r.URL, "", queries.EventEnded)
	o.say("ann", noon.Add(-time.Minute))
	_, closes := o.conversationOf("ann")
	o.set(closes)
	o.tell()
	all, err := queries.OutgoingLog(t.Context(), o.pool, x.ID, "", nil, conversation.UUID{}, 10)
	if err != nil || len(all) != 1 || !strings.Contains(all[0].Error, jobs.ErrInternal.Error()) || len(r.take()) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

// TestOutgoingHangs: a webhook that hangs holds one job, while others and the search for what ended go on.
func TestOutgoingHangs(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 0)
	slow, good := newReceiver(t), newReceiver(t)
	slow.hang = make(chan struct{})
	o.hook("good", good.URL, "", queries.EventEnded)
	x := o.hook("slow", slow.URL, "", queries.EventEnded)
	o.say("ann", noon.Add(-time.Minute))
	_, closes := o.conversationOf("ann")
	o.set(closes)
	due, err := jobs.PrepareWebhooks(t.Context(), o.pool, o.sent.URL, time.UTC, o.clock)
	if err != nil || len(due) != 2 {
		t.Fatalf("%d due, %v", len(due), err)
	}
	done := make(chan error, 1)
	go func() {
		done <- jobs.SendWebhook(t.Context(), o.pool, o.sent, x.ID, slog.New(slog.DiscardHandler), o.clock)
	}()
	for len(slow.take()) == 0 {
		time.Sleep(time.Millisecond)
	}
	o.say("bob", noon)
	_, closes = o.conversationOf("bob")
	o.set(closes)
	o.tell()
	if n := len(good.take()); n != 2 {
		t.Errorf("%d told while another hangs", n)
	}
	if err := jobs.SendWebhook(t.Context(), o.pool, o.sent, x.ID, slog.New(slog.DiscardHandler), o.clock); err != nil {
		t.Error(err)
	}
	if n := len(slow.take()); n != 0 {
		t.Errorf("%d more requests to one that hangs", n)
	}
	close(slow.hang)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	o.tell()
	if n := len(slow.take()); n != 1 {
		t.Errorf("%d told after it hung", n)
	}
}

// TestOutgoingTriedAtOnce: a test is sent before all that waits, also to an address that is being left alone; who resumes
// a webhook has all that waited sent.
func TestOutgoingTriedAtOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 0)
	r := newReceiver(t)
	r.answer = func(int) int { return http.StatusServiceUnavailable }
	x := o.hook("down", r.URL, "", queries.EventEnded)
	o.say("ann", noon.Add(-time.Minute))
	o.say("bob", noon.Add(-time.Minute))
	_, closes := o.conversationOf("bob")
	o.set(closes)
	o.tell()
	if n := len(r.take()); n != 2 {
		t.Fatalf("%d attempts", n)
	}
	test := func() {
		t.Helper()
		if err := queries.AddDelivery(t.Context(), o.pool, queries.OutgoingDelivery{
			WebhookID: x.ID, ID: queries.NewID(), Event: queries.EventTest, Body: jobs.TestMessage(x, o.clock()),
		}, o.clock()); err != nil {
			t.Fatal(err)
		}
		if err := queries.TryOutgoing(t.Context(), o.pool, x.ID); err != nil {
			t.Fatal(err)
		}
		o.tell()
	}
	test()
	if got := r.take(); len(got) != 1 || got[0].Type != queries.EventTest {
		t.Errorf("while it fails: %+v", got)
	}
	o.set(o.clock().Add(time.Hour)) // all that waits is due
	test()
	if got := r.take(); len(got) != 1 || got[0].Type != queries.EventTest {
		t.Errorf("before what is due: %+v", got)
	}
	if err := queries.PauseOutgoingWebhook(t.Context(), o.pool, x.ID); err != nil {
		t.Fatal(err)
	}
	r.answer = nil
	o.set(o.clock().Add(time.Second)) // the waits are not over
	o.tell()
	if got := r.take(); len(got) != 0 {
		t.Errorf("while it is paused: %+v", got)
	}
	if err := queries.ResumeOutgoingWebhook(t.Context(), o.pool, x.ID, o.clock()); err != nil {
		t.Fatal(err)
	}
	o.tell()
	if got := r.take(); len(got) != 4 {
		t.Errorf("%d sent after it was resumed", len(got))
	}
}
