package queries

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/metric"
)

// Figures are what was counted for a question.
type Figures struct {
	Cells []Cell // by time and dimensions: their tallies
	Flows metric.FlowTally
	Trend map[time.Time]metric.FlowTally // by time: the flow of the question alone
	Words metric.IntentTally
	Hours [7]metric.HourLatency // by weekday, from Monday on
	Users []metric.VisitsAt     // by time, several of one time
	Took  time.Duration
	Facts bool // counted from the conversations themselves, as the filter asks for what rollups do not know
}

// Question asks for figures.
type Question struct {
	Filter metric.Filter
	Fine   bool   // by slots, for charts by the hour; else by days
	Flows  bool   // count flows
	Steps  bool   // and their steps and times
	Flow   string // and this one over time; "" for none
	Times  bool   // response times too
	Hours  bool   // and by weekday and hour
	Parts  bool   // and by flow and part
	Words  bool   // count intents and commands
	Users  bool   // count people
	Ended  bool   // count open conversations by how they would have ended: enough for who asks only how many there are
	Facts  bool   // leave the rollups alone
	Most   int    // conversations to be looked at where rollups are behind, beyond which ErrTooMany or ErrBehind is returned; 0: no bound
	Now    time.Time
	Grid   Grid
}

// Why a question with a bound has no quick answer: so many of its conversations are to be counted, or so much is marked.
var (
	ErrTooMany = errors.New("too many conversations to be counted")
	ErrBehind  = errors.New("the rollups are far behind")
)

// CountFigures answers a question, from the rollups where they are up to date and from the conversations where
// they are not: what is committed is counted, at any time.
func CountFigures(ctx context.Context, pool *pgxpool.Pool, q Question) (f Figures, err error) {
	begun := time.Now()
	err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		known, err := lookUp(ctx, tx, q.Filter, q.Now, q.Grid.Zone)
		if err == nil && known.inForce == nil {
			known.inForce, err = CriteriaInForce(ctx, tx)
		}
		if err != nil {
			return err
		}
		current, err := q.Grid.current(ctx, tx)
		if err != nil {
			return err
		}
		f = Figures{Flows: metric.FlowTally{}, Trend: map[time.Time]metric.FlowTally{}}
		r := &reading{Question: q, tx: tx, known: known, found: newCells(), sum: &f}
		r.from, r.until = q.Filter.Range.Bounds(q.Now, q.Grid.Zone)
		if f.Facts = q.Facts || !current || !q.Filter.Plain(); f.Facts {
			err = r.facts(ctx)
		} else {
			err = r.rollups(ctx)
		}
		if err == nil && !q.Ended {
			err = r.open(ctx)
		}
		f.Cells = r.found.all
		return err
	})
	slices.SortFunc(f.Cells, func(a, b Cell) int { return a.At.Compare(b.At) })
	f.Took = time.Since(begun)
	return f, err
}

// reading answers one question in one snapshot.
type reading struct {
	Question
	tx          pgx.Tx
	known       filterIDs
	found       *cells
	sum         *Figures
	from, until time.Time
}

func (r *reading) cellOf(t time.Time) time.Time {
	if r.Fine {
		return r.Grid.SlotOf(t)
	}
	return r.Grid.DayOf(t)
}

func (r *reading) where() *where {
	return filterConversations(r.Filter, r.known, r.Now, r.Grid.Zone)
}

// facts counts all conversations of the filter.
func (r *reading) facts(ctx context.Context) error {
	w := r.where()
	from := "conversations c\nwhere " + w.String()
	if err := r.bound(ctx, w, from); err != nil {
		return err
	}
	return r.counted(ctx, w, from)
}

// add adds a cell to the answer.
func (r *reading) add(c *Cell) {
	if c.Flows != nil {
		r.sum.Flows.Merge(c.Flows)
		r.trace(c.At, c.Flows)
	}
	if c.Words != nil {
		r.sum.Words.Merge(c.Words)
	}
	if c.Hours != nil {
		r.hoursOf(c.At).Merge(c.Hours)
	}
	if r.Users {
		r.sum.Users = append(r.sum.Users, metric.VisitsAt{At: c.At, Visits: c.Users})
	}
	c.Flows, c.Words, c.Hours, c.Users = nil, nil, nil, nil
	r.found.merge(c)
}

// trace adds the question's flow to its trend.
func (r *reading) trace(at time.Time, flows metric.FlowTally) {
	if c := flows[r.Flow]; c != nil {
		r.trendAt(at).Merge(metric.FlowTally{r.Flow: c})
	}
}

