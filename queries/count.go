package queries

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
)

// Dimensions are what the rollups can be narrowed by, as ids.
type Dimensions struct {
	Assistant, Environment, Channel int32
	Version                         int64
}

// Cell is what was counted of the conversations that began in a stretch of time and have the same dimensions.
type Cell struct {
	At time.Time // the stretch's start
	Dimensions
	Tally *metric.Tally
	Flows metric.FlowTally
	Hours *metric.HourLatency // nil unless asked for
	Words *metric.IntentTally // nil unless asked for
	Users metric.Visits       // nil unless asked for

	byHour *[24][]float64
}

// settle moves response times by hour into their distributions.
func (c *Cell) settle() {
	if c.byHour == nil {
		return
	}
	c.Hours = new(metric.HourLatency)
	for h, values := range c.byHour {
		c.Hours[h] = metric.NewLatency(values)
	}
	c.byHour = nil
}

// cellKey names a cell.
type cellKey struct {
	at int64
	Dimensions
}

// cells gathers cells by their key.
type cells struct {
	all   []Cell
	index map[cellKey]int
}

func newCells() *cells { return &cells{index: map[cellKey]int{}} }

func (c *cells) at(at time.Time, d Dimensions) *Cell {
	k := cellKey{at.UnixMicro(), d}
	i, ok := c.index[k]
	if !ok {
		i = len(c.all)
		c.index[k] = i
		c.all = append(c.all, Cell{At: at, Dimensions: d, Tally: new(metric.Tally), Flows: metric.FlowTally{}, Words: new(metric.IntentTally)})
	}
	return &c.all[i]
}

// merge adds a cell, which the sum may keep.
func (f *cells) merge(c *Cell) {
	k := cellKey{c.At.UnixMicro(), c.Dimensions}
	i, ok := f.index[k]
	if !ok {
		f.index[k] = len(f.all)
		f.all = append(f.all, *c)
		return
	}
	cell := &f.all[i]
	cell.Tally.Merge(c.Tally)
	cell.Users = append(cell.Users, c.Users...)
	if c.Flows != nil { // with it the others, or none of them
		cell.Flows.Merge(c.Flows)
		cell.Words.Merge(c.Words)
		cell.Hours.Merge(c.Hours)
	}
}

// unpackCell reads what was rolled up.
func unpackCell(at time.Time, tally, flows, hours, intents, users []byte) (c Cell, err error) {
	c.Tally = new(metric.Tally)
	if err := c.Tally.Unpack(tally, true); err != nil {
		return c, err
	}
	c.Flows, c.Hours, c.Words = metric.FlowTally{}, new(metric.HourLatency), new(metric.IntentTally)
	if err := c.Flows.MergePacked(flows, true); err != nil {
		return c, err
	}
	if err := c.Hours.MergePacked(hours); err != nil {
		return c, err
	}
	if c.Users, err = c.Users.AppendPacked(users, at); err != nil {
		return c, err
	}
	return c, c.Words.MergePacked(intents, true, true)
}

// cameBackText tells whether the same person came back within some days, and wrote: a page that was opened is no return.
const cameBackText = `coalesce((
		select p.next_at <= c.last_at + @days * interval '1 day'
		from conversation_persons p
		where p.sender_id = c.sender_id and p.conversation_id = c.id), false)`

// returnedText tells whether the person of a resolved conversation came back within the days for which a resolution
// must last.
var cameBackAlways = strings.ReplaceAll(cameBackText, "@days", strconv.Itoa(metric.DurableDays))

var returnedText = `c.outcome in ('resolved_confirmed', 'resolved_assumed')
	and ` + cameBackAlways

// personText makes a person's number, firstEverText says when the person's first conversation ever with the assistant began.
const (
	personText    = `case when c.user_id <> '' then hashtextextended(c.user_id, c.assistant_id) else c.sender_id end`
	firstEverText = `coalesce((select p.first_at from conversation_persons p where p.sender_id = c.sender_id and p.conversation_id = c.id), c.started_at)`
)

// countedColumns are those that are counted, judged by the criteria; users says whether people are counted.
func (w *where) countedColumns(criteria []SuccessCriteria, users bool) string {
	person := "0::bigint, 0::bigint"
	if users {
		person = personText + ", floor(extract(epoch from " + firstEverText + "))::bigint"
	}
	return person + `, c.sender_id, c.id, c.started_at, c.assistant_id, c.environment_id, c.channel_id, c.version_id, c.outcome, c.csat,
	c.escalated_at is not null, c.escalation_reason, ` + returnedText + `, c.response_ms, case when not ` + w.judged("now", criteria) + ` then 0 when ` + w.success("now", criteria) + ` then 1 else 2 end`
}

