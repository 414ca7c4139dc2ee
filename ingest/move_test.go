package ingest_test

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/conversation"
	"turnwise/ingest"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// follow has what is stored follow an alias that was made or taken away.
func follow(t *testing.T, pool *pgxpool.Pool, kind queries.FoldKind, from, to string) {
	t.Helper()
	user := conversation.UUID{}
	run := queries.FoldRun{
		ID: queries.NewID(), Kind: kind, Assistant: from, Target: to, AccountID: &user, CreatedAt: time.Now(),
	}
	if err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		if kind == queries.FoldToMerge {
			if _, err := queries.MergeAssistant(t.Context(), tx, from, to, user, time.Now()); err != nil {
				return err
			}
		} else if of, err := queries.SeparateAssistant(t.Context(), tx, to); err != nil || of != from {
			t.Errorf("%s belonged to %s, %v", to, of, err)
		}
		return queries.StartFold(t.Context(), tx, run, nil)
	}); err != nil {
		t.Fatal(err)
	}
	if err := ingest.NewWriter(pool, quiet).FoldStored(context.Background(), run.ID); err != nil {
		t.Fatal(err)
	}
	if err := queries.EndFold(t.Context(), pool, run.ID, 0, "", time.Now()); err != nil {
		t.Fatal(err)
	}
}

// facts is what is stored but for the names of assistants, of which a merged one is left.
func facts(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	var out []string
	for _, table := range strings.Split(dbtest.Dump(t, pool), "== ") {
		if name, _, _ := strings.Cut(table, " "); name != "assistants" && name != "versions" && name != "" {
			out = append(out, table)
		}
	}
	return regexp.MustCompile(`rollup_\w+ .*`).ReplaceAllString(strings.Join(out, "== "), "")
}

// TestMergedTrainings has a bot that named another assistant at each training be one: with the operator's word for it,
// or merged afterwards, which comes to the same, and separated again.
func TestMergedTrainings(t *testing.T) {
	t.Parallel()
	bodies := findings(t, "20-")
	models := []string{"20260901-090000-gentle-otter", "20260908-090000-brisk-maple", "20260915-090000-quiet-river"}

	always := dbtest.Pool(t)
	w := ingest.NewWriter(always, quiet)
	src := openSource(t, w)
	src.Assistant, src.Always = "my-shop", true
	stream(t, w, src, bodies, ingest.Options{})
	if got := texts(t, always, `select name from assistants`); len(got) != 1 || got[0] != "my-shop" {
		t.Errorf("assistants, always my-shop: %v", got)
	}
	if n := count(t, always, `select count(*) from conversations`); n != 3 {
		t.Errorf("%d conversations, want 3: a model that is replaced cuts no talk", n)
	}

	pool := dbtest.Pool(t)
	deliverFile(t, pool, bodies)
	before := facts(t, pool)
	if n := count(t, pool, `select count(distinct assistant_id) from conversations`); n != 3 {
		t.Fatalf("%d assistants", n)
	}
	// Somebody reviewed the second visit and noted something about its first message.
	for _, sql := range []string{
		`insert into accounts (id, email, name, role, password_hash, created_at) values ('00000000-0000-0000-0000-000000000001', 'a@b.c', 'A', 'admin', '', now())`,
		`insert into notes (id, sender_id, conversation_id, message_id, account_id, text, created_at) select gen_random_uuid(), m.sender_id, m.conversation_id, m.id, '00000000-0000-0000-0000-000000000001', 'see this', now() from messages m where m.text = 'visit 1'`,
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	noted := `select count(*) from notes n join messages m on m.sender_id = n.sender_id and m.id = n.message_id and m.conversation_id = n.conversation_id where m.text = 'visit 1'`
	uuid, err := queries.AssistantUUID(t.Context(), pool, models[0])
	if err != nil {
		t.Fatal(err)
	}
	follow(t, pool, queries.FoldToMerge, models[0], "my-shop") // a rename
	follow(t, pool, queries.FoldToMerge, models[1], "my-shop")
	follow(t, pool, queries.FoldToMerge, models[2], "my-shop")
	if name, err := queries.AssistantByUUID(t.Context(), pool, uuid); err != nil || name != "my-shop" {
		t.Errorf("the UUID is that of %q, %v", name, err)
	}
	other, err := queries.AssistantUUID(t.Context(), pool, models[2])
	if name, err2 := queries.AssistantByUUID(t.Context(), pool, other); err != nil || err2 != nil || name != "my-shop" {
		t.Errorf("the UUID of a merged one is that of %q, %v %v", name, err, err2)
	}
	merged := facts(t, pool)
	strip := regexp.MustCompile(`,(\d+)\)\n`)
	if got, want := count(t, pool, `select count(*) from conversations`), 3; got != want {
		t.Errorf("%d conversations, want %d", got, want)
	}
	_ = strip
	if n := count(t, pool, `select count(distinct assistant_id) from conversations`); n != 1 {
		t.Errorf("%d assistants after merging", n)
	}
	if n := count(t, pool, noted); n != 1 {
		t.Errorf("the note is on %d messages", n)
	}
	// What comes by an old name comes to the one, and is known.
	if c := deliverFile(t, pool, bodies); c.Duplicates != int64(len(bodies)) {
		t.Errorf("again after merging: %+v", c)
	}
	if got := facts(t, pool); got != merged {
		t.Errorf("the same events again changed the tables:\n%s", firstDifference(merged, got))
	}
	if err := ingest.NewWriter(pool, quiet).Rebuild(t.Context(), "", func(int) {}); err != nil {
		t.Fatal(err)
	}
	if got := facts(t, pool); got != merged {
		t.Errorf("a rebuild changed the tables:\n%s", firstDifference(merged, got))
	}
	for _, m := range models {
		follow(t, pool, queries.FoldToSeparate, "my-shop", m)
	}
	if got := facts(t, pool); got != before {
		t.Errorf("separated again, the tables differ:\n%s", firstDifference(before, got))
	}
	if n := count(t, pool, noted); n != 1 {
		t.Errorf("the note is on %d messages after separating", n)
	}
}