func (r *reading) trendAt(at time.Time) metric.FlowTally {
	at = at.UTC() // so that equal instants are equal keys
	if r.sum.Trend[at] == nil {
		r.sum.Trend[at] = metric.FlowTally{}
	}
	return r.sum.Trend[at]
}

// hoursOf returns the sum of the weekday on which a cell begins.
func (r *reading) hoursOf(at time.Time) *metric.HourLatency {
	return &r.sum.Hours[(int(at.In(r.Grid.Zone).Weekday())+6)%7]
}

// counted counts what a from clause yields and adds it to the cells.
func (r *reading) counted(ctx context.Context, w *where, from string) error {
	n := &counting{r.cellOf, r.Grid.Zone, r.Flows, r.Hours, r.Words || r.Parts, r.Users}
	others := maps.Clone(w.args)
	columns := w.countedColumns(r.known.inForce, r.Users)
	all, err := count(ctx, r.tx, statements{"select " + columns + "\nfrom " + from, selectRuns(from), selectSteps(from), selectTurns(intentColumns, "turns t", from) + intentCondition, selectTurns(commandColumns, "commands t", from)}, [2]pgx.StrictNamedArgs{w.args, others}, n)
	for i := range all {
		all[i].Tally.Settle()
		r.add(&all[i])
	}
	return err
}

// open counts the conversations that have not ended as what they are: all the rest counts by how they would
// have ended.
func (r *reading) open(ctx context.Context) error {
	w := r.where()
	w.and("c.closes_at > @closing", "closing", r.Now)
	from := "conversations c\nwhere " + w.String()
	if err := r.bound(ctx, w, from); err != nil {
		return err
	}
	open := map[ConversationKey]time.Time{} // the cells in which they are counted
	n := &counting{r.cellOf, r.Grid.Zone, false, false, false, false}
	others := maps.Clone(w.args)
	rows, _ := r.tx.Query(ctx, "select "+w.countedColumns(r.known.inForce, false)+"\nfrom "+from, w.args)
	if err := n.conversations(rows, func(cell time.Time, d Dimensions, k ConversationKey, c *metric.Counted) {
		to := r.found.at(cell, d)
		to.Tally.Reopen(*c)
		open[k] = cell
	}); err != nil {
		return fmt.Errorf("open conversations: %w", err)
	}
	if !r.Flows || len(open) == 0 {
		return nil
	}
	rows, _ = r.tx.Query(ctx, selectRuns(from), others)
	return readVisits(rows, func(k ConversationKey, v *metric.FlowVisit) {
		if cell, ok := open[k]; ok {
			r.sum.Flows.Reopen(*v)
			if v.Flow == r.Flow {
				r.trendAt(cell).Reopen(*v)
			}
		}
	})
}

func selectRuns(from string) string {
	return "select " + runColumns + "\nfrom (select c.sender_id, c.id from " + from + ") as c\njoin flow_runs r on r.sender_id = c.sender_id and r.conversation_id = c.id\norder by r.sender_id, r.conversation_id, r.n"
}

func selectTurns(columns, table, from string) string {
	return columns + "\nfrom (select c.sender_id, c.id from " + from + ") as c\njoin " + table + " on t.sender_id = c.sender_id and t.conversation_id = c.id\nwhere true"
}

func selectSteps(from string) string {
	return "select " + stepColumns + "\nfrom (select c.sender_id, c.id, c.flows from " + from + ") as c\njoin flow_steps s on s.sender_id = c.sender_id and s.conversation_id = c.id\nwhere s.step_id <> '' and s.flow_id = any(c.flows)\norder by s.sender_id, s.conversation_id, s.seq"
}

// piece is a stretch of time, of one assistant or of all (0).
type piece struct {
	from, until time.Time
	assistant   int32
}

type pieces []piece

func (p *pieces) add(from, until time.Time, assistant int32) {
	if from.Before(until) {
		*p = append(*p, piece{from, until, assistant})
	}
}

func (p pieces) args(w *where) {
	froms, untils, assistants := make([]time.Time, len(p)), make([]time.Time, len(p)), make([]int32, len(p))
	for i, x := range p {
		froms[i], untils[i], assistants[i] = x.from, x.until, x.assistant
	}
	w.args["froms"], w.args["untils"], w.args["of"] = froms, untils, assistants
}

const unnestPieces = `unnest(@froms::timestamptz[], @untils::timestamptz[], @of::integer[]) as k (from_at, until_at, assistant)`

const marksInSQL = `
select distinct m.hour as at, m.assistant_id
from rollup_marks m
where m.hour > @from::timestamptz - interval '1 hour' and m.hour < @until
	and not exists (select from rollup_frozen f where f.assistant_id = m.assistant_id and m.hour < f.before)`

