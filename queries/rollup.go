package queries

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/metric"
)

// Grid is how the rollups divide time: slots of a length that fits the zone's offsets, and the zone's days.
type Grid struct {
	Zone *time.Location
	Slot time.Duration // an hour, a half or a quarter
}

// NewGrid returns the grid of a zone.
func NewGrid(zone *time.Location) Grid {
	g := Grid{zone, time.Hour}
	for at := time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2040; {
		_, end := at.In(zone).ZoneBounds()
		_, offset := at.In(zone).Zone()
		for g.Slot > 15*time.Minute && time.Duration(offset)*time.Second%g.Slot != 0 {
			g.Slot /= 2
		}
		if end.IsZero() {
			break
		}
		at = end
	}
	return g
}

// SlotOf returns the start of the slot in which t lies.
func (g Grid) SlotOf(t time.Time) time.Time { return t.Truncate(g.Slot) }

// DayOf returns the start of the day in which t lies.
func (g Grid) DayOf(t time.Time) time.Time { return metric.DayOf(t, g.Zone) }

// rollupVersion grows when what is packed changes its meaning.
const rollupVersion = 6

const rollupStateSQL = `select zone, version from rollup_state`

const setRollupStateSQL = `
insert into rollup_state (zone, version)
values (@zone, @version)
on conflict (one) do update
set zone = excluded.zone, version = excluded.version`

const markAllSQL = `
insert into rollup_marks (hour, assistant_id, lane, epoch)
select distinct date_trunc('hour', started_at, 'UTC'), assistant_id, -1, coalesce((select epoch from rollup_state), 0)
from conversations
on conflict (hour, assistant_id, lane, epoch) do update
set changes = rollup_marks.changes + 1`

var clearRollupsSQL = []string{
	`lock table rollup_state, rollup_slots, rollup_days, rollup_day_sums in exclusive mode`, // who stores and who reads goes on
	`delete from rollup_slots s where not exists (select from rollup_frozen f where f.assistant_id = s.assistant_id and s.at < f.before)`,
	`delete from rollup_days d where not exists (select from rollup_frozen f where f.assistant_id = d.assistant_id and d.at < f.before)`,
	`delete from rollup_day_sums d where not exists (select from rollup_frozen f where f.assistant_id = d.assistant_id and d.at < f.before)`,
	`delete from daily_figures d where not exists (select from rollup_frozen f join rollup_state s on true where f.assistant_id = d.assistant_id and d.day < (f.before at time zone s.zone)::date)`,
	`delete from daily_flow_figures d where not exists (select from rollup_frozen f join rollup_state s on true where f.assistant_id = d.assistant_id and d.day < (f.before at time zone s.zone)::date)`,
	`delete from rollup_stale_days`,
}

// state tells whether the rollups are those of the grid.
func (g Grid) current(ctx context.Context, db DB) (bool, error) {
	rows, _ := db.Query(ctx, rollupStateSQL)
	type state struct {
		Zone    string
		Version int
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[state])
	return len(all) == 1 && all[0] == state{g.Zone.String(), rollupVersion}, err
}

// RollupZone returns the zone whose days the rollups have; UTC before there are any.
func RollupZone(ctx context.Context, db DB) (string, error) {
	rows, _ := db.Query(ctx, `select coalesce((select zone from rollup_state), 'UTC')`)
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
}

// PrepareRollups marks everything to be counted again when the zone or the reading of what is packed changed.
func PrepareRollups(ctx context.Context, pool *pgxpool.Pool, g Grid) error {
	if ok, err := g.current(ctx, pool); ok || err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		for _, sql := range clearRollupsSQL {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, setRollupStateSQL, pgx.StrictNamedArgs{"zone": g.Zone.String(), "version": rollupVersion}); err != nil {
			return err
		}
		if err := restFrozen(ctx, tx, g); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, markAllSQL)
		return err
	})
}

