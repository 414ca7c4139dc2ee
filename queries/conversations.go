package queries

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
)

// ListedConversation is a row of the list.
type ListedConversation struct {
	SenderID         int64
	ID               conversation.UUID
	StartedAt        time.Time
	LastAt           time.Time
	ActiveAt         time.Time
	ClosesAt         time.Time
	Assistant        string
	Environment      string
	Channel          string
	Version          string
	UserMessages     int32
	Turns            int32
	Events           int32
	Outcome          string
	CSAT             string `db:"csat"`
	Escalated        bool
	Flows            []string
	LastFlow         string
	FirstText        string
	Removed          int16    // by retention: 1 the texts, 2 the events too
	ResponseMedianMS *float64 `db:"response_median_ms"`
}

const listColumns = `
select c.sender_id, c.id, c.started_at, c.last_at, c.active_at, c.closes_at, a.name as assistant,
	coalesce(e.name, '') as environment, coalesce(ch.name, '') as channel,
	coalesce(nullif(v.model_name, ''), v.model_id, '') as version,
	c.user_messages, c.turns, c.events, c.outcome, c.csat, c.escalated_at is not null as escalated, c.flows,
		c.last_flow,
	c.first_text, c.removed, c.response_median_ms
from (
	select *
	from `

const listJoins = `
) as c
join assistants a on a.id = c.assistant_id
left join environments e on e.id = c.environment_id
left join channels ch on ch.id = c.channel_id
left join versions v on v.id = c.version_id
order by c.started_at desc, c.id desc`

// Conversations returns at most limit conversations of the filter, newest first, from the place on that
// the cursor names (nil: the newest). few says that the filter has few in all: then they are found first and
// ordered after, where a walk back in time would pass over all the others.
func Conversations(
	ctx context.Context, db Sight, f metric.Filter, at *metric.Cursor, few bool, limit int, now time.Time,
	zone *time.Location,
) ([]ListedConversation, error) {
	known, err := LookUp(ctx, db, f, now, zone)
	if err != nil {
		return nil, err
	}
	return listed(ctx, db, f, known, at, few, limit, now, zone)
}

func listed(
	ctx context.Context, db DB, f metric.Filter, known FilterIDs, at *metric.Cursor, few bool, limit int, now time.Time,
	zone *time.Location,
) ([]ListedConversation, error) {
	if !known.text.many || few {
		return matching(ctx, db, f, known, at, few, limit, now, zone)
	}
	// So many that the next ones are looked at from the newest on, until there are enough.
	var list []ListedConversation
	from, until := f.Range.Bounds(now, zone)
	for batch := limit; ; batch *= 4 {
		if textAlone(f) {
			batch = limit
		}
		hits, err := nextHits(ctx, db, known.text, at, batch, from, until)
		if err != nil {
			return nil, err
		}
		some := known
		some.text = known.text.with(hits)
		more, err := matching(ctx, db, f, some, at, true, limit-len(list), now, zone)
		if err != nil {
			return nil, err
		}
		if list = append(list, more...); len(list) >= limit || len(hits) < batch {
			slices.SortFunc(list, func(a, b ListedConversation) int {
				return cmp.Or(b.StartedAt.Compare(a.StartedAt), b.ID.Compare(a.ID))
			})
			return list, nil
		}
		last := hits[len(hits)-1]
		at = &metric.Cursor{At: last.at.UnixMicro(), ID: last.id, Newer: at != nil && at.Newer}
	}
}

// matching asks the database for conversations of the filter.
func matching(
	ctx context.Context, db DB, f metric.Filter, known FilterIDs, at *metric.Cursor, few bool, limit int, now time.Time,
	zone *time.Location,
) ([]ListedConversation, error) {
	w := FilterConversations(f, known, now, zone)
	order := "c.started_at desc, c.id desc"
	if at != nil {
		w.Args["cursor_at"], w.Args["cursor_id"] = time.UnixMicro(at.At), at.ID
		if at.Newer {
			w.And("(c.started_at, c.id) > (@cursor_at, @cursor_id)", "", nil)
			order = "c.started_at, c.id"
		} else {
			w.And("(c.started_at, c.id) < (@cursor_at, @cursor_id)", "", nil)
		}
	}
	w.Args["limit"] = limit
	from := "conversations c\n\twhere " + w.String()
	if few { // offset 0 keeps the planner from merging the two
		from = "(select * from conversations c where " + w.String() + " offset 0) as c"
	}
	rows, _ := db.Query(ctx, listColumns+from+"\n\torder by "+order+"\n\tlimit @limit"+listJoins, w.Args)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[ListedConversation])
	if err != nil {
		return nil, fmt.Errorf("list conversations: %w", err)
	}
	return list, nil
}

