// Package store writes facts, and reads back what a fold needs of them: it is for ingest alone.
package store

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
)

// Batch gathers what a transaction of ingest writes, for any number of senders, and writes each table
// once. It may be used again after Write.
type Batch struct {
	events, payloads, originals, messages, conversations, turns, runs, steps, commands, slots rows

	projections   projectionRows
	newSenders    rows
	newStates     rows
	versions      map[Version]int64
	environments  map[string]int32
	oldConv       convKeys
	oldTurns      partKeys
	oldRuns       partKeys
	appendBundles bundleKeys
	marks         marks
	searched      []int64 // senders
	Senders       int
}

type convKeys struct {
	senders []int64
	ids     []conversation.UUID
}

type partKeys struct {
	convKeys
	n []int32
}

type bundleKeys struct {
	partKeys
	at   []int64
	more []string
}

type projectionRows struct {
	ids         []int64
	assistants  []int32
	keys        []string
	users       []string
	channels    []string
	first, last []int64
	newest      []float64
	states      [][]byte
}

// Sender is one sender's share of a batch.
type Sender struct {
	ID         int64
	Assistant  string
	Key        string
	Projection *conversation.Projection
	Changes    *conversation.Changes
	Stored     bool // it has rows already
}

// Add takes a sender's changes.
func (b *Batch) Add(s Sender) {
	b.Senders++
	b.searched = append(b.searched, s.ID)
	p := s.Projection
	assistant := conversation.SmallID("assistant", s.Assistant)
	if s.Stored {
		q := &b.projections
		q.ids, q.assistants, q.keys = append(q.ids, s.ID), append(q.assistants, assistant), append(q.keys, s.Key)
		q.users, q.channels = append(q.users, p.UserID), append(q.channels, p.Channel)
		q.first, q.last = append(q.first, p.FirstSeen), append(q.last, p.LastSeen)
		q.newest, q.states = append(q.newest, p.Newest.Time), append(q.states, p.Marshal())
	} else {
		b.newSender(s, assistant)
	}
	for i := range s.Changes.Events {
		b.event(s, &s.Changes.Events[i])
	}
	for _, x := range s.Changes.Bundles {
		b.bundle(s.ID, x)
	}
	for i := range s.Changes.Messages {
		b.message(s.ID, &s.Changes.Messages[i])
	}
	for _, c := range s.Changes.Conversations {
		b.conversation(s.ID, s.Assistant, assistant, c)
	}
	for _, t := range s.Changes.Turns {
		b.turn(s.ID, t)
	}
	for _, r := range s.Changes.Runs {
		b.run(s.ID, r)
	}
	for _, x := range s.Changes.Steps {
		r := &b.steps
		r.row(6)
		r.int8(s.ID)
		r.uuid(x.Conversation)
		r.int8(x.Seq)
		r.time(x.At)
		r.text(x.FlowID)
		r.text(x.StepID)
	}
	for _, x := range s.Changes.Commands {
		r := &b.commands
		r.row(11)
		r.int8(s.ID)
		r.uuid(x.Conversation)
		r.int8(x.Seq)
		r.int2(x.N)
		r.int4(int32(x.Turn))
		r.time(x.At)
		r.text(x.Kind)
		r.text(x.FlowID)
		r.text(x.Slot)
		r.text(x.Value)
		r.text(x.Detail)
	}
	for _, x := range s.Changes.Slots {
		r := &b.slots
		r.row(7)
		r.int8(s.ID)
		r.uuid(x.Conversation)
		r.int8(x.Seq)
		r.int4(int32(x.Turn))
		r.time(x.At)
		r.text(x.Name)
		r.text(x.Value)
	}
}

func (b *Batch) newSender(s Sender, assistant int32) {
	r := &b.newSenders
	r.row(7)
	r.int8(s.ID)
	r.int4(assistant)
	r.text(s.Key)
	r.text(s.Projection.UserID)
	r.text(s.Projection.Channel)
	r.time(s.Projection.FirstSeen)
	r.time(s.Projection.LastSeen)
	r = &b.newStates
	r.row(3)
	r.int8(s.ID)
	r.float8(s.Projection.Newest.Time)
	r.bytea(s.Projection.Marshal())
}

