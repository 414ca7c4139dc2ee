package queries

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/conversation"
	"turnwise/metric"
)

// Kept is what has a duration of its own.
type Kept int

// What is kept: texts with the bodies of events, events, and conversations with all their facts.
const (
	KeptTexts Kept = iota + 1
	KeptEvents
	KeptConversations
)

// Cutoff is the instant before which what is kept for so many days is deleted: extended to the start of a day.
func Cutoff(days int32, now time.Time, zone *time.Location) time.Time {
	return metric.DayOf(now.AddDate(0, 0, -int(days)), zone)
}

const (
	retentionRulesSQL = `
select r.id, r.assistant, r.environment, r.channel, r.text_days, r.event_days, r.conversation_days, r.statistics_days,
	r.most, r.revision, r.changed_at, coalesce(u.name, '') as by
from retention_rules r
left join accounts u on u.id = r.changed_by
order by r.assistant, r.environment, r.channel`
	insertRetentionSQL = `
insert into retention_rules (id, assistant, environment, channel, text_days, event_days, conversation_days,
	statistics_days, most, changed_at, changed_by)
values (@id, @assistant, @environment, @channel, @texts, @events, @conversations, @statistics, @most, @now, @by)`
	updateRetentionSQL = `
update retention_rules
set text_days = @texts, event_days = @events, conversation_days = @conversations, statistics_days = @statistics,
	most = @most, revision = revision + 1, changed_at = @now, changed_by = @by
where id = @id and revision = @revision
returning id`
	deleteRetentionSQL = `delete from retention_rules where id = @id returning id`
)

// expired states of which conversations the rules remove something at now, holds left aside; and returns the latest
// cutoff.
func (w *Where) expired(
	of Kept, rules []RetentionRule, now time.Time, zone *time.Location,
) (text string, latest time.Time) {
	match := func(i int) string {
		parts := []string{"true"}
		for _, x := range [][3]string{
			{"assistant", "c.assistant_id", rules[i].Assistant},
			{"environment", "c.environment_id", rules[i].Environment},
			{"channel", "c.channel_id", rules[i].Channel},
		} {
			if x[2] != "" {
				name := fmt.Sprintf("rule_%d_%s", i, x[0])
				w.Args[name] = conversation.SmallID(x[0], x[2])
				parts = append(parts, x[1]+" = @"+name)
			}
		}
		return "(" + strings.Join(parts, " and ") + ")"
	}
	var any []string
	for i, r := range rules {
		keep := r.Days(of)
		if keep == nil {
			continue
		}
		cutoff := Cutoff(*keep, now, zone)
		if cutoff.After(latest) {
			latest = cutoff
		}
		name := fmt.Sprintf("cutoff_%d_%d", of, i)
		w.Args[name] = cutoff
		one := "c.last_at < @" + name + " and " + match(i)
		for j, other := range rules {
			if other.specific() > r.specific() {
				one += " and not " + match(j)
			}
		}
		any = append(any, "("+one+")")
	}
	if len(any) == 0 {
		return "false", latest
	}
	w.Args["now"] = now
	text = "c.closes_at <= @now and (" + strings.Join(any, " or ") + ")"
	return [...]string{
		KeptTexts: "(c.removed = 0 or c.resumed) and ", KeptEvents: "(c.removed < 2 or c.resumed) and ",
		KeptConversations: "",
	}[of] + text, latest
}

// keptText are the conversations, and the journals of users and agents, as c.
const keptText = `(
	select sender_id, id, assistant_id, environment_id, channel_id, user_id, started_at, last_at, closes_at, removed,
		resumed, false as journal
	from conversations
	union all
	select j.sender_id, j.id, j.assistant_id, 0, 0, (select s.user_id from senders s where s.id = j.sender_id),
		j.started_at, j.last_at, j.last_at, j.removed, false, true
	from journals j) as c`

// mostPreviewed is up to how many conversations a preview counts.
const mostPreviewed = 200_000

// RetentionPreview is what a run would do now. Of more than 200,000 conversations it knows no more than that.
type RetentionPreview struct {
	Conversations int64      // of which something is removed
	Oldest        *time.Time // start of the oldest of them
	Held          int64      // of which something would be removed, were they not held
	More          bool       // there are more of both
}

