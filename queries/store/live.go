package store

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/queries"
)

type segment = conversation.ConversationSegment

var segmentsTable = newTable("agent_segments", "sender_id",
	column[segment]{"conversation_id", func(r *rows, x *segment) { r.uuid(x.Conversation) }},
	column[segment]{"n", func(r *rows, x *segment) { r.int4(int32(x.N)) }},
	column[segment]{"waiting", func(r *rows, x *segment) { r.bool(x.Waiting) }},
	column[segment]{"agent_id", func(r *rows, x *segment) { r.text(x.AgentID) }},
	column[segment]{"team_id", func(r *rows, x *segment) { r.text(x.TeamID) }},
	column[segment]{"started_at", func(r *rows, x *segment) { r.time(x.StartedAt) }},
	column[segment]{"ended_at", func(r *rows, x *segment) { r.timeOrNull(x.EndedAt) }},
	column[segment]{"ended_by", func(r *rows, x *segment) { r.text(x.EndedBy) }},
	column[segment]{"first_reply_at", func(r *rows, x *segment) { r.timeOrNull(x.FirstReplyAt) }},
	column[segment]{"user_messages", func(r *rows, x *segment) { r.int4(int32(x.UserMessages)) }},
	column[segment]{"agent_messages", func(r *rows, x *segment) { r.int4(int32(x.AgentMessages)) }},
	column[segment]{"words", func(r *rows, x *segment) { r.int4(int32(x.Words)) }},
	column[segment]{"assisted", func(r *rows, x *segment) { r.int4(int32(x.Assisted)) }},
	column[segment]{"pilot", func(r *rows, x *segment) { r.int4(int32(x.Pilot)) }},
	column[segment]{"reply_ms", func(r *rows, x *segment) { r.float8s(x.Replies) }},
)

type stateChange = conversation.Fact[*conversation.StateChange]

var statesTable = newTable("state_changes", "sender_id",
	column[stateChange]{"conversation_id", func(r *rows, x *stateChange) { r.uuid(x.Conversation) }},
	column[stateChange]{"seq", func(r *rows, x *stateChange) { r.int8(x.Seq) }},
	column[stateChange]{"at", func(r *rows, x *stateChange) { r.time(x.At) }},
	column[stateChange]{"state_id", func(r *rows, x *stateChange) { r.text(x.Facts.ID) }},
	column[stateChange]{"status", func(r *rows, x *stateChange) { r.text(string(x.Facts.Status)) }},
	column[stateChange]{"handler", func(r *rows, x *stateChange) { r.text(string(x.Facts.Handler)) }},
	column[stateChange]{"agent_id", func(r *rows, x *stateChange) { r.text(x.AgentID) }},
	column[stateChange]{"team_id", func(r *rows, x *stateChange) { r.text(x.Facts.TeamID) }},
	column[stateChange]{"state", func(r *rows, x *stateChange) { r.text(x.Facts.State) }},
	column[stateChange]{"reason", func(r *rows, x *stateChange) { r.text(x.Facts.Reason) }},
	column[stateChange]{"changed_by", func(r *rows, x *stateChange) { r.text(x.Facts.By) }},
	column[stateChange]{"details", func(r *rows, x *stateChange) { r.textOrNull(x.Facts.Custom) }},
)

type turnTold = conversation.Fact[*conversation.TurnFacts]

var turnFactsTable = newTable("turn_facts", "sender_id",
	column[turnTold]{"conversation_id", func(r *rows, x *turnTold) { r.uuid(x.Conversation) }},
	column[turnTold]{"seq", func(r *rows, x *turnTold) { r.int8(x.Seq) }},
	column[turnTold]{"turn", func(r *rows, x *turnTold) { r.int4(int32(x.Turn)) }},
	column[turnTold]{"at", func(r *rows, x *turnTold) { r.time(x.At) }},
	column[turnTold]{"message_id", func(r *rows, x *turnTold) { r.text(x.MessageID) }},
	column[turnTold]{"result", func(r *rows, x *turnTold) { r.text(x.Facts.Result) }},
	column[turnTold]{"intent", func(r *rows, x *turnTold) { r.text(x.Intent) }},
	column[turnTold]{"confidence", func(r *rows, x *turnTold) { r.float8OrNaN(x.Confidence) }},
	column[turnTold]{"entities", func(r *rows, x *turnTold) { r.textOrNull(x.Entities) }},
	column[turnTold]{"response_ms", func(r *rows, x *turnTold) { r.float8OrNaN(x.Facts.ResponseMS) }},
	column[turnTold]{"details", func(r *rows, x *turnTold) { r.textOrNull(x.Facts.Details) }},
)

