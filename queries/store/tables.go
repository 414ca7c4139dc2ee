package store

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
)

// table says how a fact becomes a row: it alone names the columns, in the order in which they are sent. Each begins
// with the sender's.
type table[T any] struct {
	name    string
	sql     string
	columns []column[T]
}

// column is one of a table, and how a fact fills it.
type column[T any] struct {
	name string
	put  func(r *rows, x *T)
}

func newTable[T any](name, sender string, columns ...column[T]) *table[T] {
	names := []string{sender}
	for _, c := range columns {
		names = append(names, c.name)
	}
	return &table[T]{
		name: name, sql: "copy " + name + " (" + strings.Join(names, ", ") + ") from stdin binary", columns: columns,
	}
}

// filling gathers the rows of a table that a batch writes.
type filling[T any] struct {
	*table[T]
	rows
}

// add adds a row. What x points to is on the heap already: it is passed to functions that the compiler does not see.
func (f *filling[T]) add(sender int64, x *T) {
	f.row(1 + len(f.columns))
	f.int8(sender)
	for i := range f.columns {
		f.columns[i].put(&f.rows, x)
	}
}

func (f *filling[T]) write(ctx context.Context, tx pgx.Tx) error {
	if err := f.copy(ctx, tx, f.sql); err != nil {
		return fmt.Errorf("copy %s: %w", f.name, err)
	}
	return nil
}

func (f *filling[T]) reset() { f.n = 0 }

func (f *filling[T]) statement() string { return f.sql }

// filled is a filling of any table.
type filled interface {
	write(ctx context.Context, tx pgx.Tx) error
	reset()
	statement() string
}

// The facts that hold more than what folding tells.
type (
	senderFact struct {
		assistant int32
		key       string
		*conversation.Projection
	}
	eventFact struct {
		version     int64
		environment int32
		*conversation.EventRow
	}
	conversationFact struct {
		assistant       int32
		version         int64
		outcome         conversation.Outcome
		because, reason string
		escalatedAt     int64
		responses       []float64
		*conversation.Conversation
	}
	turnFact struct {
		ms         float64
		timed      bool
		source     string
		confidence float64
		*conversation.ConversationTurn
	}
)

var sendersTable = newTable("senders", "id",
	column[senderFact]{"assistant_id", func(r *rows, x *senderFact) { r.int4(x.assistant) }},
	column[senderFact]{"sender_key", func(r *rows, x *senderFact) { r.text(x.key) }},
	column[senderFact]{"user_id", func(r *rows, x *senderFact) { r.text(x.UserID) }},
	column[senderFact]{"channel", func(r *rows, x *senderFact) { r.text(x.Channel) }},
	column[senderFact]{"first_seen_at", func(r *rows, x *senderFact) { r.time(x.FirstSeen) }},
	column[senderFact]{"last_seen_at", func(r *rows, x *senderFact) { r.time(x.LastSeen) }},
	column[senderFact]{"traits", func(r *rows, x *senderFact) { r.textOrNull(conversation.JSONOf(x.Traits)) }},
	column[senderFact]{"aliases", func(r *rows, x *senderFact) { r.texts(conversation.Names(x.Aliases)) }},
)

type projection = conversation.Projection

var projectionsTable = newTable("projections", "sender_id",
	column[projection]{"newest_time", func(r *rows, x *projection) { r.float8(x.Newest.Time) }},
	column[projection]{"state", func(r *rows, x *projection) { r.bytea(x.Marshal()) }},
)

