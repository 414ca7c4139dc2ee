package queries

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// SourceHealth is how a source is doing.
type SourceHealth struct {
	ID   int64
	Name string
	Kind string
	// stored today, in the last 60 and 1 minutes; today's copies and revisions
	Today, LastHour, LastMinute, Duplicates, Revised int64
	Rejected, Redelivered, Empty                     int64 // today
	Open                                             int64 // rejected and not settled, of all time
	// seconds by which the time of an event was later than its arrival, at most, today; 0: none was
	Ahead          float64
	LastEventAt    *time.Time
	LastReceivedAt *time.Time
}

const sourceHealthSQL = `
select s.id, s.name, s.kind,
	coalesce(sum(m.stored) filter (where m.minute >= @today), 0)::bigint as today,
	coalesce(sum(m.stored) filter (where m.minute > @now::timestamptz - interval '1 hour'), 0)::bigint as last_hour,
	coalesce(sum(m.stored) filter (where m.received_at > @now::timestamptz - interval '1 minute'),
		0)::bigint as last_minute,
	coalesce(sum(m.duplicates) filter (where m.minute >= @today), 0)::bigint as duplicates,
	coalesce(sum(m.revised) filter (where m.minute >= @today), 0)::bigint as revised,
	coalesce(sum(m.rejected) filter (where m.minute >= @today), 0)::bigint as rejected,
	(select count(*) from rejected_events r where r.source_id = s.id and r.state = 'open') as open,
	coalesce(sum(m.redelivered) filter (where m.minute >= @today), 0)::bigint as redelivered,
	coalesce(sum(m.empty) filter (where m.minute >= @today), 0)::bigint as empty,
	coalesce(greatest(extract(epoch from max(m.newest_at - m.received_at) filter (where m.minute >= @today)), 0),
		0)::double precision as ahead,
	l.newest_at as last_event_at, l.received_at as last_received_at
from sources s
left join ingest_minutes m on m.source_id = s.id and m.minute >= least(@today, @now::timestamptz - interval '2 hours')
left join lateral (
	select max(x.newest_at) as newest_at, max(x.received_at) as received_at
	from ingest_minutes x
	where x.source_id = s.id
) as l on true
group by s.id, s.name, s.kind, l.newest_at, l.received_at
order by l.received_at desc nulls last, s.name
limit 500`

// SourcesHealth returns all sources, the one that brought something last first. today is the start of the day.
func SourcesHealth(ctx context.Context, db DB, now, today time.Time) ([]SourceHealth, error) {
	rows, _ := db.Query(ctx, sourceHealthSQL, pgx.StrictNamedArgs{"now": now, "today": today})
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[SourceHealth])
	if err != nil {
		return nil, fmt.Errorf("health of sources: %w", err)
	}
	return list, nil
}

// RejectedReason counts the open rejected events of one reason.
type RejectedReason struct {
	SourceID int64
	Source   string
	Code     string
	Detail   string
	Bodies   int64
	Seen     int64
	LastAt   time.Time
	Sample   conversation.UUID
}

const rejectedChoicesSQL = `
select distinct s.id, s.name, r.code
from rejected_events r
join sources s on s.id = r.source_id
order by 2, 3
limit 500`

// RejectedChoice is a source that has rejected events of some code.
type RejectedChoice struct {
	ID   int64
	Name string
	Code string
}

// RejectedChoices returns what lists of rejected events can be filtered by.
func RejectedChoices(ctx context.Context, db DB) ([]RejectedChoice, error) {
	rows, _ := db.Query(ctx, rejectedChoicesSQL)
	return pgx.CollectRows(rows, pgx.RowToStructByName[RejectedChoice])
}

const rejectedReasonsSQL = `
select r.source_id, s.name as source, r.code, r.detail, count(*) as bodies, sum(r.seen)::bigint as seen,
	max(r.last_at) as last_at,
	(array_agg(r.id order by r.last_at desc))[1] as sample
from rejected_events r
join sources s on s.id = r.source_id
where r.state = 'open'
group by r.source_id, s.name, r.code, r.detail
order by max(r.last_at) desc
limit 200`

// RejectedReasons returns why open rejected events were set aside.
func RejectedReasons(ctx context.Context, db DB) ([]RejectedReason, error) {
	rows, _ := db.Query(ctx, rejectedReasonsSQL)
	return pgx.CollectRows(rows, pgx.RowToStructByName[RejectedReason])
}

// Silent is an assistant whose conversations were never handed to a person in some time: either it needs none,
// or the signal is missing and containment cannot be trusted.
type Silent struct {
	Assistant     string
	Conversations int64
	LastEscalated *time.Time
}

const silentSQL = `
with quiet as materialized (
	select a.id, a.name, e.last_escalated
	from assistants a
	cross join lateral (
		select max(c.started_at) as last_escalated
		from conversations c
		where c.assistant_id = a.id and c.escalated_at is not null and c.started_at < @until
		offset 0
	) as e
	where e.last_escalated is null or e.last_escalated < @since
)
select q.name as assistant, n.conversations, q.last_escalated
from (
	select c.assistant_id, count(*) as conversations
	from conversations c
	where c.assistant_id in (select id from quiet) and c.started_at >= @since and c.started_at < @until and ` +
	engagedText + ` and ` + endedText + `
	group by c.assistant_id
	having count(*) >= @least
) as n
join quiet q on q.id = n.assistant_id
order by q.name
limit 200`

