package figures

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
	"turnwise/queries"
)

// Cell is the tally of the conversations that began in a span of time and have the same dimensions.
type Cell struct {
	At time.Time // the span's start
	Dimensions
	Tally *metric.Tally
}

// Answer is what was counted for a question.
type Answer struct {
	Cells   []Cell // by time and dimensions
	Flows   metric.FlowTally
	Trend   map[time.Time]metric.FlowTally // by time: the flow of the question alone
	Intents metric.IntentTally
	Markers metric.MarkerTally
	Hours   [7]metric.HourLatency // by weekday, from Monday on
	Users   []metric.VisitsAt     // by time, several of one time
	Took    time.Duration
	Facts   bool // counted from the conversations themselves, as the filter asks for what rollups do not know
}

// Question asks for figures.
type Question struct {
	Filter  metric.Filter
	Fine    bool   // by slots, for charts by the hour; else by days
	Flows   bool   // count flows
	Steps   bool   // and their steps and times
	Flow    string // and this one over time; "" for none
	Times   bool   // response times too
	Hours   bool   // and by weekday and hour
	Parts   bool   // and by flow and part
	Intents bool   // count intents and commands
	Users   bool   // count people
	Markers bool   // count where markers were found
	Ended   bool   // count open conversations by how they would have ended: enough for who asks only how many there are
	Facts   bool   // leave the rollups alone
	// conversations to be looked at where rollups are behind, beyond which ErrTooMany or ErrBehind is returned; 0: no
	// bound
	Most int
	Now  time.Time
	Grid Grid
}

// Why a question with a bound has no quick answer: so many of its conversations are to be counted, or so much is
// marked.
var (
	ErrTooMany = errors.New("too many conversations to be counted")
	ErrBehind  = errors.New("the rollups are far behind")
)

