// Package store writes facts, and reads back what a fold needs of them: it is for ingest alone.
package store

import (
	"context"
	"encoding/json"
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
	events        filling[eventFact]
	payloads      filling[bundle]
	originals     filling[original]
	messages      filling[message]
	conversations filling[conversationFact]
	turns         filling[turnFact]
	runs          filling[flowRun]
	steps         filling[step]
	commands      filling[command]
	slots         filling[slot]
	markers       filling[markerRow]
	newSenders    filling[senderFact]
	newStates     filling[projection]
	told          live // what platforms beside Rasa tell

	projections   projectionRows
	versions      map[Version]int64
	environments  map[string]int32
	oldConv       convKeys
	oldTurns      partKeys
	oldRuns       partKeys
	oldMarkers    convKeys // of those that waited for the end
	appendBundles bundleKeys
	marks         marks
	searched      []int64 // senders
	Senders       int

	// the facts at hand: one of each, that none is made for every row
	event        eventFact
	conversation conversationFact
	turn         turnFact
}

// filled are the tables that a batch writes, in the order in which it does.
func (b *Batch) filled() []filled {
	return append([]filled{
		&b.newSenders, &b.newStates, &b.events, &b.payloads, &b.originals, &b.messages, &b.conversations, &b.turns,
		&b.runs, &b.steps, &b.commands, &b.slots, &b.markers,
	}, b.told.filled()...)
}

// NewBatch returns an empty batch.
func NewBatch() *Batch {
	return &Batch{
		newSenders: filling[senderFact]{table: sendersTable}, newStates: filling[projection]{table: projectionsTable},
		events: filling[eventFact]{table: eventsTable}, payloads: filling[bundle]{table: payloadsTable},
		originals: filling[original]{table: originalsTable}, messages: filling[message]{table: messagesTable},
		conversations: filling[conversationFact]{table: conversationsTable}, turns: filling[turnFact]{table: turnsTable},
		runs: filling[flowRun]{table: runsTable}, steps: filling[step]{table: stepsTable},
		commands: filling[command]{table: commandsTable}, slots: filling[slot]{table: slotsTable},
		markers: filling[markerRow]{table: markersTable}, told: newLive(),
	}
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
	traits      []string
	aliases     []string
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
	if len(p.Aliases) > 0 {
		b.marks.named, b.marks.namedOf = append(b.marks.named, s.Key), append(b.marks.namedOf, assistant)
	}
	if s.Stored {
		q := &b.projections
		q.ids, q.assistants, q.keys = append(q.ids, s.ID), append(q.assistants, assistant), append(q.keys, s.Key)
		q.users, q.channels = append(q.users, p.UserID), append(q.channels, p.Channel)
		q.first, q.last = append(q.first, p.FirstSeen), append(q.last, p.LastSeen)
		q.newest, q.states = append(q.newest, p.Newest.Time), append(q.states, p.Marshal())
		q.traits = append(q.traits, conversation.JSONOf(p.Traits))
		aliases, _ := json.Marshal(conversation.Names(p.Aliases)) // texts: cannot fail
		q.aliases = append(q.aliases, string(aliases))
	} else {
		b.newSenders.add(s.ID, &senderFact{assistant, s.Key, p})
		b.newStates.add(s.ID, p)
	}
	for i := range s.Changes.Events {
		b.addEvent(s, &s.Changes.Events[i])
	}
	for _, x := range s.Changes.Bundles {
		b.addBundle(s.ID, x)
	}
	for i := range s.Changes.Messages {
		b.messages.add(s.ID, &s.Changes.Messages[i])
	}
	for _, c := range s.Changes.Conversations {
		b.addConversation(s.ID, s.Assistant, assistant, c)
	}
	for i := range s.Changes.Turns {
		b.addTurn(s.ID, &s.Changes.Turns[i])
	}
	for i := range s.Changes.Runs {
		if x := &s.Changes.Runs[i]; x.Stored() {
			b.oldRuns.add3(s.ID, x.Conversation, x.N)
		}
		b.runs.add(s.ID, &s.Changes.Runs[i])
	}
	for i := range s.Changes.Steps {
		b.steps.add(s.ID, &s.Changes.Steps[i])
	}
	for i := range s.Changes.Commands {
		b.commands.add(s.ID, &s.Changes.Commands[i])
	}
	for i := range s.Changes.Slots {
		b.slots.add(s.ID, &s.Changes.Slots[i])
	}
	for i := range s.Changes.Markers {
		b.markers.add(s.ID, &s.Changes.Markers[i])
	}
	b.told.add(s.ID, s.Changes)
}