type call = conversation.CallRow

var callsTable = newTable("calls", "sender_id",
	column[call]{"conversation_id", func(r *rows, x *call) { r.uuid(x.Conversation) }},
	column[call]{"seq", func(r *rows, x *call) { r.int8(x.Seq) }},
	column[call]{"n", func(r *rows, x *call) { r.int2(x.N) }},
	column[call]{"turn", func(r *rows, x *call) { r.int4(int32(x.Turn)) }},
	column[call]{"at", func(r *rows, x *call) { r.time(x.At) }},
	column[call]{"kind", func(r *rows, x *call) { r.text(x.Facts.Kind) }},
	column[call]{"name", func(r *rows, x *call) { r.text(x.Facts.Name) }},
	column[call]{"provider", func(r *rows, x *call) { r.text(x.Facts.Provider) }},
	column[call]{"status", func(r *rows, x *call) { r.text(x.Facts.Status) }},
	column[call]{"error", func(r *rows, x *call) { r.text(x.Facts.Error) }},
	column[call]{"ms", func(r *rows, x *call) { r.float8OrNaN(x.Facts.MS) }},
	column[call]{"first_token_ms", func(r *rows, x *call) { r.float8OrNaN(x.Facts.FirstTokenMS) }},
	column[call]{"input_tokens", func(r *rows, x *call) { r.float8OrNaN(x.Facts.InputTokens) }},
	column[call]{"output_tokens", func(r *rows, x *call) { r.float8OrNaN(x.Facts.OutputTokens) }},
	column[call]{"cost_usd", func(r *rows, x *call) { r.float8OrNaN(x.Facts.Cost) }},
	column[call]{"details", func(r *rows, x *call) { r.textOrNull(x.Facts.Details) }},
)

type activity = conversation.Fact[*conversation.Activity]

var activitiesTable = newTable("activities", "sender_id",
	column[activity]{"conversation_id", func(r *rows, x *activity) { r.uuid(x.Conversation) }},
	column[activity]{"seq", func(r *rows, x *activity) { r.int8(x.Seq) }},
	column[activity]{"at", func(r *rows, x *activity) { r.time(x.At) }},
	column[activity]{"activity_id", func(r *rows, x *activity) { r.text(x.Facts.ID) }},
	column[activity]{"actor", func(r *rows, x *activity) { r.text(x.Facts.Actor) }},
	column[activity]{"name", func(r *rows, x *activity) { r.text(x.Facts.Name) }},
	column[activity]{"status", func(r *rows, x *activity) { r.text(x.Facts.Status) }},
	column[activity]{"user_id", func(r *rows, x *activity) { r.text(x.UserID) }},
	column[activity]{"agent_id", func(r *rows, x *activity) { r.text(x.AgentID) }},
	column[activity]{"agent_session_id", func(r *rows, x *activity) { r.text(x.Facts.AgentSession) }},
	column[activity]{"properties", func(r *rows, x *activity) { r.textOrNull(x.Facts.Properties) }},
	column[activity]{"error", func(r *rows, x *activity) { r.text(x.Facts.Error) }},
	column[activity]{"url", func(r *rows, x *activity) { r.text(x.Facts.URL) }},
	column[activity]{"details", func(r *rows, x *activity) { r.textOrNull(x.Facts.Details) }},
)

type journalFact struct {
	assistant int32
	*conversation.Conversation
}

var journalsTable = newTable("journals", "sender_id",
	column[journalFact]{"id", func(r *rows, x *journalFact) { r.uuid(x.ID) }},
	column[journalFact]{"assistant_id", func(r *rows, x *journalFact) { r.int4(x.assistant) }},
	column[journalFact]{"first_time", func(r *rows, x *journalFact) { r.float8(x.First.Time) }},
	column[journalFact]{"first_order", func(r *rows, x *journalFact) { r.int8(x.First.Order) }},
	column[journalFact]{"first_place", func(r *rows, x *journalFact) { r.int2(int(x.First.Place)) }},
	column[journalFact]{"first_rank", func(r *rows, x *journalFact) { r.int2(x.First.Rank) }},
	column[journalFact]{"first_event", func(r *rows, x *journalFact) { r.uuid(x.First.ID) }},
	column[journalFact]{"started_at", func(r *rows, x *journalFact) { r.time(x.StartedAt) }},
	column[journalFact]{"last_at", func(r *rows, x *journalFact) { r.time(x.LastAt) }},
	column[journalFact]{"events", func(r *rows, x *journalFact) { r.int4(int32(x.Events)) }},
	column[journalFact]{"removed", func(r *rows, x *journalFact) { r.int2(int(x.Removed)) }},
	column[journalFact]{"checkpoint", func(r *rows, x *journalFact) { r.bytea(x.Checkpoint) }},
)

