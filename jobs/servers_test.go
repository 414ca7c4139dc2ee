package jobs_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/jobs"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// TestTakenBack: what a server left that was killed is begun again, or has failed when it may not be; what another is
// at stays with it.
func TestTakenBack(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	ctx := t.Context()
	queue, err := jobs.NewQueue(pool)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"left", "last", "held", "unknown"} {
		if err := pgx.BeginFunc(
			ctx, pool, func(tx pgx.Tx) error { return queue.Add(ctx, tx, jobs.ExportArgs{ID: id}) },
		); err != nil {
			t.Fatal(err)
		}
	}
	if err := queries.Heartbeat(ctx, pool, "alive", "1"); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(ctx, `
insert into servers (id, version, schema, started_at, alive_at)
values ('dead', '1', 9999, now() - interval '1 hour', now() - interval '1 minute'), ('old', '1', 9999, now() - interval '2 days', now() - interval '2 days');
update river_job set state = 'running', attempt = 1, attempted_at = now() - interval '1 minute',
	attempted_by = case args->>'id' when 'held' then '{dead,alive}' when 'unknown' then '{gone}' else '{alive,dead}' end::text[];
update river_job set attempt = max_attempts where args->>'id' = 'last'`); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int64{3, 0} {
		if n, err := queries.RescueJobs(ctx, pool, 30*time.Second); err != nil || n != want {
			t.Fatalf("%d taken back, %v; want %d", n, err, want)
		}
	}
	rows, _ := pool.Query(
		ctx,
		`select (args->>'id') || ' ' || state::text || ' ' || coalesce(errors[1]->>'error', '-') || case when finalized_at is null then '' else ' over' end from river_job order by 1`,
	)
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"held running -", "last discarded the server that did it ended over",
		"left available the server that did it ended", "unknown available the server that did it ended",
	}
	for i := range want {
		if len(got) != len(want) || got[i] != want[i] {
			t.Fatalf("jobs: %q, want %q", got, want)
		}
	}
	all, err := queries.Servers(ctx, pool)
	if err != nil || len(all) != 2 || all[0].ID != "dead" || all[1].ID != "alive" {
		t.Errorf("servers: %+v, %v", all, err)
	}
}
