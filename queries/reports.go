package queries

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
)

// Coverage is how many of some conversations are reviewed.
type Coverage struct {
	Name          string
	All, Reviewed int64
	Partial       int64
}

// coverageText are what coverage is told by, as mixText is.
var coverageText = map[string][2]string{
	"":          {`0`, `''`},
	"assistant": {`c.assistant_id`, `(select x.name from assistants x where x.id = g.id)`},
	"channel":   mixText["channel"],
	"outcome":   mixText["outcome"],
}

// CoverageOf counts a filter's conversations and those reviewed, by assistant, channel, outcome or ("") as a whole.
func CoverageOf(ctx context.Context, db DB, f metric.Filter, by string, now time.Time, zone *time.Location) ([]Coverage, error) {
	known, err := lookUp(ctx, db, f, now, zone)
	if err != nil {
		return nil, err
	}
	w := filterConversations(f, known, now, zone)
	if by == "outcome" {
		w.args["mix_now"] = now
	}
	rows, _ := db.Query(ctx, "select "+coverageText[by][1]+" as name, g.all, g.reviewed, g.partial\nfrom (\n\tselect "+coverageText[by][0]+` as id, count(*) as all, count(*) filter (where v.reviewed_at is not null and v.events = c.events) as reviewed,
		count(*) filter (where v.sender_id is not null and (v.reviewed_at is null or v.events <> c.events)) as partial
	from conversations c
	left join review_states v on v.sender_id = c.sender_id and v.conversation_id = c.id
	where `+w.String()+"\n\tgroup by 1\n) as g\norder by 2 desc, 1", w.args)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[Coverage])
	if err != nil {
		return nil, fmt.Errorf("coverage by %s: %w", by, err)
	}
	return all, nil
}

// ReviewerFigures are what one reviewer did.
type ReviewerFigures struct {
	UserID   conversation.UUID
	Name     string
	Reviewed int64
	Rating   *float64 // mean
	Rated    int64
	MedianS  *float64 // seconds from taking an item of a queue to ending it
	Timed    int64
}

// ReviewersOf tells what each reviewer did to a filter's conversations.
func ReviewersOf(ctx context.Context, db DB, f metric.Filter, now time.Time, zone *time.Location) ([]ReviewerFigures, error) {
	known, err := lookUp(ctx, db, f, now, zone)
	if err != nil {
		return nil, err
	}
	w := filterConversations(f, known, now, zone)
	rows, _ := db.Query(ctx, `
select u.id as user_id, u.name, count(*) filter (where r.reviewed_at is not null) as reviewed, avg(r.rating)::float8 as rating, count(r.rating) as rated,
	percentile_cont(0.5) within group (order by extract(epoch from i.took)) as median_s, count(i.took) as timed
from conversations c
join reviews r on r.sender_id = c.sender_id and r.conversation_id = c.id
join users u on u.id = r.user_id
left join lateral (
	select min(x.ended_at - x.claimed_at) as took
	from queue_items x
	where x.sender_id = c.sender_id and x.conversation_id = c.id and x.ended = 'reviewed' and x.ended_by = u.id and x.claimed_at is not null
) as i on true
where `+w.String()+"\ngroup by u.id, u.name\norder by 3 desc, lower(u.name), u.id", w.args)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[ReviewerFigures])
	if err != nil {
		return nil, fmt.Errorf("reviewers: %w", err)
	}
	return all, nil
}

// TagCounts are how many conversations have a tag, by stretches of time.
type TagCounts struct {
	Name  string
	Spans []int64
	Sum   int64
}

// TagsOverTime counts a filter's conversations by tag and by the stretches that begin at starts, the most frequent tag first.
func TagsOverTime(ctx context.Context, db DB, f metric.Filter, starts []time.Time, now time.Time, zone *time.Location) ([]TagCounts, error) {
	known, err := lookUp(ctx, db, f, now, zone)
	if err != nil {
		return nil, err
	}
	w := filterConversations(f, known, now, zone)
	w.args["starts"] = starts
	rows, _ := db.Query(ctx, `
select k.name, k.span, count(*)
from (
	select distinct c.sender_id, c.id, lower(t.name) as lower, (select min(s.name) from tags s where lower(s.name) = lower(t.name)) as name, width_bucket(c.started_at, @starts::timestamptz[]) - 1 as span
	from conversations c
	join conversation_tags x on x.sender_id = c.sender_id and x.conversation_id = c.id
	join tags t on t.id = x.tag_id
	where `+w.String()+`
) as k
group by 1, 2
order by 1, 2`, w.args)
	var all []TagCounts
	var name string
	var span int
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&name, &span, &n}, func() error {
		if len(all) == 0 || all[len(all)-1].Name != name {
			all = append(all, TagCounts{Name: name, Spans: make([]int64, len(starts))})
		}
		t := &all[len(all)-1]
		t.Spans[min(max(span, 0), len(starts)-1)] += n
		t.Sum += n
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("tags over time: %w", err)
	}
	return all, nil
}

const bodiesOfSQL = `
select bodies
from event_payloads
where sender_id = @sender and at between @from and @until and conversation_id = @id
order by part`

// BodiesOf returns the events of a conversation as they were received, in bundles that BodySeparator divides.
func BodiesOf(ctx context.Context, db DB, c ConversationFacts) ([]string, error) {
	rows, _ := db.Query(ctx, bodiesOfSQL, pgx.StrictNamedArgs{"sender": c.SenderID, "from": c.StartedAt, "until": c.LastAt, "id": [16]byte(c.ID)})
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

const volumeHead = `select width_bucket(c.started_at, @starts::timestamptz[]) - 1 as span, count(*)
from conversations c
where `

// Volume counts the conversations of a filter by stretches of time that begin at starts.
func Volume(ctx context.Context, db DB, f metric.Filter, starts []time.Time, now time.Time, zone *time.Location) ([]int64, error) {
	known, err := lookUp(ctx, db, f, now, zone)
	if err != nil {
		return nil, err
	}
	w := filterConversations(f, known, now, zone)
	w.args["starts"] = starts
	counts := make([]int64, len(starts))
	rows, _ := db.Query(ctx, volumeHead+w.String()+"\ngroup by 1", w.args)
	var span int
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&span, &n}, func() error {
		counts[min(max(span, 0), len(counts)-1)] += n
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("volume: %w", err)
	}
	return counts, nil
}