const (
	frozenSlotsSQL      = `select distinct s.at, s.assistant_id from rollup_slots s join rollup_frozen f on f.assistant_id = s.assistant_id and s.at < f.before`
	forgetFrozenDaysSQL = `delete from rollup_days`
	forgetFrozenSumsSQL = `delete from rollup_day_sums`
	forgetAllDailySQL   = `delete from daily_figures`
	forgetAllFlowsSQL   = `delete from daily_flow_figures`
)

// restFrozen has the days of frozen slots, which cannot be counted again, added up for the grid's zone.
func restFrozen(ctx context.Context, tx pgx.Tx, g Grid) error {
	rows, _ := tx.Query(ctx, frozenSlotsSQL)
	slots, err := pgx.CollectRows(rows, pgx.RowToStructByName[AssistantHour])
	if err != nil || len(slots) == 0 {
		return err
	}
	for _, sql := range []string{forgetFrozenDaysSQL, forgetFrozenSumsSQL, forgetAllDailySQL, forgetAllFlowsSQL} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	seen := map[HourKey]bool{}
	var days []AssistantHour
	for _, s := range slots {
		day := AssistantHour{g.DayOf(s.At), s.Assistant}
		if k := (HourKey{day.At.UnixMicro(), day.Assistant}); !seen[k] {
			seen[k] = true
			days = append(days, day)
		}
	}
	ats, assistants := columns(days)
	_, err = tx.Exec(ctx, staleDaysSQL, pgx.StrictNamedArgs{"ats": ats, "assistants": assistants, "now": time.Unix(0, 0)})
	return err
}

// RebuildRollups counts everything again.
func RebuildRollups(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, markAllSQL)
	return err
}

// countingSQL lets one process count at a time, and keeps criteria from coming into force meanwhile.
const countingSQL = `select zone from rollup_state for no key update`

const deleteSlotsSQL = `
delete from rollup_slots s
using unnest(@hours::timestamptz[], @assistants::integer[]) as k (hour, assistant)
where s.at >= k.hour and s.at < k.hour + interval '1 hour' and s.assistant_id = k.assistant`

const insertSlotsSQL = `
insert into rollup_slots (at, assistant_id, environment_id, channel_id, version_id, conversations, tally, flows, hours, intents, users)
select *
from unnest(@ats::timestamptz[], @assistants::integer[], @environments::integer[], @channels::integer[], @versions::bigint[], @conversations::bigint[], @tallies::bytea[], @flows::bytea[], @by_hour::bytea[], @intents::bytea[], @users::bytea[])`

const staleDaysSQL = `
insert into rollup_stale_days (at, assistant_id, marked_at)
select *, @now::timestamptz
from unnest(@ats::timestamptz[], @assistants::integer[])
on conflict (at, assistant_id) do update
set marked_at = excluded.marked_at`

// AssistantHour is an hour, or a day, of an assistant.
type AssistantHour struct {
	At        time.Time
	Assistant int32 `db:"assistant_id"`
}

func columns(all []AssistantHour) (ats []time.Time, assistants []int32) {
	for _, h := range all {
		ats, assistants = append(ats, h.At), append(assistants, h.Assistant)
	}
	return ats, assistants
}

// NextEpoch lets the marked hours in [from, until) be counted: RollUpHours takes those that were marked before. Who marks one
// afterwards never waits for who counts it.
func NextEpoch(ctx context.Context, pool *pgxpool.Pool, from, until time.Time) error {
	if _, err := pool.Exec(ctx, nextEpochSQL, pgx.StrictNamedArgs{"from": from, "until": until}); err != nil {
		return fmt.Errorf("next epoch: %w", err)
	}
	return nil
}