// counting reads conversations to count them.
type counting struct {
	cellOf func(time.Time) time.Time // the start of the stretch in which a conversation is counted
	zone   *time.Location
	flows  bool
	hours  bool // response times by hour of the day
	words  bool // intents and commands, response times by flow and part
	users  bool
}

func (n *counting) conversations(rows pgx.Rows, each func(cell time.Time, d Dimensions, k ConversationKey, c *metric.Counted)) error {
	var (
		k       ConversationKey
		id      [16]byte
		at      time.Time
		d       Dimensions
		c       metric.Counted
		outcome string
		rating  string
		verdict int32
	)
	_, err := pgx.ForEachRow(rows, []any{&c.Visit.Person, &c.Visit.First, &k.Sender, &id, &at, &d.Assistant, &d.Environment, &d.Channel, &d.Version, &outcome, &rating, &c.Escalated, &c.Reason, &c.Returned, &c.Responses, &verdict}, func() error {
		k.ID, c.Outcome, c.Rating = id, conversation.Outcome(outcome), conversation.Rating(rating)
		c.Hour, c.Verdict, c.Visit.Wrote = at.In(n.zone).Hour(), metric.Verdict(verdict), c.Outcome != conversation.NotEngaged
		each(n.cellOf(at), d, k, &c)
		return nil
	})
	return err
}

// runColumns are those of flow runs in the order in which visits are read.
const runColumns = `r.sender_id, r.conversation_id, r.flow_id, r.started_at, r.ended_at, r.status, r.starts, r.interrupted, r.resumed, r.last_step, r.escalated`

// readVisits reads runs, those of one conversation one after the other and in their order, and calls each for
// every flow of a conversation.
func readVisits(rows pgx.Rows, each func(k ConversationKey, v *metric.FlowVisit)) error {
	var (
		k, last    ConversationKey
		id         [16]byte
		r          conversation.Run
		start, end *time.Time
		status     string
		starts     int32
		broken     int32
		resumed    int32
		open       []*metric.FlowVisit
	)
	flush := func() {
		for _, v := range open {
			each(last, v)
		}
		open = open[:0]
	}
	_, err := pgx.ForEachRow(rows, []any{&k.Sender, &id, &r.FlowID, &start, &end, &status, &starts, &broken, &resumed, &r.LastStep, &r.Escalated}, func() error {
		k.ID = id
		if k != last {
			flush()
			last = k
		}
		if !conversation.UserFlow(r.FlowID) {
			return nil
		}
		r.StartedAt, r.EndedAt = 0, 0
		if start != nil {
			r.StartedAt = start.UnixMicro()
		}
		if end != nil {
			r.EndedAt = end.UnixMicro()
		}
		r.Status, r.Starts, r.Interrupted, r.Resumed = conversation.RunStatus(status), int(starts), int(broken), int(resumed)
		i := slices.IndexFunc(open, func(v *metric.FlowVisit) bool { return v.Flow == r.FlowID })
		if i < 0 {
			i, open = len(open), append(open, &metric.FlowVisit{Flow: r.FlowID})
		}
		open[i].Run(&r)
		return nil
	})
	flush()
	return err
}

// stepColumns are those of steps in the order in which readSteps reads them.
const stepColumns = `s.sender_id, s.conversation_id, s.flow_id, s.step_id`

// readSteps reads steps, those of one conversation one after the other and in their order, and calls each for
// every flow of a conversation.
func readSteps(rows pgx.Rows, each func(k ConversationKey, flow string, steps []string)) error {
	var k, last ConversationKey
	var id [16]byte
	var flow, step string
	open := map[string][]string{}
	flush := func() {
		for flow, steps := range open {
			each(last, flow, steps)
		}
		clear(open)
	}
	_, err := pgx.ForEachRow(rows, []any{&k.Sender, &id, &flow, &step}, func() error {
		if k.ID = id; k != last {
			flush()
			last = k
		}
		if conversation.UserFlow(flow) {
			open[flow] = append(open[flow], step)
		}
		return nil
	})
	flush()
	return err
}