// PreviewRetention counts the conversations of which the rules would remove no more than that now.
func PreviewRetention(
	ctx context.Context, db DB, of Kept, rules []RetentionRule, now time.Time, zone *time.Location,
) (p RetentionPreview, err error) {
	w := &Where{Args: pgx.StrictNamedArgs{}}
	text, latest := w.expired(of, rules, now, zone)
	if text == "false" {
		return p, nil
	}
	for more := of + 1; more <= KeptConversations; more++ { // comes first
		other, _ := w.expired(more, rules, now, zone)
		text += " and not (" + other + " and not " + heldText + ")"
	}
	w.Args["latest"], w.Args["most"] = latest, mostPreviewed
	rows, _ := db.Query(
		ctx,
		"select count(*) filter (where not held) as conversations, min(started_at) filter (where not held) as "+
			"oldest, count(*) filter (where held) as held, count(*) = @most as more\nfrom (select "+
			"c.started_at, "+heldText+" as held from conversations c where c.started_at < "+
			"@latest and "+text+" order by c.started_at limit @most) as c",
		w.Args,
	)
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[RetentionPreview])
}

// windowLength is how long windows are, which are never split.
const windowLength = 6 * time.Hour

// RetentionWindow is a stretch of starts from which something of conversations is to be removed.
type RetentionWindow struct {
	From, Until time.Time
	Places      []ConversationKey
	Assistants  []int32
}

// NextRetentionWindow returns the oldest window from a time on with anything that the rules remove; false when there is
// none.
func NextRetentionWindow(
	ctx context.Context, db DB, of Kept, rules []RetentionRule, after, now time.Time, zone *time.Location,
) (x RetentionWindow, ok bool, err error) {
	w := &Where{Args: pgx.StrictNamedArgs{}}
	text, latest := w.expired(of, rules, now, zone)
	if text == "false" {
		return x, false, nil
	}
	w.Args["latest"], w.Args["after"] = latest, after
	from := " from " + keptText + " where c.started_at >= @after and c.started_at < @latest and " + text + " and not " +
		heldText
	rows, _ := db.Query(ctx, "select c.started_at"+from+" order by c.started_at, c.id limit 1", w.Args)
	oldest, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil || len(oldest) == 0 {
		return x, false, err
	}
	x.From = oldest[0].UTC().Truncate(windowLength)
	x.Until = x.From.Add(windowLength)
	w.Args["window_from"], w.Args["window_until"] = x.From, x.Until
	rows, _ = db.Query(
		ctx,
		"select c.sender_id, c.id, c.assistant_id"+from+
			" and c.started_at >= @window_from and c.started_at < @window_until order by c.sender_id, c.id",
		w.Args,
	)
	var p ConversationKey
	var assistant int32
	_, err = pgx.ForEachRow(rows, []any{&p.SenderID, &p.ID, &assistant}, func() error {
		x.Places = append(x.Places, p)
		if !slices.Contains(x.Assistants, assistant) {
			x.Assistants = append(x.Assistants, assistant)
		}
		return nil
	})
	return x, true, err
}

const uncountedSQL = `
select exists (
		select from dirty_hours m
		where m.assistant_id = any(@assistants::integer[]) and m.hour < @until
			and not exists (select from final_figures f where f.assistant_id = m.assistant_id and m.hour < f.before))
	or exists (select from dirty_days where assistant_id = any(@assistants::integer[]) and at < @until)`

const freezeSQL = `
insert into final_figures (assistant_id, before)
select a, @before::timestamptz from unnest(@assistants::integer[]) as a
on conflict (assistant_id) do update
set before = greatest(final_figures.before, excluded.before)`

