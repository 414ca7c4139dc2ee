package web_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/demo"
	"turnwise/ingest"
	"turnwise/jobs"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/queries/figures"
	"turnwise/web"
)

// told are the events of somebody whose words are everywhere, in two conversations on two channels, with a user's id;
// marked is put into every field that a platform fills.
func told(marked string, at time.Time) (all [][]byte) {
	for i, sender := range []string{"+49170" + marked, marked + "-web"} {
		sec := float64(at.Add(time.Duration(i)*time.Hour).Unix()) + 0.25
		event := func(kind string, fields map[string]any) {
			sec += 3
			fields["event"], fields["sender_id"], fields["timestamp"] = kind, sender, sec
			fields["user_id"] = "user-" + marked
			fields["metadata"] = map[string]any{"assistant_id": "shop", "model_id": "m1", "note": marked, marked: true}
			b, err := json.Marshal(fields)
			if err != nil {
				panic(err)
			}
			all = append(all, b)
		}
		event("action", map[string]any{"name": "action_session_start"})
		event("session_started", map[string]any{})
		event("user", map[string]any{
			"text": "I am " + marked + "word and my card is lost", "input_channel": "rest",
			"message_id": "m" + marked + string(rune('0'+i)),
			"parse_data": map[string]any{
				"intent":   map[string]any{"name": "lost_card", "confidence": 0.9},
				"entities": []any{map[string]any{"entity": "name", "value": marked, "start": 5, "end": 10}},
				"text":     marked,
			},
		})
		event("slot", map[string]any{"name": "name", "value": marked})
		event("slot", map[string]any{"name": "address", "value": map[string]any{"street": marked, marked: 1}})
		event("bot", map[string]any{
			"text": "Hello " + marked,
			"data": map[string]any{
				"buttons": []any{map[string]any{"title": marked, "payload": "/x{\"n\":\"" + marked + "\"}"}},
				"image":   "https://example.org/" + marked + ".png", "custom": map[string]any{"k": marked},
			},
		})
		event("action", map[string]any{"name": "utter_" + marked})
		event("user", map[string]any{"text": "thank you, " + strings.ToUpper(marked), "input_channel": "rest"})
		event("bot", map[string]any{"text": "Bye"})
	}
	return all
}

