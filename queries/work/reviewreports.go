package work

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
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

// remainsColumns are those of coverageText where conversations are deleted.
var remainsColumns = map[string]string{
	"": "0", "assistant": "c.assistant_id", "channel": "c.channel_id", "outcome": "c.outcome",
}

// remains adds to the arguments of a question those that narrow review_remains to the same, and returns the condition.
// Of deleted conversations no more is known than when and where they were: other filters find none of them.
func remains(w *queries.Where, f metric.Filter, known queries.FilterIDs, now time.Time, zone *time.Location) string {
	if !f.FromRollups() {
		return "false"
	}
	r := queries.FilterDimensions(f, known)
	from, until := f.Range.Bounds(now, zone)
	r.And("c.started_at >= @from", "from", from)
	r.And("c.started_at < @until", "until", until)
	for name, value := range r.Args {
		w.Args["remains_"+name] = value
	}
	return strings.ReplaceAll(r.String(), "@", "@remains_")
}

// CoverageOf counts a filter's conversations and those reviewed, by assistant, channel, outcome or ("") as a whole;
// deleted ones too.
func CoverageOf(
	ctx context.Context, db queries.DB, f metric.Filter, by string, now time.Time, zone *time.Location,
) ([]Coverage, error) {
	known, err := queries.LookUp(ctx, db, f, now, zone)
	if err != nil {
		return nil, err
	}
	w := queries.FilterConversations(f, known, now, zone)
	if by == "outcome" {
		w.Args["mix_now"] = now
	}
	live, gone := w.String(), remains(w, f, known, now, zone)
	rows, _ := db.Query(ctx, "select "+coverageText[by][1]+` as name, g.all, g.reviewed, g.partial
from (
	select x.id, sum(x.n)::bigint as all, coalesce(sum(x.n) filter (where x.state = 2), 0)::bigint as reviewed,
		coalesce(sum(x.n) filter (where x.state = 1), 0)::bigint as partial
	from (
		select `+coverageText[by][0]+` as id, 1 as n, `+queries.ReviewStateText+` as state
		from conversations c
		left join review_states v on v.sender_id = c.sender_id and v.conversation_id = c.id
		where `+live+`
		union all
		select `+remainsColumns[by]+`, c.conversations, c.state
		from review_remains c
		where `+gone+`
	) as x
	group by 1
) as g
order by 2 desc, 1`, w.Args)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[Coverage])
	if err != nil {
		return nil, fmt.Errorf("coverage by %s: %w", by, err)
	}
	return all, nil
}

// ReviewerFigures are what one reviewer did.
type ReviewerFigures struct {
	AccountID conversation.UUID
	Name      string
	Reviewed  int64
	Rating    *float64 // mean
	Rated     int64
	MedianS   *float64 // seconds from taking an item of a queue to ending it
	Timed     int64
}

// ReviewersOf tells what each reviewer did to a filter's conversations.
func ReviewersOf(
	ctx context.Context, db queries.DB, f metric.Filter, now time.Time, zone *time.Location,
) ([]ReviewerFigures, error) {
	known, err := queries.LookUp(ctx, db, f, now, zone)
	if err != nil {
		return nil, err
	}
	w := queries.FilterConversations(f, known, now, zone)
	live, gone := w.String(), remains(w, f, known, now, zone)
	rows, _ := db.Query(ctx, `
select u.id as account_id, u.name, count(*) filter (where r.reviewed) as reviewed, avg(r.rating)::float8 as rating,
	count(r.rating) as rated,
	percentile_cont(0.5) within group (order by r.took::float8) as median_s, count(r.took) as timed
from (
	select r.account_id, r.reviewed_at is not null as reviewed, r.rating, `+queries.ReviewTookText+` as took
	from conversations c
	join reviews r on r.sender_id = c.sender_id and r.conversation_id = c.id
	where `+live+`
	union all
	select r.account_id, r.reviewed, r.rating, r.took
	from review_remains c
	cross join lateral jsonb_to_recordset(c.reviews) as r (account_id uuid, reviewed boolean, rating smallint,
		took numeric)
	where c.state > 0 and `+gone+`
) as r
join accounts u on u.id = r.account_id
group by u.id, u.name
order by 3 desc, lower(u.name), u.id`, w.Args)
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

// TagsOverTime counts a filter's conversations by tag and by the stretches that begin at starts, the most frequent tag
// first.
func TagsOverTime(
	ctx context.Context, db queries.DB, f metric.Filter, starts []time.Time, now time.Time, zone *time.Location,
) ([]TagCounts, error) {
	known, err := queries.LookUp(ctx, db, f, now, zone)
	if err != nil {
		return nil, err
	}
	w := queries.FilterConversations(f, known, now, zone)
	live, gone := w.String(), remains(w, f, known, now, zone)
	w.Args["starts"] = starts
	rows, _ := db.Query(ctx, `
select (select min(s.name) from tags s where lower(s.name) = k.lower) as name, width_bucket(k.started_at,
	@starts::timestamptz[]) - 1 as span, count(*)
from (
	select distinct c.sender_id, c.id, c.started_at, lower(t.name) as lower
	from conversations c
	join conversation_tags x on x.sender_id = c.sender_id and x.conversation_id = c.id
	join tags t on t.id = x.tag_id
	where `+live+`
	union all
	select c.n, null::uuid, c.started_at, lower(t.name)
	from (select row_number() over () as n, c.* from review_remains c where c.state > 0 and `+gone+`) as c
	join tags t on t.id = any(c.tags)
	group by c.n, c.started_at, lower(t.name)
) as k
group by 1, 2
order by 1, 2`, w.Args)
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
