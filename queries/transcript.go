package queries

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
)

// ConversationFacts are what the page of one conversation says of it.
type ConversationFacts struct {
	ListedConversation
	Resumed          bool // events came after retention removed something
	SenderKey        string
	UserID           string
	SessionID        string
	EndedAt          *time.Time
	EndReason        string
	BotMessages      int32
	AgentMessages    int32
	EscalatedAt      *time.Time
	EscalationReason string
	ModelID          string
	OutcomeBecause   string
	Test             bool
	Details          *string   // JSON: what is told of it as a whole
	ResponseMS       []float64 `db:"response_ms"`
	Markers          []string  // that were found in it
}

const conversationSQL = `
select c.sender_id, c.id, c.started_at, c.last_at, c.active_at, c.closes_at, a.name as assistant,
	coalesce(e.name, '') as environment, coalesce(ch.name, '') as channel,
	coalesce(nullif(v.model_name, ''), v.model_id, '') as version,
	c.user_messages, c.turns, c.outcome, c.csat, c.escalated_at is not null as escalated, c.flows, c.last_flow,
	c.first_text, c.removed, c.resumed, c.response_median_ms, s.sender_key, c.user_id, c.session_id, c.ended_at,
		c.end_reason,
	c.bot_messages, c.agent_messages, c.events, c.escalated_at, c.escalation_reason,
	coalesce(v.model_id, '') as model_id, c.outcome_because, c.response_ms, c.test, c.details,
	array(
		select p.name
		from markers m
		join patterns p on p.id = m.pattern_id
		where m.sender_id = c.sender_id and m.conversation_id = c.id and p.active and m.counts_at <= now()
		group by p.name
		order by p.name) as markers
from conversations c
join senders s on s.id = c.sender_id
join assistants a on a.id = c.assistant_id
left join environments e on e.id = c.environment_id
left join channels ch on ch.id = c.channel_id
left join versions v on v.id = c.version_id
where c.id = @id and (@limits::integer[] is null or c.assistant_id = any(@limits))
order by c.started_at desc
limit 1`

// Conversation returns one conversation of the assistants that somebody is limited to, nil for all; or ErrNotFound. A
// platform may tell the same id for conversations of two assistants.
func Conversation(ctx context.Context, db Sight, id conversation.UUID, limits []string) (ConversationFacts, error) {
	rows, _ := db.Query(ctx, conversationSQL, pgx.StrictNamedArgs{"id": id, "limits": AssistantIDs(limits)})
	c, err := One[ConversationFacts](rows)
	if err != nil && !errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("conversation %s: %w", id, err)
	}
	return c, err
}

// Earlier is another conversation of the same user.
type Earlier struct {
	ID        conversation.UUID
	StartedAt time.Time
	ClosesAt  time.Time
	Outcome   string
	FirstText string
	Assistant string
}

const earlierSQL = `
select * from (
	select c.id, c.started_at, c.closes_at, c.outcome, c.first_text, a.name as assistant
	from conversations c
	join assistants a on a.id = c.assistant_id
	where c.sender_id = @sender and c.started_at < @at and (@limits::integer[] is null or c.assistant_id = any(@limits))
	union
	select c.id, c.started_at, c.closes_at, c.outcome, c.first_text, a.name as assistant
	from conversations c
	join assistants a on a.id = c.assistant_id
	where c.user_id <> '' and c.user_id = (select user_id from conversations where sender_id = @sender and id = @id)
		and c.started_at < @at and (@limits::integer[] is null or c.assistant_id = any(@limits))
) as e
order by started_at desc, id
limit 6`

// EarlierConversations returns the last conversations of the same end user before this one.
func EarlierConversations(ctx context.Context, db Sight, c ConversationFacts, limits []string) ([]Earlier, error) {
	rows, _ := db.Query(ctx, earlierSQL, pgx.StrictNamedArgs{
		"sender": c.SenderID, "id": c.ID, "at": c.StartedAt, "limits": AssistantIDs(limits),
	})
	return pgx.CollectRows(rows, pgx.RowToStructByName[Earlier])
}

// TranscriptMessage is one message with what its turn tells.
type TranscriptMessage struct {
	ID              conversation.UUID
	At              time.Time
	Seq             int64
	Turn            int32
	Author          int16
	Text            string
	Rich            *string
	Intent          string
	RetrievalIntent string
	Confidence      *float32
	Template        string
	Entities        *string
	Redacted        bool
	AgentID         string
	Details         *string
	Deleted         bool
}

// TranscriptTurn is what was measured of a turn.
type TranscriptTurn struct {
	N               int32
	MessageID       conversation.UUID
	ResponseMS      *float64 `db:"response_ms"`
	ResponseSource  string
	UnderstandingMS *float64 `db:"understanding_ms"`
	PredictionMS    *float64 `db:"prediction_ms"`
	Platform        bool
	Human           bool
	Fallback        bool
}