func (b *Batch) event(s Sender, e *conversation.EventRow) {
	r := &b.events
	r.row(19)
	r.int8(s.ID)
	r.time(e.At)
	r.uuid(e.ID)
	r.uuid(e.Conversation)
	r.int8(e.Seq)
	r.int8(b.version(s.Assistant, e.ModelID, e.ModelName))
	r.int8(e.BodyHash)
	r.int4(b.environment(e.Environment))
	r.int4(int32(e.Turn))
	r.int2(e.Part)
	r.int2(e.Pos)
	r.int2(int(e.Flags | e.Extra))
	r.int2(int(e.Place))
	r.int4(e.Via)
	r.text(e.Type)
	r.text(e.Name)
	r.text(e.FlowID)
	r.text(e.StepID)
	r.text(e.AgentID)
	if e.Original != nil {
		r := &b.originals
		r.row(3)
		r.int8(s.ID)
		r.uuid(e.ID)
		r.bytea(e.Original)
	}
}

// version and environment remember what few names a batch holds: to hash them for every event is dear.
func (b *Batch) version(assistant, modelID, modelName string) int64 {
	v := Version{assistant, modelID, modelName}
	id, ok := b.versions[v]
	if !ok {
		id = versionID(assistant, modelID, modelName)
		if b.versions == nil || len(b.versions) > 1000 {
			b.versions = map[Version]int64{}
		}
		b.versions[v] = id
	}
	return id
}

func (b *Batch) environment(name string) int32 {
	id, ok := b.environments[name]
	if !ok {
		id = smallID("environment", name)
		if b.environments == nil || len(b.environments) > 1000 {
			b.environments = map[string]int32{}
		}
		b.environments[name] = id
	}
	return id
}

func versionID(assistant, modelID, modelName string) int64 {
	if modelID == "" && modelName == "" {
		return 0
	}
	return conversation.VersionID(assistant, modelID, modelName)
}

func smallID(kind, name string) int32 {
	if name == "" {
		return 0
	}
	return conversation.SmallID(kind, name)
}

func (b *Batch) bundle(sender int64, x *conversation.Bundle) {
	if x.Appended {
		k := &b.appendBundles
		k.add3(sender, x.Conversation, x.Part)
		k.at, k.more = append(k.at, x.At), append(
			k.more, queries.BodySeparator+strings.Join(x.Bodies, queries.BodySeparator),
		)
		return
	}
	r := &b.payloads
	r.row(6)
	r.int8(sender)
	r.time(x.At)
	r.uuid(x.Conversation)
	r.int2(x.Part)
	r.int2(int(x.Format))
	r.join(x.Bodies, queries.BodySeparator)
}

func (b *Batch) message(sender int64, m *conversation.Message) {
	r := &b.messages
	r.row(16)
	r.int8(sender)
	r.time(m.At)
	r.uuid(m.ID)
	r.uuid(m.Conversation)
	r.int8(m.Seq)
	r.int4(int32(m.Turn))
	r.int2(int(m.Author))
	r.float4OrNull(messageConfidence(m))
	r.float8OrNaN(messageConfidence(m))
	r.text(m.Text)
	r.textOrNull(m.Rich)
	r.text(m.Intent)
	r.text(m.Retrieval)
	template := ""
	if m.Author != conversation.ByUser {
		template = m.Name
	}
	r.text(template)
	r.text(m.MessageID)
	r.textOrNull(m.Entities)
}

// messageConfidence leaves out the 0 that stands beside no intent.
func messageConfidence(m *conversation.Message) float64 {
	if m.Intent == "" {
		return math.NaN()
	}
	return m.Confidence
}

func (k *convKeys) add2(sender int64, id conversation.UUID) {
	k.senders, k.ids = append(k.senders, sender), append(k.ids, id)
}

func (k *partKeys) add3(sender int64, id conversation.UUID, n int) {
	k.add2(sender, id)
	k.n = append(k.n, int32(n))
}