func (b *Batch) addEvent(s Sender, e *conversation.EventRow) {
	b.event = eventFact{b.version(s.Assistant, e.ModelID, e.ModelName), b.environment(e.Environment), e}
	b.events.add(s.ID, &b.event)
	if e.Original != nil {
		b.originals.add(s.ID, e)
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

func (b *Batch) addBundle(sender int64, x *conversation.Bundle) {
	if x.Appended {
		k := &b.appendBundles
		k.add3(sender, x.Conversation, x.Part)
		k.at, k.more = append(k.at, x.At), append(
			k.more, queries.BodySeparator+strings.Join(x.Bodies, queries.BodySeparator),
		)
		return
	}
	b.payloads.add(sender, x)
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

func (b *Batch) addConversation(sender int64, name string, assistant int32, c *conversation.Conversation) {
	if c.Journal {
		if c.Stored() {
			b.told.oldJournals.add2(sender, c.ID)
		}
		b.told.journals.add(sender, &journalFact{assistant, c})
		return
	}
	if c.Stored() {
		b.oldConv.add2(sender, c.ID)
		if c.Marked != nil {
			b.oldMarkers.add2(sender, c.ID)
		}
	}
	if c.Stored() && c.BecameNamed() { // it was somebody else's, as far as was known
		b.marks.came(sender, "", assistant, c.StartedAt, c.UserMessages > 0)
	}
	if !c.Stored() || c.BecameEngaged() || c.BecameNamed() {
		b.marks.came(sender, c.UserID, assistant, c.StartedAt, c.UserMessages > 0)
	}
	b.marks.add(sender, assistant, c.StartedAt)
	x := &b.conversation
	*x = conversationFact{
		assistant: assistant, version: versionID(name, c.ModelID, c.ModelName), responses: c.ResponseTimes(),
		Conversation: c,
	}
	outcome, because := c.Ending()
	x.outcome, x.because = outcome, string(because)
	x.escalatedAt, x.reason = c.Escalation()
	b.conversations.add(sender, x)
}

func (b *Batch) addTurn(sender int64, t *conversation.ConversationTurn) {
	if t.Stored() {
		b.oldTurns.add3(sender, t.Conversation, t.N)
	}
	x := &b.turn
	*x = turnFact{confidence: math.NaN(), ConversationTurn: t}
	ms, source, ok := t.Response()
	x.ms, x.source, x.timed = ms, string(source), ok
	if t.Confidence != nil {
		x.confidence = *t.Confidence
	}
	b.turns.add(sender, x)
}

const deleteTurnsSQL = `
delete from turns t
using unnest(@senders::bigint[], @ids::uuid[], @ns::integer[]) as k (sender_id, id, n)
where t.sender_id = k.sender_id and t.conversation_id = k.id and t.n = k.n`

const deleteRunsSQL = `
delete from flow_runs r
using unnest(@senders::bigint[], @ids::uuid[], @ns::integer[]) as k (sender_id, id, n)
where r.sender_id = k.sender_id and r.conversation_id = k.id and r.n = k.n`

const deleteMarkersSQL = `
delete from markers m
using unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
where m.sender_id = k.sender_id and m.conversation_id = k.id and m.never`

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
insert into senders (id, assistant_id, sender_key, user_id, channel, first_seen_at, last_seen_at, traits, aliases)
select k.id, k.assistant, k.key, k.usr, k.channel, timestamptz 'epoch' + k.first * interval '1 microsecond',
	timestamptz 'epoch' + k.last * interval '1 microsecond', nullif(k.traits, ''), array(select jsonb_array_elements_text(k.aliases::jsonb))
from unnest(@ids::bigint[], @assistants::integer[], @keys::text[], @users::text[], @channels::text[],
	@first::bigint[], @last::bigint[], @traits::text[], @aliases::text[])
	as k (id, assistant, key, usr, channel, first, last, traits, aliases)
order by k.id
on conflict (id) do update
set user_id = excluded.user_id, channel = excluded.channel, first_seen_at = excluded.first_seen_at,
	last_seen_at = excluded.last_seen_at, traits = excluded.traits, aliases = excluded.aliases`

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
	if k := &b.oldMarkers; len(k.ids) > 0 {
		q.Queue(deleteMarkersSQL, pgx.StrictNamedArgs{"senders": k.senders, "ids": queries.UUIDs(k.ids)})
	}
	b.told.replace(&q)
	if k := &b.appendBundles; len(k.ids) > 0 {
		q.Queue(appendPayloadsSQL, pgx.StrictNamedArgs{
			"senders": k.senders, "ids": queries.UUIDs(k.ids), "parts": k.n, "ats": k.at, "more": k.more,
		})
	}
	if p := &b.projections; len(p.ids) > 0 {
		q.Queue(upsertSendersSQL, pgx.StrictNamedArgs{
			"ids": p.ids, "assistants": p.assistants, "keys": p.keys, "users": p.users, "channels": p.channels,
			"first": p.first, "last": p.last, "traits": p.traits, "aliases": p.aliases,
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
	for _, t := range b.filled() {
		if err := t.write(ctx, tx); err != nil {
			return err
		}
	}
	return b.told.revise(ctx, tx)
}

// Reset empties the batch and keeps its buffers.
func (b *Batch) Reset() {
	for _, t := range b.filled() {
		t.reset()
	}
	b.told.reset()
	b.projections, b.oldConv, b.oldTurns, b.oldRuns, b.oldMarkers = projectionRows{}, convKeys{}, partKeys{}, partKeys{},
		convKeys{}
	b.appendBundles, b.marks, b.Senders = bundleKeys{}, marks{}, 0
	b.searched = b.searched[:0]
	b.event, b.conversation, b.turn = eventFact{}, conversationFact{}, turnFact{} // they hold what was folded
}
