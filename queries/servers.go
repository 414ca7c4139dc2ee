package queries

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Server is a process that does jobs.
type Server struct {
	ID        string
	Version   string
	StartedAt time.Time
	AliveAt   time.Time
}

const (
	heartbeatSQL = `
insert into servers (id, version, schema, started_at, alive_at)
values (@id, @version, @schema, now(), now())
on conflict (id) do update
set alive_at = now()`
	endServerSQL  = `delete from servers where id = @id`
	forgetDeadSQL = `delete from servers where alive_at < now() - interval '1 day'`
	serversSQL    = `select id, version, started_at, alive_at from servers order by started_at, id`

	// A job that may be tried again is; the others have failed. Their kind can then be put in anew.
	rescueJobsSQL = `
update river_job
set state = case when attempt < max_attempts then 'available' else 'discarded' end::river_job_state,
	scheduled_at = case when attempt < max_attempts then now() else scheduled_at end,
	finalized_at = case when attempt < max_attempts then null else now() end,
	errors = array_append(errors, jsonb_build_object('at', now(), 'attempt', attempt, 'error',
		'the server that did it ended', 'trace', ''))
where state = 'running' and not exists (
	select from servers s
	where s.id = river_job.attempted_by[array_upper(river_job.attempted_by, 1)]
		and s.alive_at > now() - make_interval(secs => @dead))`
)

// Heartbeat tells that a process is alive, by the database's clock. ErrOutdated says that it must end.
func Heartbeat(ctx context.Context, db DB, id, version string) error {
	_, err := db.Exec(ctx, heartbeatSQL, pgx.StrictNamedArgs{"id": id, "version": version, "schema": schema})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "TWOLD" {
		return ErrOutdated
	}
	return err
}

// EndServer tells that a process ended.
func EndServer(ctx context.Context, db DB, id string) error {
	_, err := db.Exec(ctx, endServerSQL, pgx.StrictNamedArgs{"id": id})
	return err
}

// Servers returns the processes that do jobs, also those that died within the last day.
func Servers(ctx context.Context, db DB) ([]Server, error) {
	rows, _ := db.Query(ctx, serversSQL)
	return pgx.CollectRows(rows, pgx.RowToStructByName[Server])
}

// RescueJobs has the jobs of processes that have been silent so long begun again, and returns how many.
func RescueJobs(ctx context.Context, db DB, dead time.Duration) (int64, error) {
	if _, err := db.Exec(ctx, forgetDeadSQL); err != nil {
		return 0, err
	}
	tag, err := db.Exec(ctx, rescueJobsSQL, pgx.StrictNamedArgs{"dead": dead.Seconds()})
	return tag.RowsAffected(), err
}