// Freeze has the rollups of the window's days stay as they are for ever. It returns false, and does nothing, while some
// of them are not counted yet.
func (x RetentionWindow) Freeze(ctx context.Context, pool *pgxpool.Pool, zone *time.Location) (bool, error) {
	until := metric.AddDays(x.Until.Add(-time.Nanosecond), 1, zone)
	done := false
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, LockRollupsSQL); err != nil { // nobody counts meanwhile
			return err
		}
		rows, _ := tx.Query(ctx, uncountedSQL, pgx.StrictNamedArgs{"assistants": x.Assistants, "until": until})
		uncounted, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
		if err != nil || uncounted {
			return err
		}
		done = true
		_, err = tx.Exec(ctx, freezeSQL, pgx.StrictNamedArgs{"assistants": x.Assistants, "before": until})
		return err
	})
	return done, err
}

const keepFirstsSQL = `
insert into removed_users (assistant_id, person, first_at)
select c.assistant_id, ` + PersonText + `, min(c.started_at)
from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
join conversations c on c.sender_id = k.sender_id and c.id = k.id
group by 1, 2
order by 1, 2
on conflict (assistant_id, person) do update
set first_at = least(removed_users.first_at, excluded.first_at)`

// deleteFactsSQL deletes what belongs to conversations.
var deleteFactsSQL = []string{
	`delete from conversation_persons t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from turns t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from flow_runs t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from flow_steps t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from commands t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from slots t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from markers t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from agent_segments t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from state_changes t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from turn_facts t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from calls t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from feedback t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from scores t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from activities t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from agent_logins t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from journals t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.id = k.id`,
	`delete from conversation_texts t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from conversation_tags t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from reveals t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from notes t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from message_marks t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from review_acts t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from reviews t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from review_states t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from queue_items t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from bulk_items t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from outgoing_deliveries t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id`,
	`delete from event_originals o using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	join events e on e.sender_id = k.sender_id and e.conversation_id = k.id and e.at >= @from and e.at < @until
		where o.sender_id = e.sender_id and o.event_id = e.id`,
}

// DeletedTables are those of which retention deletes what belongs to a conversation, as tests compare them with the
// schema.
func DeletedTables() (all []string) {
	for _, list := range [][]string{deleteFactsSQL, deletePartsSQL} {
		for _, sql := range list {
			all = append(all, tableOf(sql))
		}
	}
	return append(all, tableOf(DeleteConversationsSQL))
}

// deletePartsSQL deletes what stands in partitions, where these are not dropped whole.
var deletePartsSQL = []string{
	`delete from events t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id and t.at >= @from and t.at < @until`,
	`delete from event_payloads t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id and t.at >= @from and t.at < @until`,
	`delete from messages t using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
	where t.sender_id = k.sender_id and t.conversation_id = k.id and t.at >= @from and t.at < @until`,
}

// forgetSendersSQL forgets senders of whom nothing is left.
var forgetSendersSQL = []string{
	`delete from projections p where p.sender_id = any(@senders::bigint[]) and not exists (select from conversations c
	where c.sender_id = p.sender_id) and not exists (select from journals j where j.sender_id = p.sender_id)`,
	`insert into user_marks (assistant_id, sender_key)
	select s.assistant_id, s.sender_key from senders s where s.id = any(@senders::bigint[]) and s.aliases <> '{}'
		and not exists (select from conversations c where c.sender_id = s.id) and not exists (select from journals j
			where j.sender_id = s.id)
	on conflict (assistant_id, sender_key) do update set sender_key = excluded.sender_key`,
	`delete from senders s where s.id = any(@senders::bigint[]) and not exists (select from conversations c
	where c.sender_id = s.id) and not exists (select from journals j where j.sender_id = s.id)`,
}