const anyFrozenSQL = `select exists (select from rollup_frozen where before > @from)`

const staleInSQL = `
select at, assistant_id
from rollup_stale_days
where at >= @from and at < @until`

// manyPieces is how many stretches are looked up one by one; more are read in one go.
const manyPieces = 1000

// rollups counts by days that are up to date, by slots where days are stale or half, and by conversations where
// slots are.
func (r *reading) rollups(ctx context.Context) error {
	bounds := pgx.StrictNamedArgs{"from": r.from, "until": r.until}
	rows, _ := r.tx.Query(ctx, marksInSQL, bounds)
	marks, err := pgx.CollectRows(rows, pgx.RowToStructByName[AssistantHour])
	if err != nil {
		return fmt.Errorf("marked hours: %w", err)
	}
	if len(marks) > manyPieces {
		if r.Most > 0 {
			return ErrBehind
		}
		rows, _ := r.tx.Query(ctx, anyFrozenSQL, pgx.StrictNamedArgs{"from": r.from})
		frozen, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
		if err != nil {
			return err
		}
		if !frozen { // else what was deleted is known to the rollups alone
			return r.facts(ctx)
		}
	}
	// The whole slots and the whole days of the range.
	first, last := r.Grid.SlotOf(r.from), r.Grid.SlotOf(r.until)
	if first.Before(r.from) {
		first = first.Add(r.Grid.Slot)
	}
	if last.Before(first) { // all within one slot
		first, last = r.until, r.until
	}
	var raw, slots pieces
	raw.add(r.from, first, 0)
	marked, stale := map[HourKey]bool{}, map[HourKey]bool{}
	for _, m := range marks {
		marked[HourKey{m.At.UnixMicro(), m.Assistant}] = true
		raw.add(latest(m.At, first), earliest(m.At.Add(time.Hour), last), m.Assistant)
		for at := m.At; at.Before(m.At.Add(time.Hour)); at = at.Add(r.Grid.Slot) {
			stale[HourKey{r.Grid.DayOf(at).UnixMicro(), m.Assistant}] = true
		}
	}
	raw.add(last, r.until, 0)
	firstDay, lastDay := r.Grid.DayOf(first), r.Grid.DayOf(last)
	if firstDay.Before(first) {
		firstDay = metric.AddDays(firstDay, 1, r.Grid.Zone)
	}
	if r.Fine || !firstDay.Before(lastDay) {
		slots.add(first, last, 0)
	} else {
		slots.add(first, firstDay, 0)
		if err := r.days(ctx, firstDay, lastDay, stale, &slots); err != nil {
			return err
		}
		slots.add(lastDay, last, 0)
	}
	if len(slots) > 0 {
		w := r.dimensions()
		slots.args(w)
		w.and("(k.assistant = 0 or c.assistant_id = k.assistant)", "", nil)
		from := unnestPieces + "\ncross join lateral (select * from rollup_slots x where x.at >= k.from_at and x.at < k.until_at offset 0) as c\nwhere " + w.String()
		if err := r.packed(ctx, w, from, true, func(at time.Time, assistant int32) bool {
			return marked[HourKey{at.Truncate(time.Hour).UnixMicro(), assistant}]
		}); err != nil {
			return err
		}
	}
	if len(raw) > 0 {
		w := r.where()
		raw.args(w)
		w.and("(k.assistant = 0 or c.assistant_id = k.assistant)", "", nil)
		from := unnestPieces + "\ncross join lateral (select * from conversations x where x.started_at >= k.from_at and x.started_at < k.until_at offset 0) as c\nwhere " + w.String()
		if err := r.bound(ctx, w, from); err != nil {
			return err
		}
		return r.counted(ctx, w, from)
	}
	return nil
}

// bound returns ErrTooMany when a from clause yields more conversations than the question allows.
func (r *reading) bound(ctx context.Context, w *where, from string) error {
	if r.Most == 0 {
		return nil
	}
	args := maps.Clone(w.args)
	args["most"] = r.Most
	rows, _ := r.tx.Query(ctx, "select count(*) > @most from (select from "+from+" limit @most + 1) as found", args)
	many, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
	if err == nil && many {
		err = ErrTooMany
	}
	return err
}