var eventsTable = newTable("events", "sender_id",
	column[eventFact]{"at", func(r *rows, x *eventFact) { r.time(x.At) }},
	column[eventFact]{"id", func(r *rows, x *eventFact) { r.uuid(x.ID) }},
	column[eventFact]{"conversation_id", func(r *rows, x *eventFact) { r.uuid(x.Conversation) }},
	column[eventFact]{"seq", func(r *rows, x *eventFact) { r.int8(x.Seq) }},
	column[eventFact]{"version_id", func(r *rows, x *eventFact) { r.int8(x.version) }},
	column[eventFact]{"body_hash", func(r *rows, x *eventFact) { r.int8(x.BodyHash) }},
	column[eventFact]{"environment_id", func(r *rows, x *eventFact) { r.int4(x.environment) }},
	column[eventFact]{"turn", func(r *rows, x *eventFact) { r.int4(int32(x.Turn)) }},
	column[eventFact]{"part", func(r *rows, x *eventFact) { r.int2(x.Part) }},
	column[eventFact]{"pos", func(r *rows, x *eventFact) { r.int2(x.Pos) }},
	column[eventFact]{"flags", func(r *rows, x *eventFact) { r.int2(int(x.Flags | x.Extra)) }},
	column[eventFact]{"place", func(r *rows, x *eventFact) { r.int2(int(x.Place)) }},
	column[eventFact]{"via", func(r *rows, x *eventFact) { r.int4(x.Via) }},
	column[eventFact]{"type", func(r *rows, x *eventFact) { r.text(x.Type) }},
	column[eventFact]{"name", func(r *rows, x *eventFact) { r.text(x.Name) }},
	column[eventFact]{"flow_id", func(r *rows, x *eventFact) { r.text(x.FlowID) }},
	column[eventFact]{"step_id", func(r *rows, x *eventFact) { r.text(x.StepID) }},
	column[eventFact]{"agent_id", func(r *rows, x *eventFact) { r.text(x.AgentID) }},
)

type original = conversation.EventRow

var originalsTable = newTable("event_originals", "sender_id",
	column[original]{"event_id", func(r *rows, x *original) { r.uuid(x.ID) }},
	column[original]{"body", func(r *rows, x *original) { r.bytea(x.Original) }},
)

type bundle = conversation.Bundle

var payloadsTable = newTable("event_payloads", "sender_id",
	column[bundle]{"at", func(r *rows, x *bundle) { r.time(x.At) }},
	column[bundle]{"conversation_id", func(r *rows, x *bundle) { r.uuid(x.Conversation) }},
	column[bundle]{"part", func(r *rows, x *bundle) { r.int2(x.Part) }},
	column[bundle]{"format", func(r *rows, x *bundle) { r.int2(int(x.Format)) }},
	column[bundle]{"bodies", func(r *rows, x *bundle) { r.join(x.Bodies, queries.BodySeparator) }},
)

type message = conversation.Message

var messagesTable = newTable("messages", "sender_id",
	column[message]{"at", func(r *rows, x *message) { r.time(x.At) }},
	column[message]{"id", func(r *rows, x *message) { r.uuid(x.ID) }},
	column[message]{"conversation_id", func(r *rows, x *message) { r.uuid(x.Conversation) }},
	column[message]{"seq", func(r *rows, x *message) { r.int8(x.Seq) }},
	column[message]{"turn", func(r *rows, x *message) { r.int4(int32(x.Turn)) }},
	column[message]{"author", func(r *rows, x *message) { r.int2(int(x.Author)) }},
	column[message]{"confidence", func(r *rows, x *message) { r.float4OrNull(messageConfidence(x)) }},
	column[message]{"confidence_sent", func(r *rows, x *message) { r.float8OrNaN(messageConfidence(x)) }},
	column[message]{"text", func(r *rows, x *message) { r.text(x.Text) }},
	column[message]{"rich", func(r *rows, x *message) { r.textOrNull(x.Rich) }},
	column[message]{"intent", func(r *rows, x *message) { r.text(x.Intent) }},
	column[message]{"retrieval_intent", func(r *rows, x *message) { r.text(x.Retrieval) }},
	column[message]{"template", func(r *rows, x *message) {
		if x.Author == conversation.ByUser {
			r.text("")
		} else {
			r.text(x.Name)
		}
	}},
	column[message]{"message_id", func(r *rows, x *message) { r.text(x.MessageID) }},
	column[message]{"entities", func(r *rows, x *message) { r.textOrNull(x.Entities) }},
	ofSaid("agent_id", func(r *rows, x *message, s *conversation.Said) { r.text(x.AgentID) }),
	ofSaid("agent_session_id", func(r *rows, _ *message, s *conversation.Said) { r.text(s.AgentSession) }),
	ofSaid("message_type", func(r *rows, _ *message, s *conversation.Said) { r.text(s.Type) }),
	ofSaid("reply_to", func(r *rows, _ *message, s *conversation.Said) { r.text(s.ReplyTo) }),
	ofSaid("details", func(r *rows, _ *message, s *conversation.Said) { r.textOrNull(s.Details) }),
	ofSaid("rev", func(r *rows, x *message, _ *conversation.Said) { r.float8(x.Rev) }),
	ofSaid("deleted", func(r *rows, _ *message, s *conversation.Said) { r.bool(s.Deleted) }),
)