// Facets are what lists filter conversations by, each as prefix:value; see Facet.
func facets(assistant int32, c *conversation.Conversation) []string {
	f := make([]string, 0, 8+len(c.Flows))
	f = append(f, metric.Facet("a", strconv.Itoa(int(assistant))), metric.Facet("o", string(c.Outcome())))
	if c.Environment != "" {
		f = append(f, metric.Facet("e", c.Environment))
	}
	if c.Channel != "" {
		f = append(f, metric.Facet("c", c.Channel))
	}
	if r := c.CSAT(); r != "" {
		f = append(f, metric.Facet("r", string(r)))
	}
	if at, _ := c.Escalation(); at != 0 {
		f = append(f, metric.Facet("x", "yes"))
	} else {
		f = append(f, metric.Facet("x", "no"))
	}
	for _, flow := range c.Flows {
		f = append(f, metric.Facet("f", flow))
	}
	return f
}

func (b *Batch) conversation(sender int64, name string, assistant int32, c *conversation.Conversation) {
	if c.Stored() {
		b.oldConv.add2(sender, c.ID)
	}
	if c.Stored() && c.BecameNamed() { // it was somebody else's, as far as was known
		b.marks.came(sender, "", assistant, c.StartedAt, c.UserMessages > 0)
	}
	if !c.Stored() || c.BecameEngaged() || c.BecameNamed() {
		b.marks.came(sender, c.UserID, assistant, c.StartedAt, c.UserMessages > 0)
	}
	b.marks.add(sender, assistant, c.StartedAt)
	version := versionID(name, c.ModelID, c.ModelName)
	responses := c.ResponseTimes()
	r := &b.conversations
	r.row(40)
	r.int8(sender)
	r.uuid(c.ID)
	r.int4(assistant)
	r.int4(smallID("environment", c.Environment))
	r.int4(smallID("channel", c.Channel))
	r.int8(version)
	r.text(c.UserID)
	r.text(c.SessionID)
	r.float8(c.First.Time)
	r.int2(int(c.First.Place))
	r.int2(c.First.Rank)
	r.uuid(c.First.ID)
	r.time(c.StartedAt)
	r.time(c.LastAt)
	r.time(c.ActiveAt)
	r.timeOrNull(c.EndedAt)
	r.time(c.ClosesAt())
	r.text(c.EndReason)
	r.int8(c.FirstSeq)
	r.int8(c.LastSeq)
	for _, n := range []int{c.Events, c.UserMessages, c.BotMessages, c.AgentMessages, c.Turns} {
		r.int4(int32(n))
	}
	outcome, because := c.Ending()
	r.text(string(outcome))
	r.text(string(because))
	escalated, reason := c.Escalation()
	r.timeOrNull(escalated)
	r.text(reason)
	r.text(string(c.CSAT()))
	r.texts(c.Flows)
	r.text(c.LastFlow)
	r.text(c.FirstText)
	r.int2(int(c.Removed))
	r.bool(c.Resumed)
	r.float8s(responses)
	if median, ok := metric.Percentile(responses, 0.5); ok {
		r.float8(median)
	} else {
		r.null()
	}
	r.texts(facets(assistant, c))
	r.uuidArray(c.AbsorbedIDs)
	r.bytea(c.Checkpoint)
}

func (b *Batch) turn(sender int64, t conversation.ConversationTurn) {
	if t.Stored() {
		b.oldTurns.add3(sender, t.Conversation, t.N)
	}
	r := &b.turns
	r.row(19)
	r.int8(sender)
	r.uuid(t.Conversation)
	r.int4(int32(t.N))
	r.time(t.At)
	r.uuid(t.Message)
	r.int8(t.Seq)
	r.int8(t.EndSeq)
	ms, source, ok := t.Response()
	if ok {
		r.float8(ms)
	} else {
		r.null()
	}
	r.text(string(source))
	r.float8OrNull(t.Understanding)
	r.float8OrNull(t.Prediction)
	r.text(t.Intent)
	r.bool(t.Platform)
	r.bool(t.Human)
	r.bool(t.Fallback)
	confidence := math.NaN()
	if t.Confidence != nil {
		confidence = *t.Confidence
	}
	r.float4OrNull(confidence)
	r.float8OrNaN(confidence)
	r.text(t.Flow)
	r.text(t.Action)
}