// Count answers a question, from the rollups where they are up to date and from the conversations where
// they are not: what is committed is counted, at any time.
func Count(ctx context.Context, pool *pgxpool.Pool, q Question) (f Answer, err error) {
	begun := time.Now()
	err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{
		IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly,
	}, func(tx pgx.Tx) error {
		known, err := queries.LookUp(ctx, tx, q.Filter, q.Now, q.Grid.Zone)
		if err == nil && known.Criteria == nil {
			known.Criteria, err = queries.CriteriaInForce(ctx, tx)
		}
		if err != nil {
			return err
		}
		current, err := q.Grid.current(ctx, tx)
		if err != nil {
			return err
		}
		f = Answer{
			Flows: metric.FlowTally{}, Trend: map[time.Time]metric.FlowTally{}, Markers: metric.MarkerTally{},
		}
		r := &reading{Question: q, tx: tx, known: known, found: map[cellKey]int{}, sum: &f}
		r.from, r.until = q.Filter.Range.Bounds(q.Now, q.Grid.Zone)
		if f.Facts = q.Facts || !current || !q.Filter.FromRollups(); f.Facts {
			err = r.facts(ctx)
		} else {
			err = r.rollups(ctx)
		}
		if err == nil && !q.Ended {
			err = r.open(ctx)
		}
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
	known       queries.FilterIDs
	found       map[cellKey]int // places in sum.Cells
	sum         *Answer
	from, until time.Time
}

func (r *reading) cellOf(t time.Time) time.Time {
	if r.Fine {
		return r.Grid.SlotOf(t)
	}
	return r.Grid.DayOf(t)
}

func (r *reading) where() *queries.Where {
	return queries.FilterConversations(r.Filter, r.known, r.Now, r.Grid.Zone)
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

// tallyAt returns the tally of a cell of the answer.
func (r *reading) tallyAt(at time.Time, d Dimensions) *metric.Tally {
	k := cellKey{at.UnixMicro(), d}
	i, ok := r.found[k]
	if !ok {
		i = len(r.sum.Cells)
		r.found[k] = i
		r.sum.Cells = append(r.sum.Cells, Cell{At: at, Dimensions: d, Tally: new(metric.Tally)})
	}
	return r.sum.Cells[i].Tally
}

// counting counts what a from clause yields, by the cells of the answer.
func (r *reading) counting(from string, asked []bool) *counting {
	return &counting{db: r.tx, from: from, cellOf: r.cellOf, zone: r.Grid.Zone, asked: asked}
}

// counted counts what a from clause yields and adds it to the answer.
func (r *reading) counted(ctx context.Context, w *queries.Where, from string) error {
	found, err := r.counting(from, r.askedFor()).count(ctx, w, r.known.Criteria)
	if err != nil {
		return err
	}
	for i := range found.all {
		c := &found.all[i]
		for _, p := range c.parts {
			if p != nil {
				p.answer(r, c.at, c)
			}
		}
	}
	return nil
}

// open counts the conversations that have not ended as what they are: all the rest counts by how they would
// have ended.
func (r *reading) open(ctx context.Context) error {
	w := r.where()
	w.And("c.closes_at > @closing", "closing", r.Now)
	from := "conversations c\nwhere " + w.String()
	if err := r.bound(ctx, w, from); err != nil {
		return err
	}
	open := map[queries.ConversationKey]time.Time{} // the starts of their cells
	args := maps.Clone(w.Args)
	n := r.counting(from, make([]bool, len(families)))
	if err := n.conversations(ctx, w, r.known.Criteria, func(at time.Time, d Dimensions, k queries.ConversationKey, c *metric.ConversationFacts) {
		r.tallyAt(at, d).Reopen(*c)
		open[k] = at
	}); err != nil {
		return fmt.Errorf("open conversations: %w", err)
	}
	if len(open) == 0 {
		return nil
	}
	if r.Markers {
		if err := r.reopenMarkers(ctx, from, args, open); err != nil {
			return err
		}
	}
	if !r.Flows {
		return nil
	}
	return r.reopenFlows(ctx, from, args, open)
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

func (p pieces) args(w *queries.Where) {
	froms, untils, assistants := make([]time.Time, len(p)), make([]time.Time, len(p)), make([]int32, len(p))
	for i, x := range p {
		froms[i], untils[i], assistants[i] = x.from, x.until, x.assistant
	}
	w.Args["froms"], w.Args["untils"], w.Args["of"] = froms, untils, assistants
}

const unnestPieces = `unnest(@froms::timestamptz[], @untils::timestamptz[], @of::integer[]) as k (from_at, until_at, assistant)`

const marksInSQL = `
select distinct m.hour as at, m.assistant_id
from dirty_hours m
where m.hour > @from::timestamptz - interval '1 hour' and m.hour < @until
	and not exists (select from final_figures f where f.assistant_id = m.assistant_id and m.hour < f.before)`

const anyFrozenSQL = `select exists (select from final_figures where before > @from)`

const staleInSQL = `
select at, assistant_id
from dirty_days
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
	marked, stale := map[hourKey]bool{}, map[hourKey]bool{}
	for _, m := range marks {
		marked[hourKey{m.At.UnixMicro(), m.Assistant}] = true
		raw.add(latest(m.At, first), earliest(m.At.Add(time.Hour), last), m.Assistant)
		for at := m.At; at.Before(m.At.Add(time.Hour)); at = at.Add(r.Grid.Slot) {
			stale[hourKey{r.Grid.DayOf(at).UnixMicro(), m.Assistant}] = true
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
	return r.pieces(ctx, slots, raw, marked)
}

// pieces counts what is rolled up by the hour, and what is counted from conversations.
func (r *reading) pieces(ctx context.Context, slots, raw pieces, marked map[hourKey]bool) error {
	if len(slots) > 0 {
		w := queries.FilterDimensions(r.Filter, r.known)
		slots.args(w)
		w.And("(k.assistant = 0 or c.assistant_id = k.assistant)", "", nil)
		from := unnestPieces +
			"\ncross join lateral (select * from rollup_hours x where x.at >= k.from_at and x.at < k.until_at " +
			"offset 0) as c\nwhere " + w.String()
		if err := r.cells(ctx, w, from, r.askedFor(), func(at time.Time, assistant int32) bool {
			return marked[hourKey{at.Truncate(time.Hour).UnixMicro(), assistant}]
		}); err != nil {
			return err
		}
	}
	if len(raw) > 0 {
		w := r.where()
		raw.args(w)
		w.And("(k.assistant = 0 or c.assistant_id = k.assistant)", "", nil)
		from := unnestPieces +
			"\ncross join lateral (select * from conversations x where x.started_at >= k.from_at and x.started_at " +
			"< k.until_at offset 0) as c\nwhere " + w.String()
		if err := r.bound(ctx, w, from); err != nil {
			return err
		}
		return r.counted(ctx, w, from)
	}
	return nil
}

// bound returns ErrTooMany when a from clause yields more conversations than the question allows.
func (r *reading) bound(ctx context.Context, w *queries.Where, from string) error {
	if r.Most == 0 {
		return nil
	}
	args := maps.Clone(w.Args)
	args["most"] = r.Most
	rows, _ := r.tx.Query(ctx, "select count(*) > @most from (select from "+from+" limit @most + 1) as found", args)
	many, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
	if err == nil && many {
		err = ErrTooMany
	}
	return err
}

// days reads the days in [first, last) and adds to slots those that are stale.
func (r *reading) days(ctx context.Context, first, last time.Time, stale map[hourKey]bool, slots *pieces) error {
	rows, _ := r.tx.Query(ctx, staleInSQL, pgx.StrictNamedArgs{"from": first, "until": last})
	more, err := pgx.CollectRows(rows, pgx.RowToStructByName[AssistantHour])
	if err != nil {
		return fmt.Errorf("stale days: %w", err)
	}
	for _, d := range more {
		stale[hourKey{d.At.UnixMicro(), d.Assistant}] = true
	}
	for d := range stale {
		if at := time.UnixMicro(d.Hour); !at.Before(first) && at.Before(last) {
			slots.add(at, metric.AddDays(at, 1, r.Grid.Zone), d.Assistant)
		}
	}
	w := queries.FilterDimensions(r.Filter, r.known)
	w.And("c.at >= @from", "from", first)
	w.And("c.at < @until", "until", last)
	skip := func(at time.Time, assistant int32) bool { return stale[hourKey{at.UnixMicro(), assistant}] }
	asked := r.askedFor()
	if r.Filter.WholeAssistants() { // what stands beside their tallies was added up
		if err := r.daySums(ctx, w, familyNumbers(asked), skip); err != nil {
			return err
		}
		asked = onlyTallies()
	}
	return r.cells(ctx, w, "rollup_days c\nwhere "+w.String(), asked, skip)
}

// skipping tells which cells of an answer are not to be read from the rollups.
type skipping func(at time.Time, assistant int32) bool

// daySums reads what stands beside the tallies of whole assistants.
func (r *reading) daySums(ctx context.Context, w *queries.Where, numbers []int16, skip skipping) error {
	if len(numbers) == 0 {
		return nil
	}
	args := maps.Clone(w.Args)
	args["families"] = numbers
	var at time.Time
	var d Dimensions
	var number int16
	var packed pgtype.DriverBytes
	rows, _ := r.tx.Query(ctx, daySumsText+w.String(), args)
	_, err := pgx.ForEachRow(rows, []any{&at, &d.Assistant, &number, &packed}, func() error {
		i, ok := familyByNumber(number)
		if !ok || skip(at, d.Assistant) {
			return nil
		}
		return families[i].read(r, at, d, packed)
	})
	if err != nil {
		return fmt.Errorf("read sums of days: %w", err)
	}
	return nil
}

const daySumsText = `
select c.at, c.assistant_id, c.family, c.packed
from rollup_day_sums c
where c.family = any(@families::smallint[]) and `

// cells reads the rolled-up cells that a from clause yields: their tallies, and of the other families what is asked
// for.
func (r *reading) cells(ctx context.Context, w *queries.Where, from string, asked []bool, skip skipping) error {
	others := "''::bytea"
	if len(familyNumbers(asked)) > 0 {
		others = "c.others"
	}
	var at time.Time
	var d Dimensions
	var packed, beside pgtype.DriverBytes
	sql := "select c.at, c.assistant_id, c.environment_id, c.channel_id, c.version_id, c.tally, " + others + "\nfrom " +
		from
	rows, _ := r.tx.Query(ctx, sql, w.Args)
	_, err := pgx.ForEachRow(rows, []any{
		&at, &d.Assistant, &d.Environment, &d.Channel, &d.Version, &packed, &beside,
	}, func() error {
		if skip(at, d.Assistant) {
			return nil
		}
		if err := (tallies{}).read(r, at, d, packed); err != nil {
			return err
		}
		return eachOther(beside, func(i int, packed []byte) error {
			if !asked[i] {
				return nil
			}
			return families[i].read(r, at, d, packed)
		})
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
