package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/schedule"
)

// ClaimLasts is how long an item is nobody else's after somebody took it.
const ClaimLasts = 15 * time.Minute

// Share is a part of a queue that is drawn from the conversations of which a condition holds.
type Share struct {
	Is      string  `json:"is"` // a metric.Condition; "all" for any
	Percent float64 `json:"percent"`
}

// Queue says which conversations are to be reviewed, and how far that is.
type Queue struct {
	ID        conversation.UUID
	Name      string
	Query     string // of the filter
	Shares    []Share
	Count     int32   // how many are drawn; 0: by percent
	Percent   float64 // of the population; 0 with count 0: all
	Seed      int64
	Schedule  string // schedule.Times; "" for one draw, when it is made
	Zone      string // of the schedule
	NextAt    *time.Time
	Revision  int32
	CreatedAt time.Time
	By        string
	ClosedAt  *time.Time

	Items, Reviewed, Skipped int64 // without those that were replaced
	Open, MineOpen, MineDone int64 // MineOpen: that the user may take
	MineGoal                 int64
}

// Assigned tells the queue of conversations that were given to somebody one by one.
func (q Queue) Assigned() bool { return q.ID == assignedQueue }

// MostDrawn is how many conversations one draw takes at most.
const MostDrawn = 10_000

const queueColumns = `
select q.id, q.name, q.query, q.shares::text as shares, q.count, q.percent, q.seed, q.schedule, q.zone, q.next_at,
	q.revision, q.created_at, u.name as by, q.closed_at,
	i.items, i.reviewed, i.skipped, i.open, i.mine_open, i.mine_done, coalesce(r.goal, 0)::bigint as mine_goal
from queues q
join accounts u on u.id = q.created_by
left join queue_reviewers r on r.queue_id = q.id and r.account_id = @user
cross join lateral (
	select count(*) filter (where x.ended <> 'replaced') as items, count(*)
		filter (where x.ended = 'reviewed') as reviewed, count(*) filter (where x.ended = 'skipped') as skipped,
		count(*) filter (where x.ended_at is null) as open,
		count(*) filter (where x.ended_at is null and (x.for_account = @user or ` + freeText + `)) as mine_open,
		count(*) filter (where x.ended in ('reviewed', 'skipped') and x.ended_by = @user) as mine_done
	from queue_items x
	where x.queue_id = q.id
) as i
where (q.id <> @assigned or i.mine_open > 0 or @lead::boolean)
`

const (
	queuesSQL = queueColumns + ` and q.closed_at is null
order by i.mine_open = 0, lower(q.name), q.id
limit 500`
	queueSQL = queueColumns + ` and q.id = @id`
)

func scanQueue(row pgx.CollectableRow) (q Queue, err error) {
	var shares string
	err = row.Scan(&q.ID, &q.Name, &q.Query, &shares, &q.Count, &q.Percent, &q.Seed, &q.Schedule, &q.Zone, &q.NextAt,
		&q.Revision, &q.CreatedAt, &q.By, &q.ClosedAt,
		&q.Items, &q.Reviewed, &q.Skipped, &q.Open, &q.MineOpen, &q.MineDone, &q.MineGoal)
	if err == nil {
		err = json.Unmarshal([]byte(shares), &q.Shares)
	}
	return q, err
}

// Queues returns those that are open, what the user has to do first.
func Queues(ctx context.Context, db queries.DB, user conversation.UUID, lead bool) ([]Queue, error) {
	rows, _ := db.Query(ctx, queuesSQL, pgx.StrictNamedArgs{"user": user, "lead": lead, "assigned": assignedQueue})
	return pgx.CollectRows(rows, scanQueue)
}

// QueueByID returns a queue as a user sees it, or ErrNotFound.
func QueueByID(ctx context.Context, db queries.DB, id, user conversation.UUID) (Queue, error) {
	rows, _ := db.Query(ctx, queueSQL, pgx.StrictNamedArgs{
		"user": user, "lead": true, "id": id, "assigned": assignedQueue,
	})
	q, err := pgx.CollectExactlyOneRow(rows, scanQueue)
	if errors.Is(err, pgx.ErrNoRows) {
		err = queries.ErrNotFound
	}
	return q, err
}

// QueueReviewer is somebody who reviews a queue.
type QueueReviewer struct {
	AccountID        conversation.UUID
	Name             string
	Share, Goal      int32
	Open, Done       int64
	MedianS          *float64 // seconds from taking to ending
	May              bool     // review still
	Skipped, Claimed int64
}