// silentFrom is how many conversations an assistant must have had for the lack of a hand-off to mean something.
const silentFrom = 30

// SilentDays is how long an assistant may go without a hand-off before its containment is doubted.
const SilentDays = 30

// SilentAssistants returns assistants with 30 engaged conversations or more that began in the SilentDays before until
// and have ended, but none handed over.
func SilentAssistants(ctx context.Context, db DB, until, now time.Time) ([]Silent, error) {
	args := pgx.StrictNamedArgs{
		"since": until.AddDate(0, 0, -SilentDays), "until": until, "now": now, "least": silentFrom,
	}
	rows, _ := db.Query(ctx, silentSQL, args)
	return pgx.CollectRows(rows, pgx.RowToStructByName[Silent])
}

const rejectedColumns = `
select r.id, r.source_id, s.name as source, r.first_at, r.last_at, r.seen, r.position, r.code, r.detail, r.byte_offset,
	r.assistant, r.environment, r.format, r.mapping, r.body, r.size, r.state
from rejected_events r
join sources s on s.id = r.source_id
where `

const (
	rejectedByIDSQL = rejectedColumns + `r.id = @id`
	rejectedListSQL = `
select r.id, r.source_id, s.name as source, r.first_at, r.last_at, r.seen, r.position, r.code, r.detail, r.byte_offset,
	r.assistant, r.environment, r.format, r.mapping, substr(r.body, 1, 200) as body, r.size, r.state
from rejected_events r
join sources s on s.id = r.source_id
where r.state = @state
	and (@source::bigint = 0 or r.source_id = @source)
	and (@code = '' or r.code = @code)
	and (@detail = '' or r.detail = @detail)
	and (r.last_at, r.id) < (@before, @before_id)
order by r.last_at desc, r.id desc
limit @limit`
	settleRejectedSQL = `update rejected_events set state = @state, state_at = @at, state_by = @by
	where id = @id and state = 'open' returning id`
)

// RejectedEventByID returns one, or ErrNotFound.
func RejectedEventByID(ctx context.Context, db Sight, id conversation.UUID) (RejectedEvent, error) {
	rows, _ := db.Query(ctx, rejectedByIDSQL, pgx.StrictNamedArgs{"id": id})
	return One[RejectedEvent](rows)
}

// RejectedFilter narrows a list of rejected events; zero fields do not.
type RejectedFilter struct {
	State    string // open (also ""), replayed or discarded
	Source   int64
	Code     string
	Detail   string
	Before   time.Time // with BeforeID, the place in the list
	BeforeID conversation.UUID
}

// RejectedEvents returns those of one state, the newest first, of each body only the beginning.
func RejectedEvents(ctx context.Context, db Sight, f RejectedFilter, limit int) ([]RejectedEvent, error) {
	if f.Before.IsZero() {
		f.Before = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	rows, _ := db.Query(ctx, rejectedListSQL, pgx.StrictNamedArgs{
		"state": cmp.Or(f.State, "open"), "source": f.Source, "code": f.Code, "detail": f.Detail, "before": f.Before,
		"before_id": f.BeforeID, "limit": limit,
	})
	return pgx.CollectRows(rows, pgx.RowToStructByName[RejectedEvent])
}

// SettleRejected notes that an open rejected event was replayed or discarded, or returns ErrNotFound.
func SettleRejected(ctx context.Context, db DB, id conversation.UUID, state, by string, at time.Time) error {
	return Changed(ctx, db, settleRejectedSQL, pgx.StrictNamedArgs{"id": id, "state": state, "by": by, "at": at})
}

// Totals are the sizes that doctor tells.
type Totals struct {
	Assistants    int64
	Senders       int64
	Conversations int64
	Events        int64 // estimated from statistics
	Rejected      int64 // open
	NewestAt      *time.Time
	Bytes         int64
}

const totalsSQL = `
select (select count(*) from assistants) as assistants,
	(select greatest(reltuples, 0)::bigint from pg_class where oid = 'senders'::regclass) as senders,
	(select greatest(reltuples, 0)::bigint from pg_class where oid = 'conversations'::regclass) as conversations,
	(select coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint from pg_inherits i
		join pg_class c on c.oid = i.inhrelid where i.inhparent = 'events'::regclass) as events,
	(select count(*) from rejected_events where state = 'open') as rejected,
	(select max(started_at) from conversations) as newest_at,
	pg_database_size(current_database()) as bytes`

// DatabaseTotals returns the sizes of the database; counts of rows are the server's estimates.
func DatabaseTotals(ctx context.Context, db DB) (Totals, error) {
	rows, _ := db.Query(ctx, totalsSQL)
	return One[Totals](rows)
}

const hasEventsSQL = `select exists (select from conversations)`

// HasConversations tells an empty database from one with data.
func HasConversations(ctx context.Context, db DB) (bool, error) {
	rows, _ := db.Query(ctx, hasEventsSQL)
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
}

// ServerVersionInfo is which PostgreSQL it is.
type ServerVersionInfo struct {
	Number int32 // such as 170002
	Text   string
}

const serverVersionSQL = `select current_setting('server_version_num')::integer as number,
	current_setting('server_version') as text`

// ServerVersion tells which PostgreSQL it is.
func ServerVersion(ctx context.Context, db DB) (ServerVersionInfo, error) {
	rows, _ := db.Query(ctx, serverVersionSQL)
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[ServerVersionInfo])
}