// ofSaid is a column that is null where the platform tells none of it.
func ofSaid(name string, put func(r *rows, x *message, s *conversation.Said)) column[message] {
	return column[message]{name, func(r *rows, x *message) {
		if s := saidOf(x.Event); s != nil {
			put(r, x, s)
		} else {
			r.null()
		}
	}}
}

// messageConfidence leaves out the 0 that stands beside no intent.
func messageConfidence(m *message) float64 {
	if m.Intent == "" {
		return math.NaN()
	}
	return m.Confidence
}

type ofConversation = column[conversationFact]

var conversationsTable = newTable("conversations", "sender_id",
	ofConversation{"id", func(r *rows, x *conversationFact) { r.uuid(x.ID) }},
	ofConversation{"assistant_id", func(r *rows, x *conversationFact) { r.int4(x.assistant) }},
	ofConversation{"environment_id", func(r *rows, x *conversationFact) { r.int4(smallID("environment", x.Environment)) }},
	ofConversation{"channel_id", func(r *rows, x *conversationFact) { r.int4(smallID("channel", x.Channel)) }},
	ofConversation{"version_id", func(r *rows, x *conversationFact) { r.int8(x.version) }},
	ofConversation{"user_id", func(r *rows, x *conversationFact) { r.text(x.UserID) }},
	ofConversation{"session_id", func(r *rows, x *conversationFact) { r.text(x.SessionID) }},
	ofConversation{"first_time", func(r *rows, x *conversationFact) { r.float8(x.First.Time) }},
	ofConversation{"first_order", func(r *rows, x *conversationFact) { r.int8(x.First.Order) }},
	ofConversation{"first_place", func(r *rows, x *conversationFact) { r.int2(int(x.First.Place)) }},
	ofConversation{"first_rank", func(r *rows, x *conversationFact) { r.int2(x.First.Rank) }},
	ofConversation{"first_event", func(r *rows, x *conversationFact) { r.uuid(x.First.ID) }},
	ofConversation{"started_at", func(r *rows, x *conversationFact) { r.time(x.StartedAt) }},
	ofConversation{"last_at", func(r *rows, x *conversationFact) { r.time(x.LastAt) }},
	ofConversation{"active_at", func(r *rows, x *conversationFact) { r.time(x.ActiveAt) }},
	ofConversation{"ended_at", func(r *rows, x *conversationFact) { r.timeOrNull(x.EndedAt) }},
	ofConversation{"closes_at", func(r *rows, x *conversationFact) { r.time(x.ClosesAt()) }},
	ofConversation{"end_reason", func(r *rows, x *conversationFact) { r.text(x.EndReason) }},
	ofConversation{"first_seq", func(r *rows, x *conversationFact) { r.int8(x.FirstSeq) }},
	ofConversation{"last_seq", func(r *rows, x *conversationFact) { r.int8(x.LastSeq) }},
	ofConversation{"events", func(r *rows, x *conversationFact) { r.int4(int32(x.Events)) }},
	ofConversation{"user_messages", func(r *rows, x *conversationFact) { r.int4(int32(x.UserMessages)) }},
	ofConversation{"bot_messages", func(r *rows, x *conversationFact) { r.int4(int32(x.BotMessages)) }},
	ofConversation{"agent_messages", func(r *rows, x *conversationFact) { r.int4(int32(x.AgentMessages)) }},
	ofConversation{"turns", func(r *rows, x *conversationFact) { r.int4(int32(x.Turns)) }},
	ofConversation{"outcome", func(r *rows, x *conversationFact) { r.text(string(x.outcome)) }},
	ofConversation{"outcome_because", func(r *rows, x *conversationFact) { r.text(x.because) }},
	ofConversation{"escalated_at", func(r *rows, x *conversationFact) { r.timeOrNull(x.escalatedAt) }},
	ofConversation{"escalation_reason", func(r *rows, x *conversationFact) { r.text(x.reason) }},
	ofConversation{"csat", func(r *rows, x *conversationFact) { r.text(string(x.CSAT())) }},
	ofConversation{"flows", func(r *rows, x *conversationFact) { r.texts(x.Flows) }},
	ofConversation{"last_flow", func(r *rows, x *conversationFact) { r.text(x.LastFlow) }},
	ofConversation{"first_text", func(r *rows, x *conversationFact) { r.text(x.FirstText) }},
	ofConversation{"test", func(r *rows, x *conversationFact) { r.bool(x.Test) }},
	ofConversation{"details", func(r *rows, x *conversationFact) { r.textOrNull(conversation.JSONOf(x.Fields)) }},
	ofConversation{"removed", func(r *rows, x *conversationFact) { r.int2(int(x.Removed)) }},
	ofConversation{"resumed", func(r *rows, x *conversationFact) { r.bool(x.Resumed) }},
	ofConversation{"response_ms", func(r *rows, x *conversationFact) { r.float8s(x.responses) }},
	ofConversation{"untimed", func(r *rows, x *conversationFact) { r.int4(int32(x.UntimedTurns())) }},
	ofConversation{"response_median_ms", func(r *rows, x *conversationFact) {
		if median, ok := metric.Percentile(x.responses, 0.5); ok {
			r.float8(median)
		} else {
			r.null()
		}
	}},
	ofConversation{"facets", func(r *rows, x *conversationFact) { r.texts(facets(x.assistant, x.Conversation)) }},
	ofConversation{"absorbed", func(r *rows, x *conversationFact) { r.uuidArray(x.AbsorbedIDs) }},
	ofConversation{"checkpoint", func(r *rows, x *conversationFact) { r.bytea(x.Checkpoint) }},
)