// days reads the days in [first, last) and adds to slots those that are stale.
func (r *reading) days(ctx context.Context, first, last time.Time, stale map[HourKey]bool, slots *pieces) error {
	rows, _ := r.tx.Query(ctx, staleInSQL, pgx.StrictNamedArgs{"from": first, "until": last})
	more, err := pgx.CollectRows(rows, pgx.RowToStructByName[AssistantHour])
	if err != nil {
		return fmt.Errorf("stale days: %w", err)
	}
	for _, d := range more {
		stale[HourKey{d.At.UnixMicro(), d.Assistant}] = true
	}
	for d := range stale {
		if at := time.UnixMicro(d.Hour); !at.Before(first) && at.Before(last) {
			slots.add(at, metric.AddDays(at, 1, r.Grid.Zone), d.Assistant)
		}
	}
	w := r.dimensions()
	w.and("c.at >= @from", "from", first)
	w.and("c.at < @until", "until", last)
	skip := func(at time.Time, assistant int32) bool { return stale[HourKey{at.UnixMicro(), assistant}] }
	if r.Filter.WholeAssistants() {
		if err := r.packed(ctx, w, "rollup_days c\nwhere "+w.String(), false, skip); err != nil {
			return err
		}
		return r.daySums(ctx, w, skip)
	}
	return r.packed(ctx, w, "rollup_days c\nwhere "+w.String(), true, skip)
}

// beside returns the columns beside the tally that the question needs.
func (r *reading) beside() string {
	flows, hours, words, users := "''::bytea", "''::bytea", "''::bytea", "''::bytea"
	if r.Flows {
		flows = "c.flows"
	}
	if r.Hours {
		hours = "c.hours"
	}
	if r.Words || r.Parts {
		words = "c.intents"
	}
	if r.Users {
		users = "c.users"
	}
	return flows + ", " + hours + ", " + words + ", " + users
}

// mergeBeside adds what stands beside the tally of a stretch.
func (r *reading) mergeBeside(stretch time.Time, flows, hours, words, users []byte) error {
	at := r.cellOf(stretch)
	if r.Users {
		visits, err := metric.Visits(nil).AppendPacked(users, stretch)
		if err != nil {
			return err
		}
		r.sum.Users = append(r.sum.Users, metric.VisitsAt{At: at, Visits: visits})
	}
	if r.Flows {
		if err := r.sum.Flows.MergePacked(flows, r.Steps); err != nil {
			return err
		}
		if r.Flow != "" {
			of := metric.FlowTally{}
			if err := of.MergePacked(flows, false); err != nil {
				return err
			}
			r.trace(at, of)
		}
	}
	if r.Hours {
		if err := r.hoursOf(at).MergePacked(hours); err != nil {
			return err
		}
	}
	if r.Words || r.Parts {
		return r.sum.Words.MergePacked(words, r.Words, r.Parts)
	}
	return nil
}

// daySums reads what stands beside the tallies of whole assistants.
func (r *reading) daySums(ctx context.Context, w *where, skip func(at time.Time, assistant int32) bool) error {
	if !r.Flows && !r.Hours && !r.Words && !r.Parts && !r.Users {
		return nil
	}
	rows, _ := r.tx.Query(ctx, "select c.at, c.assistant_id, "+r.beside()+"\nfrom rollup_day_sums c\nwhere "+w.String(), w.args)
	var at time.Time
	var assistant int32
	var flows, hours, words, users pgtype.DriverBytes
	_, err := pgx.ForEachRow(rows, []any{&at, &assistant, &flows, &hours, &words, &users}, func() error {
		if skip(at, assistant) {
			return nil
		}
		return r.mergeBeside(at, flows, hours, words, users)
	})
	if err != nil {
		return fmt.Errorf("read sums of days: %w", err)
	}
	return nil
}

// packed reads rolled-up rows but for those that are to be skipped; beside the tallies only if that is asked for.
func (r *reading) packed(ctx context.Context, w *where, from string, beside bool, skip func(at time.Time, assistant int32) bool) error {
	more := "''::bytea, ''::bytea, ''::bytea, ''::bytea"
	if beside {
		more = r.beside()
	}
	rows, _ := r.tx.Query(ctx, "select c.at, c.assistant_id, c.environment_id, c.channel_id, c.version_id, c.tally, "+more+"\nfrom "+from, w.args)
	var at time.Time
	var d Dimensions
	var tally, packed, byHour, spoken, users pgtype.DriverBytes
	_, err := pgx.ForEachRow(rows, []any{&at, &d.Assistant, &d.Environment, &d.Channel, &d.Version, &tally, &packed, &byHour, &spoken, &users}, func() (err error) {
		if skip(at, d.Assistant) {
			return nil
		}
		c := Cell{At: r.cellOf(at), Dimensions: d, Tally: new(metric.Tally)}
		if err := c.Tally.Unpack(tally, r.Times); err != nil {
			return err
		}
		r.found.merge(&c)
		if !beside {
			return nil
		}
		return r.mergeBeside(at, packed, byHour, spoken, users)
	})
	if err != nil {
		return fmt.Errorf("read rollups: %w", err)
	}
	return nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