// TestErased: a person is found by key or id, handed over in whole, and erased from everything; who is like it stays;
// what comes again does not bring it back, what comes anew is stored.
func TestErased(t *testing.T) {
	t.Parallel()
	const marked = "zephyrine"
	pool := dbtest.Pool(t)
	addUsers(t, pool)
	now := time.Date(2026, 10, 27, 9, 17, 0, 0, time.UTC)
	queue, err := jobs.NewQueue(pool)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	handler, stop := web.New(web.Config{
		Pool: pool, Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Zone: time.UTC, URL: "http://localhost", Ingest: http.NotFoundHandler(), Jobs: queue,
		Now: func() time.Time { return now },
	})
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.Close()
		stop()
	})
	o := &office{t: t, pool: pool, url: server.URL, now: now}
	bodies := told(marked, now.Add(-48*time.Hour))
	store := func(list [][]byte) (counts ingest.Counts) {
		t.Helper()
		w := ingest.NewWriter(pool, slog.New(slog.DiscardHandler))
		src, err := w.Open(t.Context(), ingest.Source{
			Name: "test", Kind: "file", Assistant: "shop", Environment: "production",
		})
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		counts, err = w.Run(context.Background(), src, ingest.Bodies(func() (ingest.Body, error) {
			if i == len(list) {
				return ingest.Body{}, io.EOF
			}
			i++
			return ingest.Body{Bytes: list[i-1]}, nil
		}), ingest.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return counts
	}
	g := demo.New(demo.Options{Conversations: 40, Days: 5, Until: now.Add(-time.Hour), Seed: 3})
	feed(t, pool, g.Next)
	settle := func() {
		t.Helper()
		if err := jobs.IndexTexts(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
		if err := jobs.RollUp(
			t.Context(), pool, figures.NewGrid(time.UTC), -time.Second, func() time.Time { return now },
		); err != nil {
			t.Fatal(err)
		}
	}
	settle()
	before := dbtest.Dump(t, pool)
	admin := signIn(t, o.url, "admin")
	_, overview := o.get(admin, "/overview?range=7d")

	store(bodies)
	// What is broken, and what is like it.
	store([][]byte{
		[]byte(`{"event":"user","sender_id":"user-` + marked + `","timestamp":"never","text":"` + marked + `"}`),
		[]byte(`{"event":"user","sender_id":"nobody","text":"no time"}`),
	})
	settle()
	var mine, others []string
	rows, _ := pool.Query(
		t.Context(), `select c.id::text, c.user_id like '%' || $1 from conversations c order by started_at desc`,
		marked,
	)
	for rows.Next() {
		var id string
		var his bool
		if err := rows.Scan(&id, &his); err != nil {
			t.Fatal(err)
		}
		if his {
			mine = append(mine, id)
		} else {
			others = append(others, id)
		}
	}
	if len(mine) != 2 || len(others) < 30 {
		t.Fatalf("%d and %d conversations", len(mine), len(others))
	}
	// What people make of it, and what leaves.
	for _, id := range mine {
		o.post(admin, "/conversations/"+id+"/notes", "text", "about "+marked)
		o.post(admin, "/conversations/"+id+"/review", "do", "review", "rating", "2")
	}
	o.post(admin, "/conversations/"+others[0]+"/notes", "text", "is the same as user-"+marked)
	o.post(
		admin, "/notes", "at", "2026-10-26T10:00", "text", "user-"+marked+" complained", "shared", "yes", "back",
		"/overview",
	)
	o.post(admin, "/views", "name", "a view", "query", "id=user-"+marked)
	o.post(admin, "/conversations/act", "do", "review", "c", mine[0], "query", "range=28d")
	if status, _, csv := o.post(
		admin, "/exports", "grain", "message", "format", "csv", "query", "range=28d&id=user-"+marked,
	); status != 200 || !strings.Contains(csv, marked) {
		t.Errorf("an export before: %d", status)
	}
	u := o.user("admin@example.org")
	e := queries.ExportFile{
		ID: queries.NewID(), AccountID: &u.ID, Title: "of user-" + marked, Query: "id=user-" + marked,
		Grain: queries.ByMessage, Format: "csv", FileName: "x.csv", CreatedAt: now,
	}
	if err := queries.AddExport(t.Context(), pool, e); err != nil {
		t.Fatal(err)
	}
	if err := jobs.Export(t.Context(), pool, e.ID, time.UTC, func() time.Time { return now }); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{
		"events", "event_payloads", "messages", "slots", "conversations", "senders", "conversation_texts",
		"search_words", "rejected_events", "notes", "chart_notes", "export_parts", "saved_views",
	} {
		if !slices.Contains(dbtest.Holding(t, pool, marked), table) {
			t.Errorf("the test plants nothing in %s", table)
		}
	}

	// Found by a key, by the id, and not by a part of it.
	for who, want := range map[string]int{
		"+49170" + marked: 2, marked + "-web": 2, "user-" + marked: 2, marked: 0, "user": 0, "": 0,
	} {
		status, _, page := o.post(admin, "/admin/personal", "who", who)
		if n := strings.Count(page, "<td class=\"cut\" title=\"shop\">"); status != 200 || n != want {
			t.Errorf("%q: %d, %d senders, want %d", who, status, n, want)
		}
	}
	_, _, page := o.post(admin, "/admin/personal", "who", "user-"+marked)
	who := append(ticked(page), "who", "user-"+marked)
	if len(who) != 6 {
		t.Fatalf("ticked: %v", who)
	}
	// Handed over: all that was said, for programs and to read.
	_, _, file := o.post(admin, "/admin/personal/export", who...)
	z, err := zip.NewReader(strings.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		t.Helper()
		f, err := z.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	var data struct {
		Conversations []struct {
			Events   []map[string]any
			Messages []map[string]any
			Notes    []string
		}
	}
	if err := json.Unmarshal([]byte(read("data.json")), &data); err != nil {
		t.Fatal(err)
	}
	if len(data.Conversations) != 2 || len(data.Conversations[0].Events)+
		len(data.Conversations[1].Events) != len(bodies) || len(
		data.Conversations[0].Messages,
	) != 4 || len(data.Conversations[0].Notes) != 1 {
		t.Errorf("handed over: %+v", data)
	}
	if page := read("index.html"); !strings.Contains(page, "I am "+marked+"word") || strings.Contains(page, "<script") {
		t.Error("the page to read lacks what was said")
	}

	// Erased: not by accident, not under a hold, by nobody else.
	for _, form := range [][]string{
		{"reason", "x", "again", "user"},
		{"reason", "", "again", "user-" + marked},
		{"reason", "wish of user-" + marked, "again", "user-" + marked},
	} {
		if status, _, _ := o.post(admin, "/admin/personal/erase", append(form, who...)...); status != 422 {
			t.Errorf("%v: %d", form, status)
		}
	}
	o.post(admin, "/admin/holds", "person", "user-"+marked, "reason", "a case")
	if status, _, page := o.post(
		admin, "/admin/personal/erase", append(who, "reason", "request 7", "again", "user-"+marked)...,
	); status != 422 || !strings.Contains(page, "legal hold") {
		t.Errorf("under a hold: %d", status)
	}
	if _, err := pool.Exec(t.Context(), `update legal_holds set released_at = now()`); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := o.post(
		signIn(t, o.url, "supervisor"), "/admin/personal/erase",
		append(who, "reason", "request 7", "again", "user-"+marked)...,
	); status != 403 {
		t.Errorf("by a supervisor: %d", status)
	}
	status, to, page := o.post(
		admin, "/admin/personal/erase", append(who, "reason", "request 7", "again", "user-"+marked, "notes", "yes")...,
	)
	if status != 303 || !strings.HasPrefix(to, "/admin/personal/erasures/") {
		t.Fatalf("%d to %s: %.2000s", status, to, page)
	}
	if in := dbtest.Holding(t, pool, marked); len(in) > 0 {
		t.Errorf("it stands still in %v", in)
	}
	words, err := queries.LoadPseudonyms(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	_, certificate := o.get(admin, to)
	if !strings.Contains(certificate, "request 7") || !strings.Contains(
		certificate, "event_payloads",
	) || !strings.Contains(certificate, words.Of("user-"+marked)) || strings.Contains(certificate, marked) {
		t.Errorf("the certificate: %.3000s", certificate)
	}
	settle()
	without := func(dump string) string { // what the source and its assistant leave
		return regexp.MustCompile(
			`(?m)^== (assistants|environments|channels|versions) \d+\n(\(.*\n)*`,
		).ReplaceAllString(dump, "")
	}
	if got := without(dbtest.Dump(t, pool)); got != without(before) {
		t.Error("others are not as they were before the person came")
	}
	if _, got := o.get(admin, "/overview?range=7d"); strings.Join(figuresOf(got), " ") != strings.Join(figuresOf(overview), " ") {
		t.Error("figures are not as they were before the person came")
	}
	if status, _ := o.get(admin, "/conversations/"+mine[0]); status != 404 {
		t.Errorf("its page: %d", status)
	}
	// All of it again, in any order, and a rebuild: nothing comes back.
	slices.Reverse(bodies)
	if counts := store(bodies); counts.Stored != 0 || counts.Duplicates != int64(len(bodies)) {
		t.Errorf("again: %+v", counts)
	}
	if err := ingest.NewWriter(pool, slog.New(slog.DiscardHandler)).Rebuild(t.Context(), "", func(int) {}); err != nil {
		t.Fatal(err)
	}
	settle()
	if in := dbtest.Holding(t, pool, marked); len(in) > 0 {
		t.Errorf("after a replay it stands in %v", in)
	}
	// Who writes anew is somebody new.
	if counts := store(told(marked, now.Add(time.Minute))[:9]); counts.Stored != 9 {
		t.Errorf("anew: %+v", counts)
	}
	if strings.Contains(log.String(), marked) {
		t.Error("the log names the person")
	}
	left, err := queries.AuditLog(t.Context(), pool, queries.AuditFilter{Area: "person"}, 100)
	if err != nil || !slices.ContainsFunc(
		left, func(e queries.AuditEntry) bool { return e.Act == queries.AuditPersonErased },
	) {
		t.Errorf("%v, %v", left, err)
	}
}

var tick = regexp.MustCompile(`name="sender" value="(-?\d+)" checked`)

// ticked are the senders that the page of a person ticks, as a form has them.
func ticked(page string) (form []string) {
	for _, m := range tick.FindAllStringSubmatch(page, -1) {
		form = append(form, "sender", m[1])
	}
	return form
}

// TestOthersStay: a sender that several people share is not taken for one of them, and what only looks like a person's
// stays.
func TestOthersStay(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	var all [][]byte
	for i, user := range []string{"ann", "bob"} {
		all = append(
			all,
			[]byte(
				`{"event":"action","name":"action_session_start","sender_id":"default","user_id":"`+user+
					`","timestamp":`+strconv.Itoa(1790000000+i*90000-1)+`}`,
			),
		)
		for k, text := range []string{"hello", "bye"} {
			all = append(
				all,
				[]byte(
					`{"event":"user","sender_id":"default","user_id":"`+user+`","timestamp":`+strconv.Itoa(1790000000+
						i*90000+k)+`,"text":"`+text+`"}`,
				),
			)
		}
	}
	all = append(all, []byte(
		`{"event":"user","sender_id":"default2","user_id":"ann","timestamp":1790000000,"text":"hi"}`,
	),
		[]byte(
			`{"event":"action","name":"action_default_fallback","sender_id":"someone","timestamp":"never"}`,
		), []byte(`{"event":"user","sender_id":"default2","text":"no time"}`))
	feed(t, o.pool, func() ([]byte, bool) {
		if len(all) == 0 {
			return nil, false
		}
		b := all[0]
		all = all[1:]
		return b, true
	})
	admin := signIn(t, o.url, "admin")
	o.post(admin, "/views", "name", "another", "query", "id=annabel")
	o.post(admin, "/views", "name", "hers", "query", "id=ann")
	_, _, page := o.post(admin, "/admin/personal", "who", "ann")
	form := ticked(page)
	if !strings.Contains(page, "2 users share it") || len(form) != 2 {
		t.Fatalf("ticked: %v", form)
	}
	if status, _, _ := o.post(
		admin, "/admin/personal/erase", "who", "ann", "reason", "x", "again", "ann",
	); status != 422 {
		t.Errorf("without a sender: %d", status)
	}
	if status, _, body := o.post(
		admin, "/admin/personal/erase", append(form, "who", "ann", "reason", "x", "again", "ann")...,
	); status != 303 {
		t.Fatalf("%d %.3000s", status, body)
	}
	for sql, want := range map[string]int{
		`select count(*) from conversations`: 2, `select count(*) from senders`: 1, `select count(*) from rejected_events`: 1, `select count(*) from saved_views`: 1, `select count(*) from erased`: 1,
	} {
		var n int
		if err := o.pool.QueryRow(t.Context(), sql).Scan(&n); err != nil || n != want {
			t.Errorf("%s: %d, want %d, %v", sql, n, want, err)
		}
	}
}

// figuresOf are the figures of a page, in their order.
func figuresOf(page string) (all []string) {
	for _, m := range anchor.FindAllStringSubmatch(page, -1) {
		all = append(all, m[2]+"/"+m[3])
	}
	return all
}

// TestErasedTables: what belongs to senders is erased, also of tables that come later.
func TestErasedTables(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	rows, _ := pool.Query(t.Context(), `
select distinct c.table_name::text from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
where c.table_schema = 'public' and c.column_name in ('sender_id', 'person') and t.table_type = 'BASE TABLE'`)
	var name string
	known := queries.ErasedTables()
	n := 0
	for rows.Next() {
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		n++
		of, _, _ := strings.Cut(name, "_p2") // a partition
		if !slices.Contains(known, of) && !slices.Contains([]string{"erased", "erasures", "legal_holds"}, of) {
			t.Errorf("%s has senders or people and is not erased", name)
		}
	}
	if n < 20 {
		t.Errorf("%d tables", n)
	}
}

// TestDeletedTables: what belongs to a conversation is deleted with it.
func TestDeletedTables(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	rows, _ := pool.Query(t.Context(), `
select distinct c.table_name::text from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
where c.table_schema = 'public' and c.column_name = 'conversation_id' and t.table_type = 'BASE TABLE'`)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(names) < 15 {
		t.Fatal(names, err)
	}
	known := queries.DeletedTables()
	for _, name := range names {
		if of, _, _ := strings.Cut(name, "_p2"); !slices.Contains(known, of) && of != "legal_holds" {
			t.Errorf("%s belongs to conversations and is not deleted with them", name)
		}
	}
}