func (b *Batch) run(sender int64, x conversation.ConversationRun) {
	if x.Stored() {
		b.oldRuns.add3(sender, x.Conversation, x.N)
	}
	r := &b.runs
	r.row(12)
	r.int8(sender)
	r.uuid(x.Conversation)
	r.int4(int32(x.N))
	r.text(x.FlowID)
	r.timeOrNull(x.StartedAt)
	r.timeOrNull(x.EndedAt)
	r.text(string(x.Status))
	for _, n := range []int{x.Starts, x.Interrupted, x.Resumed} {
		r.int4(int32(n))
	}
	r.text(x.LastStep)
	r.bool(x.Escalated)
}

const (
	copySendersSQL = `copy senders (id, assistant_id, sender_key, user_id, channel, first_seen_at, last_seen_at)
	from stdin binary`
	copyProjectionsSQL = `copy projections (sender_id, newest_time, state) from stdin binary`
	copyEventsSQL      = `copy events (sender_id, at, id, conversation_id, seq, version_id, body_hash,
	environment_id, turn, part, pos, flags, place, via, type, name, flow_id, step_id, agent_id) from stdin binary`
	copyPayloadsSQL  = `copy event_payloads (sender_id, at, conversation_id, part, format, bodies) from stdin binary`
	copyOriginalsSQL = `copy event_originals (sender_id, event_id, body) from stdin binary`
	copyMessagesSQL  = `copy messages (sender_id, at, id, conversation_id, seq, turn, author, confidence,
	confidence_sent, text, rich, intent, retrieval_intent, template, message_id, entities) from stdin binary`
	copyConversationsSQL = `copy conversations (sender_id, id, assistant_id, environment_id, channel_id, version_id,
	user_id, session_id, first_time, first_place, first_rank, first_event, started_at, last_at, active_at, ended_at,
		closes_at, end_reason, first_seq, last_seq, events, user_messages, bot_messages, agent_messages, turns,
			outcome, outcome_because, escalated_at, escalation_reason, csat, flows, last_flow, first_text, removed,
				resumed, response_ms, response_median_ms, facets, absorbed, checkpoint) from stdin binary`
	copyTurnsSQL = `copy turns (sender_id, conversation_id, n, at, message_id, seq, end_seq, response_ms,
	response_source, understanding_ms, prediction_ms, intent, platform, human, fallback, confidence, confidence_sent,
		flow_id, action) from stdin binary`
	copyRunsSQL = `copy flow_runs (sender_id, conversation_id, n, flow_id, started_at, ended_at, status,
	starts, interrupted, resumed, last_step, escalated) from stdin binary`
	copyStepsSQL    = `copy flow_steps (sender_id, conversation_id, seq, at, flow_id, step_id) from stdin binary`
	copyCommandsSQL = `copy commands (sender_id, conversation_id, seq, n, turn, at, command, flow_id, slot,
	value, detail) from stdin binary`
	copySlotsSQL = `copy slots (sender_id, conversation_id, seq, turn, at, name, value) from stdin binary`
)

const deleteTurnsSQL = `
delete from turns t
using unnest(@senders::bigint[], @ids::uuid[], @ns::integer[]) as k (sender_id, id, n)
where t.sender_id = k.sender_id and t.conversation_id = k.id and t.n = k.n`

const deleteRunsSQL = `
delete from flow_runs r
using unnest(@senders::bigint[], @ids::uuid[], @ns::integer[]) as k (sender_id, id, n)
where r.sender_id = k.sender_id and r.conversation_id = k.id and r.n = k.n`

const appendPayloadsSQL = `
update event_payloads p
set bodies = p.bodies || k.more
from unnest(@senders::bigint[], @ids::uuid[], @parts::integer[], @ats::bigint[], @more::text[])
	as k (sender_id, id, part, at, more)
where p.sender_id = k.sender_id
	and p.at = timestamptz 'epoch' + k.at * interval '1 microsecond'
	and p.conversation_id = k.id
	and p.part = k.part`

const upsertSendersSQL = `
insert into senders (id, assistant_id, sender_key, user_id, channel, first_seen_at, last_seen_at)
select k.id, k.assistant, k.key, k.usr, k.channel, timestamptz 'epoch' + k.first * interval '1 microsecond',
	timestamptz 'epoch' + k.last * interval '1 microsecond'
from unnest(@ids::bigint[], @assistants::integer[], @keys::text[], @users::text[], @channels::text[],
	@first::bigint[], @last::bigint[])
	as k (id, assistant, key, usr, channel, first, last)
order by k.id
on conflict (id) do update
set user_id = excluded.user_id, channel = excluded.channel, first_seen_at = excluded.first_seen_at,
	last_seen_at = excluded.last_seen_at`