// live are the tables of what platforms beside Rasa tell.
type live struct {
	segments   filling[segment]
	states     filling[stateChange]
	turnFacts  filling[turnTold]
	calls      filling[call]
	activities filling[activity]
	journals   filling[journalFact]

	oldSegments partKeys
	oldJournals convKeys
	revised     pgx.Batch // what is written behind all the rest: rows of which the highest revision counts
}

func newLive() live {
	return live{
		segments: filling[segment]{table: segmentsTable}, states: filling[stateChange]{table: statesTable},
		turnFacts: filling[turnTold]{table: turnFactsTable}, calls: filling[call]{table: callsTable},
		activities: filling[activity]{table: activitiesTable}, journals: filling[journalFact]{table: journalsTable},
	}
}

func (l *live) filled() []filled {
	return []filled{&l.segments, &l.states, &l.turnFacts, &l.calls, &l.activities, &l.journals}
}

const (
	deleteSegmentsSQL = `
delete from agent_segments r
using unnest(@senders::bigint[], @ids::uuid[], @ns::integer[]) as k (sender_id, id, n)
where r.sender_id = k.sender_id and r.conversation_id = k.id and r.n = k.n`
	deleteJournalsSQL = `
delete from journals j
using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
where j.sender_id = k.sender_id and j.id = k.id`
	reviseMessageSQL = `
update messages m
set text = @text, rich = @rich::text, message_type = @type, reply_to = @reply, agent_session_id = @session,
	details = @details::text, rev = @rev::float8, deleted = @deleted
where m.sender_id = @sender and m.at = timestamptz 'epoch' + @at::bigint * interval '1 microsecond'
	and m.conversation_id = @id and m.message_id = @message and coalesce(m.rev, 0) <= @rev::float8`
	upsertFeedbackSQL = `
insert into feedback as f (sender_id, conversation_id, feedback_id, seq, at, kind, status, score, scale_min, scale_max,
	comment, message_id, agent_id, rev, details)
values (@sender, @id, @feedback, @seq, timestamptz 'epoch' + @at::bigint * interval '1 microsecond', @kind, @status, @score::float8,
	@min::float8, @max::float8, @comment, @message, @agent, @rev, @details::text)
on conflict (sender_id, conversation_id, feedback_id) do update
set seq = excluded.seq, at = excluded.at, kind = excluded.kind, status = excluded.status, score = excluded.score,
	scale_min = excluded.scale_min, scale_max = excluded.scale_max, comment = excluded.comment,
	message_id = excluded.message_id, agent_id = excluded.agent_id, rev = excluded.rev, details = excluded.details
where f.rev <= excluded.rev`
	upsertScoreSQL = `
insert into scores as f (sender_id, conversation_id, score_id, seq, at, name, value, number, explanation, judged_by,
	author, message_id, rev, details)
values (@sender, @id, @score, @seq, timestamptz 'epoch' + @at::bigint * interval '1 microsecond', @name, @value, @number::float8,
	@explanation, @by, @author, @message, @rev, @details::text)
on conflict (sender_id, conversation_id, score_id) do update
set seq = excluded.seq, at = excluded.at, name = excluded.name, value = excluded.value, number = excluded.number,
	explanation = excluded.explanation, judged_by = excluded.judged_by, author = excluded.author,
	message_id = excluded.message_id, rev = excluded.rev, details = excluded.details
where f.rev <= excluded.rev`
	upsertLoginSQL = `
insert into agent_logins as f (sender_id, conversation_id, login_id, seq, agent_id, started_at, ended_at, name, email,
	groups, rev, details)
values (@sender, @id, @login, @seq, @agent, timestamptz 'epoch' + nullif(@started::bigint, 0) * interval '1 microsecond',
	timestamptz 'epoch' + nullif(@ended::bigint, 0) * interval '1 microsecond', @name, @email, @groups, @rev, @details::text)
on conflict (sender_id, conversation_id, login_id) do update
set seq = excluded.seq, started_at = least(f.started_at, excluded.started_at),
	ended_at = greatest(f.ended_at, excluded.ended_at), name = coalesce(nullif(excluded.name, ''), f.name),
	email = coalesce(nullif(excluded.email, ''), f.email),
	groups = case when excluded.groups = '{}' then f.groups else excluded.groups end, rev = greatest(f.rev, excluded.rev),
	details = coalesce(excluded.details, f.details)`
)