// TranscriptCommand, TranscriptSlot and TranscriptEvent are what the builder view adds.
type TranscriptCommand struct {
	Seq     int64
	Command string
	FlowID  string
	Slot    string
	Value   string
	Detail  string
}

// TranscriptSlot is a change of a slot.
type TranscriptSlot struct {
	Seq   int64
	Turn  int32
	Name  string
	Value string
}

// TranscriptEvent is an event that is no message.
type TranscriptEvent struct {
	Seq     int64
	At      time.Time
	Turn    int32
	Type    string
	Name    string
	FlowID  string
	StepID  string
	AgentID string
	Flags   int16
}

// TranscriptStep is the top of the stack after a patch.
type TranscriptStep struct {
	Seq    int64
	FlowID string
	StepID string
}

// Transcript is a stretch of a conversation.
type Transcript struct {
	Messages []TranscriptMessage
	Turns    []TranscriptTurn
	Commands []TranscriptCommand
	Slots    []TranscriptSlot
	Events   []TranscriptEvent
	Steps    []TranscriptStep
	Live     TranscriptLive
	From     int64 // the first seq of the stretch: of its first message, or 0 at the conversation's start
	Until    int64 // the first seq after the stretch; 0 at the conversation's end
}

const seqOfMessageSQL = `
select seq
from messages
where sender_id = @sender and at between @from and @until and id = @id`

const messageColumns = `
select m.id, m.at, m.seq, m.turn, m.author, m.text, m.rich, m.intent, m.retrieval_intent, m.confidence, m.template,
	m.entities,
	exists (select from events e where e.sender_id = m.sender_id and e.at = m.at and e.id = m.id
		and e.flags & 4 <> 0) as redacted,
	coalesce(m.agent_id, '') as agent_id, m.details, coalesce(m.deleted, false) as deleted
from messages m
where m.sender_id = @sender and m.at between @from and @until and m.conversation_id = @id`

const (
	messagesFromSQL   = messageColumns + ` and m.seq >= @seq order by m.seq limit @limit`
	messagesBeforeSQL = messageColumns + ` and m.seq < @seq order by m.seq desc limit @limit`
)

const transcriptTurnsSQL = `
select n, message_id, response_ms, response_source, understanding_ms, prediction_ms, platform, human, fallback
from turns
where sender_id = @sender and conversation_id = @id and n between @first and @last
order by n`

const transcriptCommandsSQL = `
select seq, command, flow_id, slot, value, detail
from commands
where sender_id = @sender and conversation_id = @id and seq >= @seq and seq < @end
order by seq, n
limit 3000`

const transcriptSlotsSQL = `
select seq, turn, name, value
from slots
where sender_id = @sender and conversation_id = @id and seq >= @seq and seq < @end
order by seq
limit 3000`

const transcriptEventsSQL = `
select seq, at, turn, type, name, flow_id, step_id, agent_id, flags
from events
where sender_id = @sender and at between @from and @until and conversation_id = @id and seq >= @seq and seq < @end
	and type not in ('user', 'bot', 'agent', 'slot', 'stack', 'user_featurization', 'message', 'turn', 'feedback', 'score',
		'activity', 'conversation.state_changed', 'conversation.updated')
order by seq
limit 5000`

const transcriptStepsSQL = `
select seq, flow_id, step_id
from flow_steps
where sender_id = @sender and conversation_id = @id and seq >= @seq and seq < @end
order by seq
limit 3000`

// Window says which stretch of a conversation to load.
type Window struct {
	Message *conversation.UUID // around this message; else
	Before  int64              // the messages before this seq; else
	After   int64              // those from this seq on; 0: from the start
	Limit   int                // messages
}

const wholeSeq = int64(1) << 62