// CountConversations counts the conversations of the filter, at most limit.
func CountConversations(
	ctx context.Context, db DB, f metric.Filter, limit int, now time.Time, zone *time.Location,
) (int, error) {
	known, err := LookUp(ctx, db, f, now, zone)
	if err != nil {
		return 0, err
	}
	return counted(ctx, db, f, known, limit, now, zone)
}

func counted(
	ctx context.Context, db DB, f metric.Filter, known FilterIDs, limit int, now time.Time, zone *time.Location,
) (int, error) {
	if known.text.query != "" && textAlone(f) {
		if known.text.many {
			return limit, nil
		}
		return min(limit, len(known.text.hits)), nil
	}
	w := FilterConversations(f, known, now, zone)
	w.Args["limit"] = limit
	rows, _ := db.Query(
		ctx, "select count(*) from (select from conversations c where "+w.String()+" limit @limit) as found", w.Args,
	)
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
}

const (
	assistantNamesSQL = `select a.name from assistants a where not exists (select from assistant_aliases x
	where x.name = a.name) order by a.name limit 500`
	allEnvironmentsSQL = `select name from environments order by name limit 500`
	channelNamesSQL    = `select name from channels order by name limit 500`
	versionNamesSQL    = `select name from (select coalesce(nullif(model_name, ''), model_id) as name,
	max(first_seen_at) as first from versions group by 1 order by 2 desc limit 200) as v`
	// The most common flows stand in the statistics of the column: no table is read.
	flowNamesSQL = `
select substr(f, 3) as flow
from pg_stats, unnest(most_common_elems::text::text[]) as f
where schemaname = 'public' and tablename = 'conversations' and attname = 'facets' and f like 'f:%'
order by 1
limit 500`
	markerNamesSQL   = `select distinct name from patterns where active order by 1 limit 500`
	tagNamesSQL      = `select min(name) from tags group by lower(name) order by lower(min(name)) limit 500`
	reviewerNamesSQL = `select id || ' ' || name from accounts where role <> 'viewer' order by lower(name), id limit 500`
	someFlowsSQL     = `
select distinct unnest(c.flows) as flow
from (select flows from conversations order by started_at desc, id desc limit 500) as c
order by 1
limit 500`
)

const firstConversationSQL = `select coalesce(min(started_at), now()) from conversations`

const firstCountedSQL = `select least((select min(started_at) from conversations), (select min(at) from rollup_days),
	(select min(at) from rollup_hours))`

// FirstCounted returns when the first conversation began that figures count, also where retention has deleted it since;
// now when there is none.
func FirstCounted(ctx context.Context, db DB) (time.Time, error) {
	rows, _ := db.Query(ctx, firstCountedSQL)
	first, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[*time.Time])
	if err != nil || first == nil {
		return time.Now(), err
	}
	return *first, nil
}

// FirstConversation returns when the first conversation began; now when there is none.
func FirstConversation(ctx context.Context, db DB) (time.Time, error) {
	rows, _ := db.Query(ctx, firstConversationSQL)
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[time.Time])
}

const placeSQL = `
select sender_id, id, events
from conversations
where id = @id
order by started_at desc
limit 1`

// PlaceOf returns where a conversation is stored and how many events it has, or ErrNotFound.
func FindConversation(ctx context.Context, db DB, id conversation.UUID) (ConversationKey, int32, error) {
	rows, _ := db.Query(ctx, placeSQL, pgx.StrictNamedArgs{"id": id})
	type row struct {
		SenderID int64
		ID       conversation.UUID
		Events   int32
	}
	r, err := One[row](rows)
	return ConversationKey{r.SenderID, r.ID}, r.Events, err
}