// due returns those of the places of which the rules remove something still, and the stretch in which their facts lie.
// Nobody stores events of their shards, counts or links persons until the transaction ends.
func due(
	ctx context.Context, tx pgx.Tx, kept Kept, rules []RetentionRule, of []ConversationKey, now time.Time,
	zone *time.Location,
) (left []ConversationKey, from, until time.Time, err error) {
	if _, err := tx.Exec(ctx, LockRollupsSQL); err != nil {
		return nil, from, until, err
	}
	senders, ids := KeyColumns(of)
	shards := map[int16]bool{}
	for _, id := range senders {
		shards[int16(conversation.Shard(id))] = true
	}
	if _, _, err := LockShards(ctx, tx, slices.Sorted(maps.Keys(shards)), []int64{}); err != nil {
		return nil, from, until, err
	}
	w := &Where{Args: pgx.StrictNamedArgs{"senders": senders, "ids": ids}}
	text, _ := w.expired(kept, rules, now, zone)
	rows, _ := tx.Query(
		ctx,
		"select c.sender_id, c.id, c.started_at, c.last_at from unnest(@senders::bigint[], @ids::uuid[]) as k "+
			"(sender_id, id) join "+keptText+" on c.sender_id = k.sender_id and c.id = "+
			"k.id where "+text+" and not "+heldText,
		w.Args,
	)
	var p ConversationKey
	var started, last time.Time
	_, err = pgx.ForEachRow(rows, []any{&p.SenderID, &p.ID, &started, &last}, func() error {
		if left = append(left, p); len(left) == 1 || started.Before(from) {
			from = started
		}
		if last.After(until) {
			until = last
		}
		return nil
	})
	return left, from, until, err
}

// Expire deletes those of the places that the rules delete still, and returns how many those were. whole says
// that the partitions of their months are going to be dropped.
func Expire(
	ctx context.Context, tx pgx.Tx, rules []RetentionRule, of []ConversationKey, whole bool, now time.Time,
	zone *time.Location,
) (int, error) {
	left, from, until, err := due(ctx, tx, KeptConversations, rules, of, now, zone)
	if err != nil || len(left) == 0 {
		return 0, err
	}
	if err := forgetWords(ctx, tx, left, 2); err != nil {
		return 0, err
	}
	senders, ids := KeyColumns(left)
	keys := pgx.StrictNamedArgs{"senders": senders, "ids": ids}
	spans := pgx.StrictNamedArgs{
		"senders": senders, "ids": ids, "from": from.AddDate(0, 0, -1), "until": until.AddDate(0, 0, 1),
	}
	var q pgx.Batch
	q.Queue(keepFirstsSQL, keys)
	q.Queue(keepReviewsSQL, keys)
	q.Queue(keepUntouchedSQL, keys)
	for _, sql := range deleteFactsSQL {
		if strings.Contains(sql, "@from") {
			q.Queue(sql, spans)
		} else {
			q.Queue(sql, keys)
		}
	}
	stretches := [][2]time.Time{{from.AddDate(0, 0, -1), until.AddDate(0, 0, 1)}}
	if whole { // only what lies outside of the month that is dropped
		month := monthOf(from)
		stretches = [][2]time.Time{{from.AddDate(0, 0, -1), month}, {month.AddDate(0, 1, 0), until.AddDate(0, 0, 1)}}
	}
	for _, x := range stretches {
		if !x[0].Before(x[1]) {
			continue
		}
		for _, sql := range deletePartsSQL {
			q.Queue(sql, pgx.StrictNamedArgs{"senders": senders, "ids": ids, "from": x[0], "until": x[1]})
		}
	}
	q.Queue(DeleteConversationsSQL, keys)
	for _, sql := range forgetSendersSQL {
		q.Queue(sql, pgx.StrictNamedArgs{"senders": senders})
	}
	return len(left), tx.SendBatch(ctx, &q).Close()
}

const (
	retentionRunsSQL = `select id, started_at, ended_at, texts, events, conversations, statistics, oldest, newest,
	partitions, more, error from retention_runs order by started_at desc, id limit 50`
	keepRunSQL = `
insert into retention_runs (id, started_at, ended_at, texts, events, conversations, statistics, oldest, newest,
	partitions, more, error)
values (@id, @started, @ended, @texts, @events, @conversations, @statistics, @oldest, @newest, @partitions, @more,
	@error)
on conflict (id) do update
set ended_at = excluded.ended_at, texts = excluded.texts, events = excluded.events,
	conversations = excluded.conversations, statistics = excluded.statistics, oldest = excluded.oldest,
		newest = excluded.newest, partitions = excluded.partitions,
	more = excluded.more, error = excluded.error`
	frozenSQL = `
select min(f.before)
from final_figures f
join assistants a on a.id = f.assistant_id
where (@all::boolean or a.name = any(@assistants::text[])) and f.before > @from`
)
