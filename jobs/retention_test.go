package jobs_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/demo"
	"turnwise/jobs"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/queries/figures"
	"turnwise/queries/work"
)

func days(n int32) *int32 { return &n }

// TestRetention: what is deleted is what the preview said; nothing of it is left in any table; what is held stays;
// figures of all days stay to the last digit, whatever arrives late, and in another zone; people who come again are not
// new.
func TestRetention(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	berlin := zone(t, "Europe/Berlin")
	now := time.Date(2026, 10, 27, 9, 17, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	g := figures.NewGrid(berlin)
	generate(t, pool, demo.Options{Conversations: 900, Days: 100, Until: now.Add(-3 * time.Hour), Seed: 11})
	rollUp(t, pool, g, now)
	admin := access.Account{
		ID: queries.NewID(), Email: "a@example.org", Name: "a", Role: "admin", PasswordHash: "x", CreatedAt: now,
	}
	if err := queries.AddAccount(t.Context(), pool, admin); err != nil {
		t.Fatal(err)
	}
	figuresOf := func(of metric.Filter, g figures.Grid) figures.Answer {
		t.Helper()
		f, err := figures.Count(t.Context(), pool, figures.Question{
			Filter: of, Flows: true, Steps: true, Times: true, Hours: true, Parts: true, Intents: true, Users: true,
			Now: now, Grid: g,
		})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	all := metric.Filter{Range: metric.Range{Days: 120}}
	old := all.Within(metric.AddDays(now, -99, berlin), metric.AddDays(now, -40, berlin))
	before, oldBefore := figuresOf(all, g), figuresOf(old, g)
	// Harbour bank keeps 60 days, its web chat 80; everybody else 40.
	for _, r := range []queries.RetentionRule{
		{ConversationDays: days(40), Most: 100_000}, {
			Assistant: "harbour-bank", ConversationDays: days(60), Most: 100_000,
		}, {Assistant: "harbour-bank", Channel: "webchat", ConversationDays: days(80), Most: 100_000},
	} {
		r.ID, r.ChangedAt = queries.NewID(), now
		if err := queries.AddRetentionRule(t.Context(), pool, r, admin.ID); err != nil {
			t.Fatal(err)
		}
	}
	rules, err := queries.RetentionRules(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	type kept struct {
		id    conversation.UUID
		gone  bool
		start time.Time
	}
	list := func() (out []kept) {
		t.Helper()
		rows, err := pool.Query(t.Context(), `
			select c.id, c.last_at < case when a.name = 'harbour-bank' and coalesce(ch.name, '') = 'webchat' then $1::timestamptz when a.name = 'harbour-bank' then $2::timestamptz else $3::timestamptz end, c.started_at
			from conversations c
			join assistants a on a.id = c.assistant_id
			left join channels ch on ch.id = c.channel_id
			order by c.started_at`, queries.Cutoff(80, now, berlin), queries.Cutoff(60, now, berlin), queries.Cutoff(40, now, berlin))
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var k kept
			if err := rows.Scan(&k.id, &k.gone, &k.start); err != nil {
				t.Fatal(err)
			}
			out = append(out, k)
		}
		return out
	}
	was := list()
	var held conversation.UUID // the last; whole months go before it
	for _, k := range was {
		if k.gone {
			held = k.id
		}
	}
	if err := queries.AddLegalHold(
		t.Context(), pool,
		queries.LegalHold{ID: queries.NewID(), ConversationID: &held, Reason: "a lawsuit", CreatedAt: now}, admin.ID,
	); err != nil {
		t.Fatal(err)
	}
	want := int64(-1)
	for _, k := range was {
		if k.gone {
			want++
		}
	}
	preview, err := queries.PreviewRetention(t.Context(), pool, queries.KeptConversations, rules, now, berlin)
	if err != nil || preview.Conversations != want || preview.Held != 1 || preview.Oldest == nil || want < 100 {
		t.Fatalf("%+v, %v; want %d", preview, err, want)
	}
	run, err := jobs.Retain(t.Context(), pool, berlin, clock)
	if err != nil || run.Conversations != want || run.More {
		t.Fatalf("%+v, %v; want %d", run, err, want)
	}
	left := map[conversation.UUID]bool{}
	for _, k := range list() {
		left[k.id] = true
		if k.gone && k.id != held {
			t.Errorf("%s of %s is left", k.id, k.start)
		}
	}
	for _, k := range was {
		if left[k.id] != (!k.gone || k.id == held) {
			t.Errorf("%s: left %t", k.id, left[k.id])
		}
	}
	nothingLoose(t, pool)
	if len(run.Partitions) == 0 {
		t.Error("no partition was dropped")
	}
	same(t, "all", figuresOf(all, g), before)
	same(t, "old days", figuresOf(old, g), oldBefore)
	// A later version packs more, and its figures cannot be counted again either once this one is back.
	for _, sql := range []string{
		// another family
		`update rollup_hours set tally = tally || '\x4d0101'::bytea, others = others || '\x03e7000000010f'::bytea`,
		`update rollup_days set tally = tally || '\x4d0101'::bytea, others = others || '\x03e7000000010f'::bytea`,
		`update rollup_day_sums set packed = packed || '\x4d0101'::bytea`,
		`insert into rollup_day_sums select distinct at, assistant_id, 999::smallint, '\x02'::bytea from rollup_day_sums`,
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "all, packed by a later version", figuresOf(all, g), before)
	if _, err := pool.Exec(t.Context(), `update rollup_state set version = version + 1`); err != nil {
		t.Fatal(err)
	}
	rollUp(t, pool, g, now)
	same(t, "all, counted again after a later version", figuresOf(all, g), before)
	same(t, "old days, counted again after a later version", figuresOf(old, g), oldBefore)
	if again, err := jobs.Retain(t.Context(), pool, berlin, clock); err != nil || again.Conversations != 0 {
		t.Errorf("again: %+v, %v", again, err)
	}
	// Whatever arrives for a day that was partly deleted does not change what was counted.
	at := metric.AddDays(now, -70, berlin).Add(12 * time.Hour)
	feed(
		t, pool,
		bodies(
			fmt.Sprintf(
				`{"sender_id":"late","event":"user","text":"hello","timestamp":%d,"metadata":{"assistant_id":"parcel-desk"}}`,
				at.Unix(),
			),
		),
	)
	rollUp(t, pool, g, now)
	same(t, "old days after a late event", figuresOf(old, g), oldBefore)
	if again, err := jobs.Retain(t.Context(), pool, berlin, clock); err != nil || again.Conversations != 1 {
		t.Errorf("the late one: %+v, %v", again, err)
	}
	// Somebody who was forgotten comes again.
	user := "ann"
	second := func(at time.Time) { // of the same person, by another sender
		feed(
			t, pool,
			bodies(
				fmt.Sprintf(
					`{"sender_id":"s-%d","event":"user","text":"hello","user_id":%q,"timestamp":%d,"metadata":{"assistant_id":"zoo"}}`,
					at.Unix(), user, at.Unix(),
				),
			),
		)
	}
	second(now.AddDate(0, 0, -90))
	rollUp(t, pool, g, now)
	if again, err := jobs.Retain(t.Context(), pool, berlin, clock); err != nil || again.Conversations != 1 {
		t.Errorf("ann's first: %+v, %v", again, err)
	}
	second(now.Add(-2 * time.Hour))
	if err := figures.LinkPersons(t.Context(), pool); err != nil { // as the job does a moment later
		t.Fatal(err)
	}
	for range 2 {
		f := metric.Filter{Range: metric.Range{Days: 7}, Assistants: []string{"zoo"}}
		from, until := f.Range.Bounds(now, berlin)
		if u := metric.CountUsers(
			figuresOf(f, g).Users, []metric.Span{{From: from, Until: until}}, nil,
		); u.Active != (metric.Active{All: 1}) {
			t.Errorf("ann came again: %+v", u.Active)
		}
		rollUp(t, pool, g, now)
	}
	// In another zone the days are others, the sum is the same.
	kathmandu := zone(t, "Asia/Kathmandu")
	total := func(f figures.Answer) (n int64) {
		for _, c := range f.Cells {
			n += c.Tally.Count(metric.All)
		}
		return n
	}
	wide := metric.Filter{Range: metric.Range{Days: 130}}
	sum := total(figuresOf(wide, g))
	g = figures.NewGrid(kathmandu)
	rollUp(t, pool, g, now)
	if got := total(figuresOf(wide, g)); got != sum {
		t.Errorf("in Kathmandu there are %d conversations, in Berlin %d", got, sum)
	}
}

// bodies yields events one after the other.
func bodies(all ...string) func() ([]byte, bool) {
	return func() ([]byte, bool) {
		if len(all) == 0 {
			return nil, false
		}
		b := []byte(all[0])
		all = all[1:]
		return b, true
	}
}

// nothingLoose looks for rows of conversations that are gone in every table that names conversations.
func nothingLoose(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	rows, err := pool.Query(
		t.Context(),
		`select c.table_name from information_schema.columns c join information_schema.tables t using (table_schema, table_name) where c.table_schema = 'public' and c.column_name = 'conversation_id' and t.table_type = 'BASE TABLE' and c.table_name <> 'legal_holds'`,
	)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if rows.Close(); len(names) < 10 {
		t.Fatalf("tables: %v", names)
	}
	for _, name := range names {
		var n int
		if err := pool.QueryRow(
			t.Context(),
			`select count(*) from `+name+
				` x where not exists (select from conversations c where c.id = x.conversation_id)`,
		).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			t.Errorf("%d rows of %s belong to conversations that are gone", n, name)
		}
	}
	for _, sql := range []string{
		`select count(*) from senders s where not exists (select from conversations c where c.sender_id = s.id)`,
		`select count(*) from projections s where not exists (select from conversations c where c.sender_id = s.sender_id)`,
	} {
		var n int
		if err := pool.QueryRow(t.Context(), sql).Scan(&n); err != nil || n > 0 {
			t.Errorf("%s: %d, %v", sql, n, err)
		}
	}
}

// TestReviewsStay: review reports say the same after the conversations are gone, and nothing in the tables of reviews
// names them.
func TestReviewsStay(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	now := time.Date(2026, 10, 27, 9, 17, 0, 0, time.UTC)
	generate(t, pool, demo.Options{Conversations: 1500, Days: 40, Until: now.Add(-3 * time.Hour), Seed: 31})
	var quarter []string // of an hour
	for i := range 80 {
		quarter = append(
			quarter,
			fmt.Sprintf(
				`{"sender_id":"s%d","event":"user","text":"hello","timestamp":%d,"metadata":{"assistant_id":"zoo"}}`, i,
				now.AddDate(0, 0, -20).Unix()+int64(i),
			),
		)
	}
	feed(t, pool, bodies(quarter...))
	rollUp(t, pool, figures.NewGrid(time.UTC), now)
	keep(t, pool, queries.RetentionRule{ConversationDays: days(15)}, now)
	for _, sql := range []string{
		`insert into accounts (id, email, name, role, password_hash, created_at) select gen_random_uuid(), 'r' || n || '@example.org', 'r' || n, 'reviewer', 'x', now() from generate_series(1, 3) as n`,
		`insert into tags (id, name, assistant, created_at, created_by) select gen_random_uuid(), x.name, x.assistant, now(), (select id from accounts limit 1) from (values ('rude', ''), ('Rude', 'parcel-desk'), ('late', '')) as x (name, assistant)`,
		`insert into reviews (sender_id, conversation_id, account_id, rating, reviewed_at, events)
			select c.sender_id, c.id, u.id, case when hashtext(u.id::text || c.id::text) % 3 <> 0 then 1 + abs(hashtext(c.id::text || u.id::text)) % 5 end, case when hashtext(c.id::text) % 4 <> 0 then c.last_at end, c.events
			from conversations c, accounts u
			where u.role = 'reviewer' and abs(hashtext(c.id::text || u.id::text)) % 3 = 0`,
		`insert into conversation_tags (sender_id, conversation_id, tag_id, account_id, tagged_at) select c.sender_id, c.id, t.id, (select id from accounts limit 1), c.last_at from conversations c, tags t where abs(hashtext(c.id::text || t.id::text)) % 4 = 0`,
		`insert into review_states (sender_id, conversation_id, touched_at, reviewed_at, events)
			select c.sender_id, c.id, c.last_at, (select max(r.reviewed_at) from reviews r where r.conversation_id = c.id), c.events - abs(hashtext(c.id::text)) % 2
			from conversations c
			where exists (select from reviews r where r.conversation_id = c.id) or exists (select from conversation_tags t where t.conversation_id = c.id)`,
		`insert into queues (id, name, query, count, seed, created_by, created_at) select gen_random_uuid(), 'all', '', 0, 1, id, now() from accounts limit 1`,
		`insert into queue_items (queue_id, place, sender_id, conversation_id, why, claimed_at, ended, ended_by, ended_at)
			select (select id from queues), row_number() over (), r.sender_id, r.conversation_id, '', r.reviewed_at - abs(hashtext(r.conversation_id::text)) % 1000000 * interval '1 ms', 'reviewed', r.account_id, r.reviewed_at
			from (select distinct on (r.sender_id, r.conversation_id) r.* from reviews r where r.reviewed_at is not null order by r.sender_id, r.conversation_id, hashtext(r.account_id::text || r.conversation_id::text)) as r`,
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%v\n%s", err, sql)
		}
	}
	all := metric.Filter{Range: metric.Range{Days: 120}}
	bank, notWeb := all, all
	bank.Assistants = []string{"harbour-bank"}
	notWeb.Not.Channels = []string{"webchat"}
	cut := all.Within(now.AddDate(0, 0, -30).Truncate(time.Hour), now.AddDate(0, 0, -10))
	starts := []time.Time{
		now.AddDate(0, 0, -120), now.AddDate(0, 0, -30).Truncate(time.Hour), now.AddDate(0, 0, -18).Truncate(time.Hour),
	}
	reports := func() (out string) {
		t.Helper()
		for _, f := range []metric.Filter{all, bank, notWeb, cut} {
			for _, by := range []string{"", "assistant", "channel", "outcome"} {
				c, err := work.CoverageOf(t.Context(), pool, f, by, now, time.UTC)
				if err != nil {
					t.Fatal(err)
				}
				out += fmt.Sprintln(f.Encode(), by, c)
			}
			people, err := work.ReviewersOf(t.Context(), pool, f, now, time.UTC)
			if err != nil || len(people) != 3 {
				t.Fatal(people, err)
			}
			for _, p := range people {
				out += fmt.Sprintln(p.Name, p.Reviewed, *p.Rating, p.Rated, *p.MedianS, p.Timed)
			}
			tags, err := work.TagsOverTime(t.Context(), pool, f, starts, now, time.UTC)
			if err != nil || len(tags) != 2 {
				t.Fatal(tags, err)
			}
			out += fmt.Sprintln(tags)
		}
		return out
	}
	before := reports()
	run, err := jobs.Retain(t.Context(), pool, time.UTC, clock(now))
	if err != nil || run.Conversations < 500 {
		t.Fatalf("%+v, %v", run, err)
	}
	nothingLoose(t, pool)
	if after := reports(); after != before {
		t.Errorf("%s", difference(after, before))
	}
	open := all
	open.Escalated = "yes" // of the deleted ones nobody knows
	c, err := work.CoverageOf(t.Context(), pool, open, "", now, time.UTC)
	if err != nil || len(c) != 1 || c[0].All > 500 {
		t.Errorf("escalated ones that are left: %v, %v", c, err)
	}
}