// LoadTranscript returns a stretch of the conversation. A message that is not in it is ErrNotFound.
func LoadTranscript(ctx context.Context, db Sight, c ConversationFacts, w Window) (Transcript, error) {
	var t Transcript
	args := func(more pgx.StrictNamedArgs) pgx.StrictNamedArgs {
		more["sender"], more["id"], more["from"], more["until"] = c.SenderID, c.ID, c.StartedAt, c.LastAt
		return more
	}
	from, before := w.After, 0
	if w.Message != nil {
		rows, _ := db.Query(ctx, seqOfMessageSQL, pgx.StrictNamedArgs{
			"sender": c.SenderID, "from": c.StartedAt, "until": c.LastAt, "id": *w.Message,
		})
		seq, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
		if errors.Is(err, pgx.ErrNoRows) {
			return t, ErrNotFound
		}
		if err != nil {
			return t, err
		}
		from, before = seq, w.Limit/2
	}
	if w.Before != 0 {
		from, before = w.Before, w.Limit
	}
	var earlier []TranscriptMessage
	if before > 0 {
		rows, _ := db.Query(ctx, messagesBeforeSQL, args(pgx.StrictNamedArgs{"seq": from, "limit": before + 1}))
		var err error
		if earlier, err = pgx.CollectRows(rows, pgx.RowToStructByName[TranscriptMessage]); err != nil {
			return t, err
		}
	}
	more := len(earlier) > before
	earlier = earlier[:min(len(earlier), before)]
	slices.Reverse(earlier)
	t.Messages = earlier
	t.Until = w.Before
	if w.Before == 0 {
		limit := w.Limit - len(earlier)
		rows, _ := db.Query(ctx, messagesFromSQL, args(pgx.StrictNamedArgs{"seq": from, "limit": limit + 1}))
		later, err := pgx.CollectRows(rows, pgx.RowToStructByName[TranscriptMessage])
		if err != nil {
			return t, err
		}
		if len(later) > limit {
			t.Until = later[limit].Seq
			later = later[:limit]
		}
		t.Messages = append(t.Messages, later...)
	}
	switch {
	case more && len(t.Messages) > 0:
		t.From = t.Messages[0].Seq
	case before == 0 && w.After != 0:
		t.From = w.After
	}
	return t, loadDetails(ctx, db, &t, args)
}

// loadDetails adds what lies between the messages.
func loadDetails(ctx context.Context, db DB, t *Transcript, args func(pgx.StrictNamedArgs) pgx.StrictNamedArgs) error {
	end := t.Until
	if end == 0 {
		end = wholeSeq
	}
	first, last := int32(0), int32(1<<30)
	if n := len(t.Messages); n > 0 {
		first, last = t.Messages[0].Turn, t.Messages[n-1].Turn
	}
	span := args(pgx.StrictNamedArgs{"seq": t.From, "end": end})
	plain := pgx.StrictNamedArgs{"sender": span["sender"], "id": span["id"], "seq": t.From, "end": end}
	var q pgx.Batch
	q.Queue(transcriptTurnsSQL, pgx.StrictNamedArgs{
		"sender": span["sender"], "id": span["id"], "first": first, "last": last,
	})
	q.Queue(transcriptCommandsSQL, plain)
	q.Queue(transcriptSlotsSQL, plain)
	q.Queue(transcriptEventsSQL, span)
	q.Queue(transcriptStepsSQL, plain)
	queueLive(&q, plain)
	res := db.SendBatch(ctx, &q)
	defer res.Close()
	var err error
	if t.Turns, err = answer[TranscriptTurn](res); err != nil {
		return err
	}
	if t.Commands, err = answer[TranscriptCommand](res); err != nil {
		return err
	}
	if t.Slots, err = answer[TranscriptSlot](res); err != nil {
		return err
	}
	if t.Events, err = answer[TranscriptEvent](res); err != nil {
		return err
	}
	if t.Steps, err = answer[TranscriptStep](res); err != nil {
		return err
	}
	return t.Live.read(res)
}

// OutcomeAt is the outcome of a conversation at a time: open until it closes.
func OutcomeAt(outcome string, closes, now time.Time) string {
	if closes.After(now) {
		return metric.OutcomeOpen
	}
	return outcome
}

// FlowRun is one pass of a conversation through a flow.
type FlowRun struct {
	FlowID    string
	StartedAt *time.Time // nil: it began before the conversation
	EndedAt   *time.Time
	Status    string // open, completed or cancelled
	LastStep  string
	Escalated bool
}

const flowRunsSQL = `
select flow_id, started_at, ended_at, status, last_step, escalated
from flow_runs
where sender_id = @sender and conversation_id = @id
order by n
limit 1000`

// FlowRuns returns the passes of a conversation through flows, in their order.
func FlowRuns(ctx context.Context, db Sight, of ConversationKey) ([]FlowRun, error) {
	rows, _ := db.Query(ctx, flowRunsSQL, pgx.StrictNamedArgs{"sender": of.SenderID, "id": of.ID})
	return pgx.CollectRows(rows, pgx.RowToStructByName[FlowRun])
}

const personsSQL = `
select c.id, ` + PersonText + `
from conversations c
where c.id = any(@ids::uuid[]) and c.sender_id = any(@senders::bigint[])`

// PersonsOf returns the numbers by which the users of conversations are counted.
func PersonsOf(ctx context.Context, db DB, list []ListedConversation) (map[conversation.UUID]int64, error) {
	ids, senders := make([][16]byte, len(list)), make([]int64, len(list))
	for i, c := range list {
		ids[i], senders[i] = c.ID, c.SenderID
	}
	rows, _ := db.Query(ctx, personsSQL, pgx.StrictNamedArgs{"ids": ids, "senders": senders})
	all, id, person := map[conversation.UUID]int64{}, [16]byte{}, int64(0)
	_, err := pgx.ForEachRow(rows, []any{&id, &person}, func() error {
		all[id] = person
		return nil
	})
	return all, err
}
