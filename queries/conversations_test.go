package queries_test

import (
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/conversation"
	"turnwise/ingest"
	"turnwise/ingest/rasa"
	"turnwise/ingest/wire"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// store stores event bodies.
func store(t *testing.T, pool *pgxpool.Pool, bodies ...string) {
	t.Helper()
	w := ingest.NewWriter(pool, slog.New(slog.DiscardHandler))
	src, err := w.Open(t.Context(), ingest.Source{Name: "test", Kind: "file"})
	if err != nil {
		t.Fatal(err)
	}
	d := rasa.NewDecoder()
	var events []*conversation.Event
	for _, b := range bodies {
		e, rej := d.Decode(b, wire.Intake{Assistant: "shop", Environment: "production"}, noon.AddDate(0, 1, 0))
		if rej != nil {
			t.Fatalf("%s: %v", b, rej)
		}
		events = append(events, e)
	}
	if _, err := w.Store(t.Context(), src, events); err != nil {
		t.Fatal(err)
	}
}

func body(sender, typ string, at time.Time, more string) string {
	return fmt.Sprintf(`{"sender_id":%q,"event":%q,"timestamp":%.6f%s}`, sender, typ, float64(at.UnixMicro())/1e6, more)
}

// five conversations, an hour apart, each of another kind.
func five(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	said := func(sender string, at time.Time, channel string) string {
		return body(
			sender, "user", at,
			`,"user_id":"u-`+sender+`","text":"hi","input_channel":"`+channel+`","metadata":{"model_name":"v`+sender+
				`"}`,
		)
	}
	store(t, pool,
		said("a", noon, "web"), body("a", "bot", noon.Add(time.Second), `,"text":"Done."`),
		said("b", noon.Add(time.Hour), "app"), body(
			"b", "action", noon.Add(time.Hour+time.Second), `,"name":"action_human_handoff"`,
		),
		said("c", noon.Add(2*time.Hour), "web"), body(
			"c", "flow_started", noon.Add(2*time.Hour+time.Second), `,"flow_id":"transfer"`,
		),
		said("d", noon.Add(3*time.Hour), "web"), body(
			"d", "slot", noon.Add(3*time.Hour+time.Second), `,"name":"csat_score","value":"unsatisfied"`,
		),
		body("e", "bot", noon.Add(4*time.Hour), `,"text":"news","metadata":{"assistant_id":"till"}`),
	)
}

func keys(list []queries.ListedConversation, names map[int64]string) (out []string) {
	for _, c := range list {
		out = append(out, names[c.SenderID])
	}
	return out
}

func TestFilters(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	five(t, pool)
	names := map[int64]string{}
	for _, s := range []string{"a", "b", "c", "d"} {
		names[conversation.SenderID("shop", s)] = s
	}
	names[conversation.SenderID("till", "e")] = "e"
	now := noon.Add(4*time.Hour + time.Minute) // d and e are open still
	for _, tt := range []struct {
		query string
		want  []string
	}{
		{"", []string{"e", "d", "c", "b", "a"}},
		{"from=2026-11-20&until=2026-11-20", []string{"e", "d", "c", "b", "a"}},
		{"from=2026-11-19&until=2026-11-19", nil},
		{"assistant=till", []string{"e"}},
		{"assistant=till&assistant=shop", []string{"e", "d", "c", "b", "a"}},
		{"environment=production", []string{"e", "d", "c", "b", "a"}},
		{"environment=staging", nil},
		{"channel=web", []string{"d", "c", "a"}},
		{"channel=web&channel=app", []string{"d", "c", "b", "a"}},
		{"version=vb", []string{"b"}},
		{"version=none", nil},
		{"escalated=yes", []string{"b"}},
		{"escalated=no", []string{"e", "d", "c", "a"}},
		{"csat=UNSATISFIED", []string{"d"}},
		{"flow=transfer", []string{"c"}},
		{"flow=other", nil},
		{"outcome=escalated", []string{"b"}},
		{"outcome=open", []string{"e", "d"}},
		{"outcome=abandoned", []string{"c"}},
		{"outcome=open&outcome=resolved_assumed", []string{"e", "d", "a"}},
		{"id=a", []string{"a"}},
		{"id=u-b", []string{"b"}},
		{"id=nobody", nil},
		{"id=a&from=2026-11-19&until=2026-11-19", []string{"a"}}, // in all history
		{
			"channel=web&escalated=no&csat=UNSATISFIED&assistant=shop&environment=production&version=vd&id=d",
			[]string{"d"},
		},
	} {
		q, err := url.ParseQuery(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		f, err := metric.ParseFilter(q, time.UTC)
		if err != nil {
			t.Fatalf("%s: %v", tt.query, err)
		}
		for _, few := range []bool{false, true} {
			list, err := queries.Conversations(t.Context(), queries.Clear(pool), f, nil, few, 50, now, time.UTC)
			if err != nil {
				t.Fatal(err)
			}
			if got := keys(list, names); !slices.Equal(got, tt.want) {
				t.Errorf("%q, few %t: got %v, want %v", tt.query, few, got, tt.want)
			}
		}
		n, err := queries.CountConversations(t.Context(), pool, f, 100, now, time.UTC)
		if err != nil || n != len(tt.want) {
			t.Errorf("%q: counted %d, %v; want %d", tt.query, n, err, len(tt.want))
		}
		again, err := metric.ParseFilter(f.Query(), time.UTC)
		if err != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", f) {
			t.Errorf("%q: written and read again: %+v, %v; want %+v", tt.query, again, err, f)
		}
	}
}

func TestFindByID(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	five(t, pool)
	all, err := queries.Conversations(
		t.Context(), queries.Clear(pool), metric.Filter{Range: metric.Range{Days: 28}}, nil, false, 50, noon.Add(5*time.Hour),
		time.UTC,
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		for _, id := range []string{c.ID.String(), c.ID.String()[:13], c.ID.String()[:8]} {
			list, err := queries.Conversations(
				t.Context(), queries.Clear(pool), metric.Filter{Range: metric.Range{Days: 1}, ID: id}, nil, false, 50,
				noon.AddDate(1, 0, 0), time.UTC,
			)
			if err != nil || len(list) != 1 || list[0].ID != c.ID {
				t.Errorf("%s finds %d, %v", id, len(list), err)
			}
		}
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	var bodies []string
	for i := range 25 { // five at each instant: the id decides
		bodies = append(
			bodies, body(fmt.Sprintf("s%02d", i), "user", noon.Add(time.Duration(i/5)*time.Minute), `,"text":"hi"`),
		)
	}
	store(t, pool, bodies...)
	f := metric.Filter{Range: metric.Range{Days: 28}}
	page := func(at *metric.Cursor) []queries.ListedConversation {
		list, err := queries.Conversations(t.Context(), queries.Clear(pool), f, at, false, 7, noon.Add(time.Hour), time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	whole, err := queries.Conversations(t.Context(), queries.Clear(pool), f, nil, false, 100, noon.Add(time.Hour), time.UTC)
	if err != nil || len(whole) != 25 {
		t.Fatalf("%d conversations, %v", len(whole), err)
	}
	var walked []queries.ListedConversation
	var at *metric.Cursor
	for list := page(nil); len(list) > 0; list = page(at) {
		walked = append(walked, list...)
		last := list[len(list)-1]
		at = &metric.Cursor{At: last.StartedAt.UnixMicro(), ID: last.ID}
	}
	same := func(a, b queries.ListedConversation) bool { return a.ID == b.ID }
	if !slices.EqualFunc(walked, whole, same) {
		t.Error("page by page is not the whole")
	}
	newer := page(&metric.Cursor{At: whole[14].StartedAt.UnixMicro(), ID: whole[14].ID, Newer: true})
	if !slices.EqualFunc(newer, whole[7:14], same) {
		t.Error("the page above a place is not the seven before it")
	}
}

func TestTranscript(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	var bodies []string
	for i := range 250 {
		at := noon.Add(time.Duration(i) * time.Second)
		bodies = append(
			bodies, body("long", "user", at, fmt.Sprintf(`,"text":"question %d","message_id":"m%d"`, i, i)),
			body("long", "bot", at.Add(300*time.Millisecond), fmt.Sprintf(`,"text":"answer %d"`, i)),
		)
	}
	store(t, pool, bodies...)
	list, err := queries.Conversations(
		t.Context(), queries.Clear(pool), metric.Filter{Range: metric.Range{Days: 28}}, nil, false, 1, noon.Add(time.Hour), time.UTC,
	)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	c, err := queries.Conversation(t.Context(), queries.Clear(pool), list[0].ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	load := func(w queries.Window) queries.Transcript {
		x, err := queries.LoadTranscript(t.Context(), queries.Clear(pool), c, w)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	texts := func(x queries.Transcript) (out []string) {
		for _, m := range x.Messages {
			out = append(out, m.Text)
		}
		return out
	}
	var all []string
	first := load(queries.Window{Limit: 100})
	for x := first; ; x = load(queries.Window{After: x.Until, Limit: 100}) {
		all = append(all, texts(x)...)
		if x.Until == 0 {
			break
		}
	}
	if len(all) != 500 || all[0] != "question 0" || all[499] != "answer 249" {
		t.Fatalf("%d messages downwards, from %q", len(all), all[0])
	}
	linked := load(queries.Window{After: first.Until, Limit: 400}).Messages[200].ID
	middle := load(queries.Window{Message: &linked, Limit: 100})
	if len(middle.Messages) != 100 || middle.Messages[50].ID != linked || middle.From == 0 || middle.Until == 0 {
		t.Errorf("around a message: %d messages, from %d until %d", len(middle.Messages), middle.From, middle.Until)
	}
	above := load(queries.Window{Before: middle.From, Limit: 100})
	if n := len(above.Messages); n != 100 || above.Messages[n-1].Seq >= middle.Messages[0].Seq {
		t.Errorf("%d messages above", n)
	}
	if got := append(texts(above), texts(middle)...); !slices.Equal(got, all[150:350]) {
		t.Errorf("above and around leave a gap: %v … %v", got[0], got[len(got)-1])
	}
	foreign := conversation.UUID{1}
	if _, err := queries.LoadTranscript(
		t.Context(), queries.Clear(pool), c, queries.Window{Message: &foreign, Limit: 10},
	); err != queries.ErrNotFound { //nolint:errorlint // the sentinel itself
		t.Errorf("a message of elsewhere: %v", err)
	}
	if _, err := queries.Conversation(
		t.Context(), queries.Clear(pool), foreign, nil,
	); err != queries.ErrNotFound { //nolint:errorlint // the sentinel itself
		t.Errorf("an unknown conversation: %v", err)
	}
}