// RollUpHours counts at most limit hours in [from, until) again that were marked before NextEpoch, and returns how many it
// counted: 0 when there is none that nobody else is at. Its transaction is all or nothing, so it may end anywhere. Whoever stores conversations of
// such an hour meanwhile marks it
// again and does not wait.
func RollUpHours(ctx context.Context, pool *pgxpool.Pool, g Grid, from, until time.Time, limit int, now time.Time) (counted int, err error) {
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, countingSQL); err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, takeMarksSQL, pgx.StrictNamedArgs{"limit": limit, "from": from, "until": until})
		var hours []AssistantHour
		seen := map[HourKey]bool{}
		var h AssistantHour
		if _, err := pgx.ForEachRow(rows, []any{&h.At, &h.Assistant}, func() error {
			if k := (HourKey{h.At.UnixMicro(), h.Assistant}); !seen[k] {
				seen[k] = true
				hours = append(hours, h)
			}
			return nil
		}); err != nil {
			return fmt.Errorf("take marks: %w", err)
		}
		if counted = len(hours); counted == 0 {
			return nil
		}
		if hours, err = withoutFrozen(ctx, tx, hours); err != nil || len(hours) == 0 {
			return err
		}
		cells, err := countHours(ctx, tx, hours, time.Hour, g.SlotOf, g.Zone)
		if err != nil {
			return err
		}
		ats, assistants := columns(hours)
		if _, err := tx.Exec(ctx, deleteSlotsSQL, pgx.StrictNamedArgs{"hours": ats, "assistants": assistants}); err != nil {
			return fmt.Errorf("delete slots: %w", err)
		}
		if err := insertCells(ctx, tx, insertSlotsSQL, cells); err != nil {
			return err
		}
		days := map[HourKey]AssistantHour{}
		for _, h := range hours {
			for at := h.At; at.Before(h.At.Add(time.Hour)); at = at.Add(g.Slot) { // a day may begin within
				day := g.DayOf(at)
				days[HourKey{day.UnixMicro(), h.Assistant}] = AssistantHour{day, h.Assistant}
			}
		}
		var stale []AssistantHour
		for _, d := range days {
			stale = append(stale, d)
		}
		slices.SortFunc(stale, func(a, b AssistantHour) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Assistant, b.Assistant)) })
		ats, assistants = columns(stale)
		_, err = tx.Exec(ctx, staleDaysSQL, pgx.StrictNamedArgs{"ats": ats, "assistants": assistants, "now": now})
		return err
	})
	return counted, err
}

const frozenHoursSQL = `select assistant_id, before from rollup_frozen`

// withoutFrozen leaves out hours whose conversations may have been deleted: what was counted of them stays.
func withoutFrozen(ctx context.Context, tx pgx.Tx, hours []AssistantHour) ([]AssistantHour, error) {
	frozen := map[int32]time.Time{}
	var assistant int32
	var before time.Time
	rows, _ := tx.Query(ctx, frozenHoursSQL)
	if _, err := pgx.ForEachRow(rows, []any{&assistant, &before}, func() error {
		frozen[assistant] = before
		return nil
	}); err != nil {
		return nil, fmt.Errorf("frozen hours: %w", err)
	}
	return slices.DeleteFunc(hours, func(h AssistantHour) bool { return h.At.Before(frozen[h.Assistant]) }), nil
}

// Days rest a while before they are counted, as one that changes all the time is read by its slots anyway.
const takeDaysSQL = `
delete from rollup_stale_days m
using (
	select at, assistant_id
	from rollup_stale_days
	where marked_at < @before
	order by at desc
	limit @limit
	for update skip locked
) as k
where m.at = k.at and m.assistant_id = k.assistant_id
returning m.at, m.assistant_id`

const deleteDaysSQL = `
delete from rollup_days d
using unnest(@hours::timestamptz[], @assistants::integer[]) as k (at, assistant)
where d.at = k.at and d.assistant_id = k.assistant`

const deleteDaySumsSQL = `
delete from rollup_day_sums d
using unnest(@hours::timestamptz[], @assistants::integer[]) as k (at, assistant)
where d.at = k.at and d.assistant_id = k.assistant`