const queueReviewersSQL = `
select u.id as account_id, u.name, coalesce(r.share, 0) as share, coalesce(r.goal, 0) as goal,
	count(x.queue_id) filter (where x.ended_at is null and x.for_account = u.id) as open,
	count(x.queue_id) filter (where x.ended = 'reviewed' and x.ended_by = u.id) as done,
	percentile_cont(0.5) within group (order by extract(epoch from x.ended_at - x.claimed_at))
		filter (where x.ended = 'reviewed' and x.ended_by = u.id and x.claimed_at is not null) as median_s,
	count(x.queue_id) filter (where x.ended = 'skipped' and x.ended_by = u.id) as skipped,
	count(x.queue_id) filter (where x.ended_at is null and x.claimed_by = u.id and x.claimed_until > @now) as claimed,
	not u.disabled and u.role <> 'viewer' and coalesce(u.transcripts, true) as may
from accounts u
left join queue_reviewers r on r.queue_id = @id and r.account_id = u.id
left join queue_items x on x.queue_id = @id and (x.for_account = u.id or x.ended_by = u.id or x.claimed_by = u.id)
where r.account_id is not null or x.queue_id is not null
group by u.id, u.name, u.disabled, u.role, u.transcripts, r.share, r.goal
order by lower(u.name), u.id`

// QueueReviewers returns who reviews a queue and how far each is.
func QueueReviewers(ctx context.Context, db queries.DB, id conversation.UUID, now time.Time) ([]QueueReviewer, error) {
	rows, _ := db.Query(ctx, queueReviewersSQL, pgx.StrictNamedArgs{"id": id, "now": now})
	return pgx.CollectRows(rows, pgx.RowToStructByName[QueueReviewer])
}

const insertQueueSQL = `
insert into queues (id, name, query, shares, count, percent, seed, schedule, zone, next_at, created_at, created_by)
values (@id, @name, @query, @shares::jsonb, @count, @percent, @seed, @schedule, @zone, @next, @at, @by)`

const changeQueueSQL = `
update queues
set name = @name, query = @query, shares = @shares::jsonb, count = @count, percent = @percent, seed = @seed,
	schedule = @schedule, zone = @zone, next_at = @next, revision = revision + 1
where id = @id and revision = @revision and closed_at is null and id <> '61730000-0000-8000-8000-000000000001'
returning id`

const dropReviewersSQL = `delete from queue_reviewers where queue_id = @id`

const insertReviewersSQL = `
insert into queue_reviewers (queue_id, account_id, share, goal)
select @id::uuid, k.id, k.share, k.goal
from unnest(@users::uuid[], @shares::integer[], @goals::integer[]) as k (id, share, goal)
order by 2`

// SaveQueue makes a queue (revision 0) or changes one; ErrConflict says that its name is taken, or that somebody
// changed it meanwhile.
func SaveQueue(ctx context.Context, tx pgx.Tx, q Queue, reviewers []QueueReviewer, by conversation.UUID) error {
	shares, err := json.Marshal(append([]Share{}, q.Shares...))
	if err != nil {
		return err
	}
	args := pgx.StrictNamedArgs{
		"id": q.ID, "name": q.Name, "query": q.Query, "shares": string(shares), "count": q.Count, "percent": q.Percent,
		"seed":     q.Seed,
		"schedule": q.Schedule, "zone": q.Zone, "next": q.NextAt,
	}
	if q.Revision == 0 {
		args["at"], args["by"] = q.CreatedAt, by
		if _, err := tx.Exec(ctx, insertQueueSQL, args); err != nil {
			return queries.Unique(err)
		}
	} else {
		args["revision"] = q.Revision
		err := queries.Changed(ctx, tx, changeQueueSQL, args)
		if errors.Is(err, queries.ErrNotFound) {
			return queries.ErrConflict
		}
		if err != nil {
			return queries.Unique(err)
		}
	}
	if _, err := tx.Exec(ctx, dropReviewersSQL, pgx.StrictNamedArgs{"id": q.ID}); err != nil {
		return err
	}
	users, parts, goals := make([][16]byte, len(reviewers)), make([]int32, len(reviewers)),
		make([]int32, len(reviewers))
	for i, r := range reviewers {
		users[i], parts[i], goals[i] = r.AccountID, r.Share, r.Goal
	}
	_, err = tx.Exec(ctx, insertReviewersSQL, pgx.StrictNamedArgs{
		"id": q.ID, "users": users, "shares": parts, "goals": goals,
	})
	return err
}

const closeQueueSQL = `update queues set closed_at = @at, next_at = null where id = @id and closed_at is null
	and id <> '61730000-0000-8000-8000-000000000001' returning id`

// CloseQueue ends a queue: nobody is given anything of it any more. What was reviewed stays.
func CloseQueue(ctx context.Context, db queries.DB, id conversation.UUID, now time.Time) error {
	return queries.Changed(ctx, db, closeQueueSQL, pgx.StrictNamedArgs{"id": id, "at": now})
}

const dueQueuesSQL = `
select id
from queues
where closed_at is null and next_at <= @now
order by next_at, id
limit 1
for update skip locked`

const nextDueSQL = `update queues set next_at = @next where id = @id`

