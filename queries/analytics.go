package queries

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/metric"
)

// VolumeAt is the volume of a channel in a stretch of time.
type VolumeAt struct {
	Stretch int32  // its place among the stretches that were asked for
	Channel string // "" where it was not told
	metric.Volume
}

const stretchText = `width_bucket(c.started_at, @starts::timestamptz[]) - 1`

// toldText is what was told last of whether a conversation was resolved; of those stored by versions that did not keep
// the word, what it made of the outcome.
const toldText = `coalesce(
		case when c.details like '%"resolution"%' then c.details::json -> 'resolution' ->> 'value' end,
		case when c.outcome_because = 'told' and c.outcome = 'abandoned' then 'unresolved'
			when c.outcome_because = 'told' then 'resolved' end,
		case when c.escalated_at is not null then 'escalated' else 'unknown' end)`

const countsText = `
select c.stretch, coalesce(ch.name, '') as channel, count(*) as conversations,
	coalesce(sum(c.user_messages), 0)::bigint as user_messages, coalesce(sum(c.bot_messages), 0)::bigint as bot_messages,
	coalesce(sum(c.agent_messages), 0)::bigint as agent_messages,
	count(*) filter (where c.closes_at <= @at) as ended,
	count(*) filter (where c.escalated_at is not null) as handed_over,
	count(*) filter (where c.escalated_at is not null and c.closes_at <= @at and c.agent_messages = 0) as abandoned,
	count(*) filter (where c.user_messages <= 1) as bounced,
	count(*) filter (where c.told = 'resolved') as resolved,
	count(*) filter (where c.told = 'unresolved') as unresolved,
	count(*) filter (where c.told = 'escalated') as escalated,
	count(*) filter (where c.told = 'pending') as pending
from (
	select ` + stretchText + ` as stretch, c.channel_id, c.user_messages, c.bot_messages, c.agent_messages, c.closes_at,
		c.escalated_at, ` + toldText + ` as told
	from conversations c
	where `

const countsGroup = `
) as c
left join channels ch on ch.id = c.channel_id
group by 1, 2
order by 1, 2`

// stretches returns the predicate of a filter's conversations, with the starts of stretches as an argument.
func stretches(
	ctx context.Context, db DB, f metric.Filter, spans []metric.Span, now time.Time, zone *time.Location,
) (*Where, error) {
	known, err := LookUp(ctx, db, f, now, zone)
	if err != nil {
		return nil, err
	}
	w := FilterConversations(f, known, now, zone)
	starts := make([]time.Time, len(spans))
	for i, s := range spans {
		starts[i] = s.From
	}
	w.Args["starts"], w.Args["at"] = starts, now
	return w, nil
}

// Volumes counts the conversations of a filter by stretch and channel; where nothing began stands no row.
func Volumes(
	ctx context.Context, db DB, f metric.Filter, spans []metric.Span, now time.Time, zone *time.Location,
) ([]VolumeAt, error) {
	w, err := stretches(ctx, db, f, spans, now, zone)
	if err != nil {
		return nil, err
	}
	rows, _ := db.Query(ctx, countsText+w.String()+countsGroup, w.Args)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[VolumeAt])
	if err != nil {
		return nil, fmt.Errorf("count conversations by channel: %w", err)
	}
	return all, nil
}

// WritersByChannel counts the people who wrote in conversations of a filter, by channel.
func WritersByChannel(
	ctx context.Context, db DB, f metric.Filter, now time.Time, zone *time.Location,
) (map[string]int64, error) {
	w, err := stretches(ctx, db, f, nil, now, zone)
	if err != nil {
		return nil, err
	}
	delete(w.Args, "starts")
	delete(w.Args, "at")
	rows, _ := db.Query(ctx, `
select coalesce(ch.name, '') as channel, count(distinct c.person)
from (select c.channel_id, `+PersonText+` as person from conversations c where c.outcome <> 'not_engaged' and `+
		w.String()+`) as c
left join channels ch on ch.id = c.channel_id
group by 1`, w.Args)
	all, name, n := map[string]int64{}, "", int64(0)
	_, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error {
		all[name] = n
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count writers by channel: %w", err)
	}
	return all, nil
}