// orNull is nil for a text that is not told, and for a number that is none.
func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func numberOrNull(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}

// add takes what platforms beside Rasa tell of a sender.
func (l *live) add(sender int64, x *conversation.Changes) {
	for i := range x.Segments {
		if s := &x.Segments[i]; s.Stored() {
			l.oldSegments.add3(sender, s.Conversation, s.N)
		}
		l.segments.add(sender, &x.Segments[i])
	}
	for i := range x.States {
		l.states.add(sender, &x.States[i])
	}
	for i := range x.TurnFacts {
		l.turnFacts.add(sender, &x.TurnFacts[i])
	}
	for i := range x.Calls {
		l.calls.add(sender, &x.Calls[i])
	}
	for i := range x.Activities {
		l.activities.add(sender, &x.Activities[i])
	}
	for _, e := range x.Edits {
		s := saidOf(e.Event)
		l.revised.Queue(reviseMessageSQL, pgx.StrictNamedArgs{
			"sender": sender, "at": e.Of, "id": e.Conversation, "session": s.AgentSession, "message": e.MessageID, "rev": e.Rev,
			"text": e.Text, "rich": orNull(e.Rich), "type": s.Type, "reply": s.ReplyTo, "details": orNull(s.Details),
			"deleted": s.Deleted,
		})
	}
	for _, e := range x.Feedback {
		f := e.Facts
		l.revised.Queue(upsertFeedbackSQL, pgx.StrictNamedArgs{
			"sender": sender, "id": e.Conversation, "feedback": f.ID, "seq": e.Seq, "at": e.At, "kind": f.Kind,
			"status": f.Status, "score": numberOrNull(f.Score), "min": numberOrNull(f.Min), "max": numberOrNull(f.Max),
			"comment": f.Comment, "message": f.MessageID, "agent": e.AgentID, "rev": f.Rev, "details": orNull(f.Details),
		})
	}
	for _, e := range x.Scores {
		f := e.Facts
		l.revised.Queue(upsertScoreSQL, pgx.StrictNamedArgs{
			"sender": sender, "id": e.Conversation, "score": f.ID, "seq": e.Seq, "at": e.At, "name": f.Name, "value": f.Value,
			"number": numberOrNull(f.Number), "explanation": f.Explanation, "by": f.By, "author": f.Author,
			"message": f.MessageID, "rev": f.Rev, "details": orNull(f.Details),
		})
	}
	for _, e := range x.Logins {
		f := e.Facts
		groups := f.Groups
		if groups == nil {
			groups = []string{}
		}
		l.revised.Queue(upsertLoginSQL, pgx.StrictNamedArgs{
			"sender": sender, "id": e.Conversation, "login": f.ID, "seq": e.Seq, "agent": e.AgentID, "started": f.Started,
			"ended": f.Ended, "name": f.Name, "email": f.Email, "groups": groups, "rev": f.Rev, "details": orNull(f.Details),
		})
	}
}

// saidOf is what a message tells beside what every message does.
func saidOf(e *conversation.Event) *conversation.Said {
	if s, ok := e.Facts.(*conversation.Said); ok {
		return s
	}
	return nil
}

// replace queues what makes way for the rows of the batch.
func (l *live) replace(q *pgx.Batch) {
	if k := &l.oldSegments; len(k.ids) > 0 {
		q.Queue(deleteSegmentsSQL, pgx.StrictNamedArgs{"senders": k.senders, "ids": queries.UUIDs(k.ids), "ns": k.n})
	}
	if k := &l.oldJournals; len(k.ids) > 0 {
		q.Queue(deleteJournalsSQL, pgx.StrictNamedArgs{"senders": k.senders, "ids": queries.UUIDs(k.ids)})
	}
}

// revise writes what stands behind all the rest.
func (l *live) revise(ctx context.Context, tx pgx.Tx) error {
	if l.revised.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, &l.revised).Close(); err != nil {
		return fmt.Errorf("revise rows: %w", err)
	}
	return nil
}

func (l *live) reset() {
	for _, t := range l.filled() {
		t.reset()
	}
	l.oldSegments, l.oldJournals, l.revised = partKeys{}, convKeys{}, pgx.Batch{}
}