// TestRetentionLimit: a run ends at its limit, but never within a window of six hours; a rule that is taken back leaves
// nothing loose.
func TestRetentionLimit(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	now := time.Date(2026, 10, 27, 9, 17, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	generate(t, pool, demo.Options{Conversations: 300, Days: 60, Until: now.Add(-3 * time.Hour), Seed: 12})
	rollUp(t, pool, figures.NewGrid(time.UTC), now)
	admin := access.Account{
		ID: queries.NewID(), Email: "a@example.org", Name: "a", Role: "admin", PasswordHash: "x", CreatedAt: now,
	}
	if err := queries.AddAccount(t.Context(), pool, admin); err != nil {
		t.Fatal(err)
	}
	r := queries.RetentionRule{ID: queries.NewID(), ConversationDays: days(10), Most: 20, ChangedAt: now}
	if err := queries.AddRetentionRule(t.Context(), pool, r, admin.ID); err != nil {
		t.Fatal(err)
	}
	var first time.Time
	for i := range 3 {
		run, err := jobs.Retain(t.Context(), pool, time.UTC, clock)
		if err != nil || run.Conversations < 20 || !run.More || run.Newest == nil {
			t.Fatalf("%+v, %v", run, err)
		}
		if err := pool.QueryRow(t.Context(), `select min(started_at) from conversations`).Scan(&first); err != nil {
			t.Fatal(err)
		}
		if first.Before(*run.Newest) {
			t.Errorf("run %d: %s is left, though it deleted until %s", i, first, run.Newest)
		}
	}
	if err := queries.DeleteRetentionRule(t.Context(), pool, r.ID); err != nil {
		t.Fatal(err)
	}
	r.ID, r.ConversationDays = queries.NewID(), days(1000)
	if err := queries.AddRetentionRule(t.Context(), pool, r, admin.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := jobs.Retain(t.Context(), pool, time.UTC, clock); err != nil {
		t.Fatal(err)
	}
	nothingLoose(t, pool)
}

// TestRetentionBesideHold: a hold on the oldest conversation keeps nothing but that; months after it are dropped, and a
// run without rules ends what one that was stopped began.
func TestRetentionBesideHold(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	now := time.Date(2026, 10, 27, 9, 17, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	generate(t, pool, demo.Options{Conversations: 400, Days: 150, Until: now.Add(-3 * time.Hour), Seed: 12})
	rollUp(t, pool, figures.NewGrid(time.UTC), now)
	admin := access.Account{
		ID: queries.NewID(), Email: "a@example.org", Name: "a", Role: "admin", PasswordHash: "x", CreatedAt: now,
	}
	if err := queries.AddAccount(t.Context(), pool, admin); err != nil {
		t.Fatal(err)
	}
	var first conversation.UUID
	if err := pool.QueryRow(
		t.Context(), `select id from conversations order by started_at limit 1`,
	).Scan(&first); err != nil {
		t.Fatal(err)
	}
	r := queries.RetentionRule{ID: queries.NewID(), ConversationDays: days(30), Most: 100_000, ChangedAt: now}
	h := queries.LegalHold{ID: queries.NewID(), ConversationID: &first, Reason: "a lawsuit", CreatedAt: now}
	if err := errors.Join(
		queries.AddRetentionRule(t.Context(), pool, r, admin.ID), queries.AddLegalHold(t.Context(), pool, h, admin.ID),
	); err != nil {
		t.Fatal(err)
	}
	run, err := jobs.Retain(t.Context(), pool, time.UTC, clock)
	if err != nil || run.Conversations < 200 || len(run.Partitions) < 3 {
		t.Fatalf("%+v, %v", run, err)
	}
	nothingLoose(t, pool)
	// A month that was doomed, and whose rule is gone before it was dropped.
	if _, err := pool.Exec(
		t.Context(),
		`insert into dropping_months values ('2026-10-01'); delete from conversations where id in (select id from conversations where started_at > '2026-10-05' order by started_at limit 20)`,
	); err != nil {
		t.Fatal(err)
	}
	if err := queries.DeleteRetentionRule(t.Context(), pool, r.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := jobs.Retain(t.Context(), pool, time.UTC, clock); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"events", "event_payloads", "messages"} {
		var n int
		if err := pool.QueryRow(
			t.Context(),
			`select count(*) from `+table+
				` x where not exists (select from conversations c where c.id = x.conversation_id)`,
		).Scan(&n); err != nil || n > 0 {
			t.Errorf("%d rows of %s are left, %v", n, table, err)
		}
	}
}