const upsertProjectionsSQL = `
insert into projections (sender_id, newest_time, state)
select k.id, k.newest, k.state
from unnest(@ids::bigint[], @newest::float8[], @states::bytea[]) as k (id, newest, state)
order by k.id
on conflict (sender_id) do update
set newest_time = excluded.newest_time, state = excluded.state`

// Write writes the batch in the caller's transaction. The rows that it replaces are deleted first, in one
// round trip with the upserts.
func (b *Batch) Write(ctx context.Context, tx pgx.Tx) error {
	var q pgx.Batch
	if k := &b.oldConv; len(k.ids) > 0 {
		q.Queue(queries.DeleteConversationsSQL, pgx.StrictNamedArgs{"senders": k.senders, "ids": queries.UUIDs(k.ids)})
	}
	if k := &b.oldTurns; len(k.ids) > 0 {
		q.Queue(deleteTurnsSQL, pgx.StrictNamedArgs{"senders": k.senders, "ids": queries.UUIDs(k.ids), "ns": k.n})
	}
	if k := &b.oldRuns; len(k.ids) > 0 {
		q.Queue(deleteRunsSQL, pgx.StrictNamedArgs{"senders": k.senders, "ids": queries.UUIDs(k.ids), "ns": k.n})
	}
	if k := &b.appendBundles; len(k.ids) > 0 {
		q.Queue(appendPayloadsSQL, pgx.StrictNamedArgs{
			"senders": k.senders, "ids": queries.UUIDs(k.ids), "parts": k.n, "ats": k.at, "more": k.more,
		})
	}
	if p := &b.projections; len(p.ids) > 0 {
		q.Queue(upsertSendersSQL, pgx.StrictNamedArgs{
			"ids": p.ids, "assistants": p.assistants, "keys": p.keys, "users": p.users, "channels": p.channels,
			"first": p.first, "last": p.last,
		})
		q.Queue(upsertProjectionsSQL, pgx.StrictNamedArgs{"ids": p.ids, "newest": p.newest, "states": p.states})
	}
	b.marks.queue(&q)
	q.Queue(queries.MarkSearchSQL, pgx.StrictNamedArgs{"senders": b.searched})
	if q.Len() > 0 {
		if err := tx.SendBatch(ctx, &q).Close(); err != nil {
			return fmt.Errorf("replace rows: %w", err)
		}
	}
	for _, t := range []struct {
		rows *rows
		sql  string
	}{
		{&b.newSenders, copySendersSQL},
		{&b.newStates, copyProjectionsSQL},
		{&b.events, copyEventsSQL},
		{&b.payloads, copyPayloadsSQL},
		{&b.originals, copyOriginalsSQL},
		{&b.messages, copyMessagesSQL},
		{&b.conversations, copyConversationsSQL},
		{&b.turns, copyTurnsSQL},
		{&b.runs, copyRunsSQL},
		{&b.steps, copyStepsSQL},
		{&b.commands, copyCommandsSQL},
		{&b.slots, copySlotsSQL},
	} {
		if err := t.rows.copy(ctx, tx, t.sql); err != nil {
			return fmt.Errorf("copy %s: %w", strings.Fields(t.sql)[1], err)
		}
	}
	return nil
}

// Reset empties the batch and keeps its buffers.
func (b *Batch) Reset() {
	for _, r := range []*rows{
		&b.newSenders, &b.newStates, &b.events, &b.payloads, &b.originals, &b.messages, &b.conversations, &b.turns,
		&b.runs, &b.steps, &b.commands, &b.slots,
	} {
		r.n = 0
	}
	b.projections, b.oldConv, b.oldTurns, b.oldRuns, b.appendBundles, b.marks, b.Senders = projectionRows{},
		convKeys{}, partKeys{}, partKeys{}, bundleKeys{}, marks{}, 0
	b.searched = b.searched[:0]
}
