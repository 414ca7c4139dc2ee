package queries

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
)

// The conditions of review states, on c.
const (
	reviewedText = `exists (select from review_states v where v.sender_id = c.sender_id and v.conversation_id = c.id
	and v.reviewed_at is not null and v.events = c.events)`
	partialText = `exists (select from review_states v where v.sender_id = c.sender_id and v.conversation_id = c.id
	and (v.reviewed_at is null or v.events <> c.events))`
	unreviewedText = `not exists (select from review_states v where v.sender_id = c.sender_id
	and v.conversation_id = c.id)`
	anyStateText = `exists (select from review_states v where v.sender_id = c.sender_id and v.conversation_id = c.id)`
	taggedText   = `exists (select from conversation_tags x where x.sender_id = c.sender_id
	and x.conversation_id = c.id and x.tag_id = any(@`
	markedText = `exists (select from message_marks x where x.sender_id = c.sender_id and x.conversation_id = c.id
	and x.mark = any(@marks::text[]))`
	notedText = `exists (select from notes x where x.sender_id = c.sender_id and x.conversation_id = c.id
	and x.deleted_at is null)`
	reviewerText = `exists (select from reviews x where x.sender_id = c.sender_id and x.conversation_id = c.id
	and x.reviewed_at is not null and x.account_id = any(@reviewers::uuid[]))`
	ratedText = `exists (select from reviews x where x.sender_id = c.sender_id and x.conversation_id = c.id
	and x.rating = any(@rated::smallint[]))`
	queuedText = `exists (select from queue_items x where x.sender_id = c.sender_id and x.conversation_id = c.id
	and x.queue_id = @queue and x.ended <> 'replaced')`
)

// review narrows by what reviewers made of conversations.
func (w *Where) review(f metric.ReviewFilter, known FilterIDs) {
	has := map[string]bool{}
	for _, s := range f.States {
		has[s] = true
	}
	switch {
	case len(has) == 0 || len(has) == 3:
	case has[metric.Reviewed] && has[metric.PartiallyReviewed]:
		w.And(anyStateText, "", nil)
	case has[metric.Reviewed] && has[metric.Unreviewed]:
		w.And("not "+partialText, "", nil)
	case has[metric.PartiallyReviewed] && has[metric.Unreviewed]:
		w.And("not "+reviewedText, "", nil)
	case has[metric.Reviewed]:
		w.And(reviewedText, "", nil)
	case has[metric.PartiallyReviewed]:
		w.And(partialText, "", nil)
	default:
		w.And(unreviewedText, "", nil)
	}
	if len(f.Tags) > 0 {
		w.And(taggedText+"tags::uuid[]))", "tags", known.tags)
	}
	if len(f.NoTags) > 0 {
		w.And("not "+taggedText+"no_tags::uuid[]))", "no_tags", known.noTags)
	}
	if known.noSuchTag {
		w.And("false", "", nil)
	}
	var marks []string
	noted := false
	for _, m := range f.Marks {
		if m == "note" {
			noted = true
		} else {
			marks = append(marks, m)
		}
	}
	switch {
	case noted && len(marks) > 0:
		w.And("("+notedText+" or "+markedText+")", "marks", marks)
	case noted:
		w.And(notedText, "", nil)
	case len(marks) > 0:
		w.And(markedText, "marks", marks)
	}
	if len(f.Reviewers) > 0 {
		w.And(reviewerText, "reviewers", parseIDs(f.Reviewers))
	}
	if len(f.Ratings) > 0 {
		w.And(ratedText, "rated", f.Ratings)
	}
	if f.Queue != "" {
		w.And(queuedText, "queue", parseIDs([]string{f.Queue})[0])
	}
}

const tagIDsSQL = `select id, lower(name) from tags where lower(name) in (select lower(n)
	from unnest(@names::text[]) as n)`

// tagIDs returns the tags of those names, of any assistant. unknown tells that one of the names is none.
func tagIDs(ctx context.Context, db DB, names []string) (ids [][16]byte, unknown bool, err error) {
	if len(names) == 0 {
		return nil, false, nil
	}
	rows, _ := db.Query(ctx, tagIDsSQL, pgx.StrictNamedArgs{"names": names})
	var id [16]byte
	var name string
	known := map[string]bool{}
	if _, err := pgx.ForEachRow(rows, []any{&id, &name}, func() error {
		ids = append(ids, id)
		known[name] = true
		return nil
	}); err != nil {
		return nil, false, fmt.Errorf("tags: %w", err)
	}
	return ids, len(known) < len(names), nil
}

// parseIDs reads ids; what is none becomes the id of nothing.
func parseIDs(all []string) [][16]byte {
	ids := make([][16]byte, len(all))
	for i, s := range all {
		id, _ := conversation.ParseUUID(s)
		ids[i] = id
	}
	return ids
}

// ReviewStateText and ReviewTookText tell what reviews say of a conversation, c: whether it is reviewed (2) or in part
// (1), v being its row of review_states; and how many seconds the reviewer of r took from claiming to ending it.
const (
	ReviewStateText = `case when v.sender_id is null then 0 when v.reviewed_at is not null and v.events = c.events then 2 else 1 end`
	ReviewTookText  = `(
		select extract(epoch from min(x.ended_at - x.claimed_at))
		from queue_items x
		where x.sender_id = c.sender_id and x.conversation_id = c.id and x.ended = 'reviewed'
			and x.ended_by = r.account_id and x.claimed_at is not null)`
)

const (
	keepReviewsSQL = `
insert into review_remains (started_at, assistant_id, environment_id, channel_id, version_id, outcome, conversations,
	state, tags, reviews)
select date_bin('15 minutes', c.started_at, timestamptz 'epoch'), c.assistant_id, c.environment_id, c.channel_id,
	c.version_id, c.outcome, 1, ` + ReviewStateText + `,
	array(select t.tag_id from conversation_tags t where t.sender_id = c.sender_id and t.conversation_id = c.id
		order by t.tag_id),
	coalesce((
		select jsonb_agg(jsonb_build_object('account_id', r.account_id, 'reviewed', r.reviewed_at is not null,
			'rating', r.rating, 'took', ` + ReviewTookText + `))
		from reviews r
		where r.sender_id = c.sender_id and r.conversation_id = c.id), '[]')
from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
join conversations c on c.sender_id = k.sender_id and c.id = k.id
join review_states v on v.sender_id = c.sender_id and v.conversation_id = c.id`
	keepUntouchedSQL = `
insert into review_remains (started_at, assistant_id, environment_id, channel_id, version_id, outcome, conversations,
	state)
select date_bin('15 minutes', c.started_at, timestamptz 'epoch'), c.assistant_id, c.environment_id, c.channel_id,
	c.version_id, c.outcome, count(*), 0
from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
join conversations c on c.sender_id = k.sender_id and c.id = k.id
where not exists (select from review_states v where v.sender_id = c.sender_id and v.conversation_id = c.id)
group by 1, 2, 3, 4, 5, 6
on conflict (started_at, assistant_id, environment_id, channel_id, version_id, outcome) where state = 0 do update
set conversations = review_remains.conversations + excluded.conversations`
)