const insertDaySumsSQL = `
insert into rollup_day_sums (at, assistant_id, flows, hours, intents, users)
select *
from unnest(@ats::timestamptz[], @assistants::integer[], @flows::bytea[], @by_hour::bytea[], @intents::bytea[], @users::bytea[])`

const insertDaysSQL = `
insert into rollup_days (at, assistant_id, environment_id, channel_id, version_id, conversations, tally, flows, hours, intents, users)
select *
from unnest(@ats::timestamptz[], @assistants::integer[], @environments::integer[], @channels::integer[], @versions::bigint[], @conversations::bigint[], @tallies::bytea[], @flows::bytea[], @by_hour::bytea[], @intents::bytea[], @users::bytea[])`

// RollUpDays counts at most limit stale days that were marked before, and returns how many.
func RollUpDays(ctx context.Context, pool *pgxpool.Pool, g Grid, limit int, before, now time.Time) (counted int, err error) {
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, countingSQL); err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, takeDaysSQL, pgx.StrictNamedArgs{"limit": limit, "before": before})
		days, err := pgx.CollectRows(rows, pgx.RowToStructByName[AssistantHour])
		if err != nil {
			return fmt.Errorf("take days: %w", err)
		}
		if counted = len(days); counted == 0 {
			return nil
		}
		cells, err := mergeDays(ctx, tx, g, days)
		if err != nil {
			return err
		}
		ats, assistants := columns(days)
		if _, err := tx.Exec(ctx, deleteDaysSQL, pgx.StrictNamedArgs{"hours": ats, "assistants": assistants}); err != nil {
			return fmt.Errorf("delete days: %w", err)
		}
		if _, err := tx.Exec(ctx, deleteDaySumsSQL, pgx.StrictNamedArgs{"hours": ats, "assistants": assistants}); err != nil {
			return fmt.Errorf("delete sums of days: %w", err)
		}
		if err := insertCells(ctx, tx, insertDaysSQL, cells); err != nil {
			return err
		}
		if err := insertDaySums(ctx, tx, cells); err != nil {
			return err
		}
		return storeDaily(ctx, tx, g, days, cells, true, now)
	})
	return counted, err
}

const slotsOfDaysSQL = `
select s.at, s.assistant_id, s.environment_id, s.channel_id, s.version_id, s.tally, s.flows, s.hours, s.intents, s.users
from (select distinct at, until from unnest(@ats::timestamptz[], @untils::timestamptz[]) as u (at, until)) as d
cross join lateral (select * from rollup_slots x where x.at >= d.at and x.at < d.until offset 0) as s
join unnest(@ats::timestamptz[], @assistants::integer[]) as k (at, assistant) on k.at = d.at and k.assistant = s.assistant_id`

const responsesOfDaysSQL = `
select c.started_at, c.assistant_id, c.environment_id, c.channel_id, c.version_id, c.response_ms` + hoursText + `
where c.response_ms <> '{}'`