type ofTurn = column[turnFact]

var turnsTable = newTable("turns", "sender_id",
	ofTurn{"conversation_id", func(r *rows, x *turnFact) { r.uuid(x.Conversation) }},
	ofTurn{"n", func(r *rows, x *turnFact) { r.int4(int32(x.N)) }},
	ofTurn{"at", func(r *rows, x *turnFact) { r.time(x.At) }},
	ofTurn{"message_id", func(r *rows, x *turnFact) { r.uuid(x.Message) }},
	ofTurn{"seq", func(r *rows, x *turnFact) { r.int8(x.Seq) }},
	ofTurn{"end_seq", func(r *rows, x *turnFact) { r.int8(x.EndSeq) }},
	ofTurn{"response_ms", func(r *rows, x *turnFact) {
		if x.timed {
			r.float8(x.ms)
		} else {
			r.null()
		}
	}},
	ofTurn{"response_source", func(r *rows, x *turnFact) { r.text(x.source) }},
	ofTurn{"understanding_ms", func(r *rows, x *turnFact) { r.float8OrNull(x.Understanding) }},
	ofTurn{"prediction_ms", func(r *rows, x *turnFact) { r.float8OrNull(x.Prediction) }},
	ofTurn{"intent", func(r *rows, x *turnFact) { r.text(x.Intent) }},
	ofTurn{"platform", func(r *rows, x *turnFact) { r.bool(x.Platform) }},
	ofTurn{"human", func(r *rows, x *turnFact) { r.bool(x.Human) }},
	ofTurn{"fallback", func(r *rows, x *turnFact) { r.bool(x.Fallback) }},
	ofTurn{"confidence", func(r *rows, x *turnFact) { r.float4OrNull(x.confidence) }},
	ofTurn{"confidence_sent", func(r *rows, x *turnFact) { r.float8OrNaN(x.confidence) }},
	ofTurn{"flow_id", func(r *rows, x *turnFact) { r.text(x.Flow) }},
	ofTurn{"action", func(r *rows, x *turnFact) { r.text(x.Action) }},
)

type flowRun = conversation.ConversationRun