const durationsText = `
select a.stretch, extract(epoch from max(m.at) - min(m.at))::float8
from a
join messages m on m.sender_id = a.sender_id and m.conversation_id = a.id and m.author between 1 and 3
	and m.at >= (select min(started_at) from a) and m.at <= (select max(last_at) from a)
group by a.sender_id, a.id, a.stretch`

// Durations are those of the ended conversations of a filter, by stretch: from the first message to the last, in
// seconds. Those without a message have none.
func Durations(
	ctx context.Context, db DB, f metric.Filter, spans []metric.Span, now time.Time, zone *time.Location,
) ([][]float64, error) {
	w, err := stretches(ctx, db, f, spans, now, zone)
	if err != nil {
		return nil, err
	}
	rows, _ := db.Query(ctx, "with a as materialized (select c.sender_id, c.id, c.started_at, c.last_at, "+stretchText+
		" as stretch from conversations c where c.closes_at <= @at and "+w.String()+")"+durationsText, w.Args)
	all := make([][]float64, len(spans))
	var i int32
	var seconds float64
	_, err = pgx.ForEachRow(rows, []any{&i, &seconds}, func() error {
		all[i] = append(all[i], seconds)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("durations: %w", err)
	}
	return all, nil
}

// Answer is what a user said when asked for a rating.
type Answer struct {
	Stretch int32
	Kind    string // csat, nps or thumbs
	// of csat from 1 to 5, other scales stretched to these; of nps from 0 to 10, of thumbs 1 for up and 0 for down
	Score  float64
	Sender int64
	ID     [16]byte // of the conversation
	Ended  bool     // the conversation
}

// answersText are answers as events told them, and of Rasa the ratings in slots: a number from 1 to 5, or one of two
// words, which are the ends of the scale.
const answersText = `
select a.stretch, f.kind, case
		when f.scale_max > f.scale_min and f.kind = 'nps' then 10 * (f.score - f.scale_min) / (f.scale_max - f.scale_min)
		when f.scale_max > f.scale_min and f.kind = 'thumbs' then
			case when 2 * f.score > f.scale_min + f.scale_max then 1 else 0 end
		when f.scale_max > f.scale_min then 1 + 4 * (f.score - f.scale_min) / (f.scale_max - f.scale_min)
		else f.score end as score, a.sender_id as sender, a.id, a.ended
from a
join feedback f on f.sender_id = a.sender_id and f.conversation_id = a.id
where f.status = 'answered' and f.score is not null and f.score <> 'NaN'
union all
select a.stretch, 'csat', coalesce(
		(
			select trim(both '" ' from s.value)::float8
			from slots s
			join assistants x on x.id = a.assistant_id
			where s.sender_id = a.sender_id and s.conversation_id = a.id
				and s.name in (
					select jsonb_array_elements_text(case jsonb_typeof(x.settings -> 'csat_slots')
						when 'array' then x.settings -> 'csat_slots' else '["csat_score"]' end))
				and s.turn > 0 and trim(both '" ' from s.value) ~ '^[1-5](\.0*)?$'
			order by s.seq desc
			limit 1), case a.csat when 'SATISFIED' then 5 else 1 end), a.sender_id, a.id, a.ended
from a
where a.csat in ('SATISFIED', 'UNSATISFIED') and not exists (
		select from feedback f
		where f.sender_id = a.sender_id and f.conversation_id = a.id and f.kind = 'csat')`

// Answers returns what users said when asked for a rating, in the conversations of a filter.
func Answers(
	ctx context.Context, db DB, f metric.Filter, spans []metric.Span, now time.Time, zone *time.Location,
) ([]Answer, error) {
	w, err := stretches(ctx, db, f, spans, now, zone)
	if err != nil {
		return nil, err
	}
	rows, _ := db.Query(ctx, "with a as materialized (select c.sender_id, c.id, c.assistant_id, c.csat, c.closes_at <= @at as ended, "+stretchText+
		" as stretch from conversations c where "+w.String()+")"+answersText, w.Args)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[Answer])
	if err != nil {
		return nil, fmt.Errorf("answers: %w", err)
	}
	return all, nil
}