// mergeDays adds up the slots of days. The percentiles of a day's response times are those of the values themselves,
// which a sum of slots has lost. Slots that are not up to date are marked, and so will the day be once they are counted.
func mergeDays(ctx context.Context, tx pgx.Tx, g Grid, days []AssistantHour) ([]Cell, error) {
	args := daysArgs(days, g)
	found := newCells()
	var at time.Time
	var d Dimensions
	var tally, flows, hours, intents, users pgtype.DriverBytes
	rows, _ := tx.Query(ctx, slotsOfDaysSQL, args)
	if _, err := pgx.ForEachRow(rows, []any{&at, &d.Assistant, &d.Environment, &d.Channel, &d.Version, &tally, &flows, &hours, &intents, &users}, func() error {
		c, err := unpackCell(at, tally, flows, hours, intents, users)
		if err == nil {
			c.At, c.Dimensions = g.DayOf(at), d
			found.merge(&c)
		}
		return err
	}); err != nil {
		return nil, fmt.Errorf("read slots: %w", err)
	}
	values := map[int][]float64{}
	var responses []float64
	rows, _ = tx.Query(ctx, responsesOfDaysSQL, args)
	if _, err := pgx.ForEachRow(rows, []any{&at, &d.Assistant, &d.Environment, &d.Channel, &d.Version, &responses}, func() error {
		if i, ok := found.index[cellKey{g.DayOf(at).UnixMicro(), d}]; ok {
			values[i] = append(values[i], responses...)
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read response times: %w", err)
	}
	for i, all := range values {
		if cell := &found.all[i]; int64(len(all)) == cell.Tally.Response.N { // else some were deleted since
			cell.Tally.Response = metric.NewLatency(all)
		}
	}
	return found.all, nil
}

// insertCells writes counted cells.
func insertCells(ctx context.Context, tx pgx.Tx, sql string, cells []Cell) error {
	n := len(cells)
	ats, conversations := make([]time.Time, n), make([]int64, n)
	assistants, environments, channels, versions := make([]int32, n), make([]int32, n), make([]int32, n), make([]int64, n)
	tallies, flows, hours, intents, users := make([][]byte, n), make([][]byte, n), make([][]byte, n), make([][]byte, n), make([][]byte, n)
	for i, c := range cells {
		ats[i], conversations[i] = c.At, c.Tally.Count(metric.All)
		assistants[i], environments[i], channels[i], versions[i] = c.Assistant, c.Environment, c.Channel, c.Version
		tallies[i], flows[i], hours[i], intents[i], users[i] = c.Tally.Pack(), c.Flows.Pack(), c.Hours.Pack(), c.Words.Pack(), c.Users.Pack(c.At)
	}
	if _, err := tx.Exec(ctx, sql, pgx.StrictNamedArgs{
		"ats": ats, "assistants": assistants, "environments": environments, "channels": channels, "versions": versions,
		"conversations": conversations, "tallies": tallies, "flows": flows, "by_hour": hours, "intents": intents, "users": users,
	}); err != nil {
		return fmt.Errorf("insert rollups: %w", err)
	}
	return nil
}

// insertDaySums adds up what stands beside the tallies by day and assistant.
func insertDaySums(ctx context.Context, tx pgx.Tx, cells []Cell) error {
	sums := newCells()
	for i := range cells {
		c := &cells[i]
		sum := sums.at(c.At, Dimensions{Assistant: c.Assistant})
		if sum.Hours == nil {
			sum.Hours = new(metric.HourLatency)
		}
		sum.Flows.Merge(c.Flows)
		sum.Hours.Merge(c.Hours)
		sum.Words.Merge(c.Words)
		sum.Users = append(sum.Users, c.Users...)
	}
	n := len(sums.all)
	ats, assistants, flows, hours, intents, users := make([]time.Time, n), make([]int32, n), make([][]byte, n), make([][]byte, n), make([][]byte, n), make([][]byte, n)
	for i, c := range sums.all {
		ats[i], assistants[i], flows[i], hours[i], intents[i], users[i] = c.At, c.Assistant, c.Flows.Pack(), c.Hours.Pack(), c.Words.Pack(), c.Users.Pack(c.At)
	}
	if _, err := tx.Exec(ctx, insertDaySumsSQL, pgx.StrictNamedArgs{"ats": ats, "assistants": assistants, "flows": flows, "by_hour": hours, "intents": intents, "users": users}); err != nil {
		return fmt.Errorf("insert sums of days: %w", err)
	}
	return nil
}

const rollupBacklogSQL = `select (select count(*) from (select distinct hour, assistant_id from rollup_marks) as k) as hours, (select count(*) from rollup_stale_days) as days`

// RollupBacklog is what is still to be counted.
type RollupBacklog struct{ Hours, Days int64 }

// Backlog returns what is still to be counted.
func Backlog(ctx context.Context, db DB) (RollupBacklog, error) {
	rows, _ := db.Query(ctx, rollupBacklogSQL)
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[RollupBacklog])
}