// DrawDue draws for one queue whose time has come, and says whether there was one. What was missed while nobody was
// there is made up once. Two servers never draw for the same time.
func DrawDue(ctx context.Context, tx pgx.Tx, now time.Time, zone *time.Location) (bool, error) {
	rows, _ := tx.Query(ctx, dueQueuesSQL, pgx.StrictNamedArgs{"now": now})
	ids, err := pgx.CollectRows(rows, pgx.RowTo[conversation.UUID])
	if err != nil || len(ids) == 0 {
		return false, err
	}
	q, err := QueueByID(ctx, tx, ids[0], conversation.UUID{})
	if err != nil {
		return false, err
	}
	var bad *metric.InputError // a filter that can no longer be read draws nothing, which the queue's page says
	if _, _, err := Draw(ctx, tx, q, *q.NextAt, now, zone); err != nil && !errors.As(err, &bad) {
		return false, fmt.Errorf("draw for %s: %w", q.ID, err)
	}
	next, err := NextDraw(q, now, zone)
	if err != nil {
		return false, err
	}
	_, err = tx.Exec(ctx, nextDueSQL, pgx.StrictNamedArgs{"id": q.ID, "next": next})
	return true, err
}

// NextDraw returns when a queue is filled next; nil for one without a schedule.
func NextDraw(q Queue, now time.Time, zone *time.Location) (*time.Time, error) {
	if q.Schedule == "" {
		return nil, nil
	}
	s, err := schedule.Parse(q.Schedule)
	if err != nil {
		return nil, err
	}
	if q.Zone != "" {
		if zone, err = time.LoadLocation(q.Zone); err != nil {
			return nil, &metric.InputError{Field: "zone", Msg: "is a time zone such as Europe/Berlin"}
		}
	}
	next := s.Next(now, zone)
	return &next, nil
}

const insertDrawSQL = `
insert into queue_draws (id, queue_id, due_at, seed, drawn_at, population, picked)
values (@id, @queue, @due, @seed, @now, 0, 0)
on conflict (queue_id, due_at) do nothing
returning id`

const drawnSQL = `update queue_draws set population = @population, picked = @picked where id = @id`

const lastPlaceSQL = `select coalesce(max(place), 0) from queue_items where queue_id = @queue`

const insertItemsSQL = `
insert into queue_items (queue_id, sender_id, conversation_id, draw_id, place, why, for_account)
select @queue::uuid, k.sender_id, k.id, @draw::uuid, k.place, k.why, nullif(k.usr, '')::uuid
from unnest(@senders::bigint[], @ids::uuid[], @places::integer[], @whys::text[], @users::text[]) as k (sender_id, id,
	place, why, usr)
order by k.sender_id, k.id
on conflict (queue_id, sender_id, conversation_id) do nothing`

// Draw fills a queue as of a time that was due, unless that was done, and returns how many it was drawn from and how
// many were drawn. The same seed, time and conversations give the same ones.
func Draw(
	ctx context.Context, tx pgx.Tx, q Queue, due, now time.Time, zone *time.Location,
) (population, picked int, err error) {
	draw := queries.NewID()
	rows, _ := tx.Query(ctx, insertDrawSQL, pgx.StrictNamedArgs{
		"id": draw, "queue": q.ID, "due": due, "seed": q.Seed, "now": now,
	})
	made, err := pgx.CollectRows(rows, pgx.RowTo[conversation.UUID])
	if err != nil || len(made) == 0 {
		return 0, 0, err
	}
	all, population, err := Sample(ctx, tx, q, due, zone)
	if err != nil {
		return 0, 0, err
	}
	reviewers, err := QueueReviewers(ctx, tx, q.ID, now)
	if err != nil {
		return 0, 0, err
	}
	rows, _ = tx.Query(ctx, lastPlaceSQL, pgx.StrictNamedArgs{"queue": q.ID})
	last, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int32])
	if err != nil {
		return 0, 0, err
	}
	reviewers = slices.DeleteFunc(reviewers, func(r QueueReviewer) bool { return !r.May })
	n := len(all)
	spots, whys, placed, users := make([]queries.ConversationKey, n), make([]string, n), make([]int32, n),
		allot(n, reviewers)
	for i, d := range all {
		spots[i], whys[i], placed[i] = d.ConversationKey, d.Why, last+int32(i)+1
	}
	senders, ids := queries.KeyColumns(spots)
	if _, err := tx.Exec(ctx, insertItemsSQL, pgx.StrictNamedArgs{
		"queue": q.ID, "draw": draw, "senders": senders, "ids": ids, "places": placed, "whys": whys, "users": users,
	}); err != nil {
		return 0, 0, fmt.Errorf("fill the queue: %w", err)
	}
	_, err = tx.Exec(ctx, drawnSQL, pgx.StrictNamedArgs{"id": draw, "population": population, "picked": n})
	return population, n, err
}

// Filter returns the queue's filter, as KeptFilter does.
func (q Queue) Filter(zone *time.Location) (metric.Filter, error) { return KeptFilter(q.Query, zone) }