// hoursText are the conversations of stretches of assistants. Each stretch is looked up by itself (offset 0), as nobody can know beforehand how short
// they are, and once for all assistants of which it is asked.
const hoursText = `
from (select distinct at, until from unnest(@ats::timestamptz[], @untils::timestamptz[]) as u (at, until)) as h
cross join lateral (select * from conversations x where x.started_at >= h.at and x.started_at < h.until offset 0) as c
join unnest(@ats::timestamptz[], @assistants::integer[]) as k (at, assistant) on k.at = h.at and k.assistant = c.assistant_id`

const countHourRunsSQL = `
select ` + runColumns + hoursText + `
join flow_runs r on r.sender_id = c.sender_id and r.conversation_id = c.id
order by r.sender_id, r.conversation_id, r.n`

const countHourStepsSQL = `
select ` + stepColumns + hoursText + `
join flow_steps s on s.sender_id = c.sender_id and s.conversation_id = c.id
where s.step_id <> '' and s.flow_id = any(c.flows)
order by s.sender_id, s.conversation_id, s.seq`

const hourTurnsText = hoursText + `
join %s on t.sender_id = c.sender_id and t.conversation_id = c.id
where true`

// countHours counts the conversations of the hours as if all had ended; length 0 means days of the zone.
func countHours(ctx context.Context, tx DB, hours []AssistantHour, length time.Duration, cellOf func(time.Time) time.Time, zone *time.Location) ([]Cell, error) {
	ats, assistants := columns(hours)
	untils := make([]time.Time, len(ats))
	for i, at := range ats {
		if untils[i] = at.Add(length); length == 0 {
			untils[i] = metric.AddDays(at, 1, zone)
		}
	}
	criteria, err := CriteriaInForce(ctx, tx)
	if err != nil {
		return nil, fmt.Errorf("success criteria: %w", err)
	}
	args := pgx.StrictNamedArgs{"ats": ats, "untils": untils, "assistants": assistants}
	w := &where{args: maps.Clone(args)}
	columns := "select " + w.countedColumns(criteria, true)
	return count(ctx, tx, statements{columns + hoursText, countHourRunsSQL, countHourStepsSQL, intentColumns + fmt.Sprintf(hourTurnsText, "turns t") + intentCondition, commandColumns + fmt.Sprintf(hourTurnsText, "commands t")}, [2]pgx.StrictNamedArgs{w.args, args}, &counting{cellOf, zone, true, true, true, true})
}

// count counts the conversations that the first statement yields, their flow runs and steps by the others.
func count(ctx context.Context, db DB, of statements, args [2]pgx.StrictNamedArgs, n *counting) ([]Cell, error) {
	found := newCells()
	at := map[ConversationKey]int{}
	rows, _ := db.Query(ctx, of[0], args[0])
	if err := n.conversations(rows, func(cell time.Time, d Dimensions, k ConversationKey, c *metric.Counted) {
		to := found.at(cell, d)
		to.Tally.Add(c)
		if n.users {
			to.Users = append(to.Users, c.Visit)
		}
		if n.hours {
			if to.byHour == nil {
				to.byHour = new([24][]float64)
			}
			to.byHour[c.Hour] = append(to.byHour[c.Hour], c.Responses...)
		}
		if n.flows || n.words {
			at[k] = found.index[cellKey{cell.UnixMicro(), d}]
		}
	}); err != nil {
		return nil, fmt.Errorf("count conversations: %w", err)
	}
	for i := range found.all {
		found.all[i].settle()
	}
	if n.words {
		if err := countWords(ctx, db, of, args[1], func(k ConversationKey) *metric.IntentTally {
			if i, ok := at[k]; ok {
				return found.all[i].Words
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	if !n.flows {
		return found.all, nil
	}
	rows, _ = db.Query(ctx, of[1], args[1])
	if err := readVisits(rows, func(k ConversationKey, v *metric.FlowVisit) {
		if i, ok := at[k]; ok {
			found.all[i].Flows.Add(v)
		}
	}); err != nil {
		return nil, fmt.Errorf("count flow runs: %w", err)
	}
	rows, _ = db.Query(ctx, of[2], args[1])
	if err := readSteps(rows, func(k ConversationKey, flow string, steps []string) {
		if i, ok := at[k]; ok {
			found.all[i].Flows.Visit(flow, steps)
		}
	}); err != nil {
		return nil, fmt.Errorf("count steps: %w", err)
	}
	return found.all, nil
}