var runsTable = newTable("flow_runs", "sender_id",
	column[flowRun]{"conversation_id", func(r *rows, x *flowRun) { r.uuid(x.Conversation) }},
	column[flowRun]{"n", func(r *rows, x *flowRun) { r.int4(int32(x.N)) }},
	column[flowRun]{"flow_id", func(r *rows, x *flowRun) { r.text(x.FlowID) }},
	column[flowRun]{"started_at", func(r *rows, x *flowRun) { r.timeOrNull(x.StartedAt) }},
	column[flowRun]{"ended_at", func(r *rows, x *flowRun) { r.timeOrNull(x.EndedAt) }},
	column[flowRun]{"status", func(r *rows, x *flowRun) { r.text(string(x.Status)) }},
	column[flowRun]{"starts", func(r *rows, x *flowRun) { r.int4(int32(x.Starts)) }},
	column[flowRun]{"interrupted", func(r *rows, x *flowRun) { r.int4(int32(x.Interrupted)) }},
	column[flowRun]{"resumed", func(r *rows, x *flowRun) { r.int4(int32(x.Resumed)) }},
	column[flowRun]{"last_step", func(r *rows, x *flowRun) { r.text(x.LastStep) }},
	column[flowRun]{"escalated", func(r *rows, x *flowRun) { r.bool(x.Escalated) }},
)

type step = conversation.Step

var stepsTable = newTable("flow_steps", "sender_id",
	column[step]{"conversation_id", func(r *rows, x *step) { r.uuid(x.Conversation) }},
	column[step]{"seq", func(r *rows, x *step) { r.int8(x.Seq) }},
	column[step]{"at", func(r *rows, x *step) { r.time(x.At) }},
	column[step]{"flow_id", func(r *rows, x *step) { r.text(x.FlowID) }},
	column[step]{"step_id", func(r *rows, x *step) { r.text(x.StepID) }},
)

type command = conversation.CommandRow

var commandsTable = newTable("commands", "sender_id",
	column[command]{"conversation_id", func(r *rows, x *command) { r.uuid(x.Conversation) }},
	column[command]{"seq", func(r *rows, x *command) { r.int8(x.Seq) }},
	column[command]{"n", func(r *rows, x *command) { r.int2(x.N) }},
	column[command]{"turn", func(r *rows, x *command) { r.int4(int32(x.Turn)) }},
	column[command]{"at", func(r *rows, x *command) { r.time(x.At) }},
	column[command]{"command", func(r *rows, x *command) { r.text(x.Kind) }},
	column[command]{"flow_id", func(r *rows, x *command) { r.text(x.FlowID) }},
	column[command]{"slot", func(r *rows, x *command) { r.text(x.Slot) }},
	column[command]{"value", func(r *rows, x *command) { r.text(x.Value) }},
	column[command]{"detail", func(r *rows, x *command) { r.text(x.Detail) }},
)

type slot = conversation.SlotRow

var slotsTable = newTable("slots", "sender_id",
	column[slot]{"conversation_id", func(r *rows, x *slot) { r.uuid(x.Conversation) }},
	column[slot]{"seq", func(r *rows, x *slot) { r.int8(x.Seq) }},
	column[slot]{"turn", func(r *rows, x *slot) { r.int4(int32(x.Turn)) }},
	column[slot]{"at", func(r *rows, x *slot) { r.time(x.At) }},
	column[slot]{"name", func(r *rows, x *slot) { r.text(x.Name) }},
	column[slot]{"value", func(r *rows, x *slot) { r.text(x.Value) }},
)

type markerRow = conversation.MarkerRow

var markersTable = newTable("markers", "sender_id",
	column[markerRow]{"conversation_id", func(r *rows, x *markerRow) { r.uuid(x.Conversation) }},
	column[markerRow]{"pattern_id", func(r *rows, x *markerRow) { r.int4(x.Pattern) }},
	column[markerRow]{"seq", func(r *rows, x *markerRow) { r.int8(x.Seq) }},
	column[markerRow]{"at", func(r *rows, x *markerRow) { r.time(x.At) }},
	column[markerRow]{"event_id", func(r *rows, x *markerRow) { r.uuid(x.Event) }},
	column[markerRow]{"turns", func(r *rows, x *markerRow) { r.int4(int32(x.Turns)) }},
	column[markerRow]{"never", func(r *rows, x *markerRow) { r.bool(x.Never) }},
	column[markerRow]{"counts_at", func(r *rows, x *markerRow) { r.time(x.CountsAt) }},
)
