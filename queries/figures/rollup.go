package figures

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"turnwise/queries"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

const deleteHoursSQL = `
delete from rollup_hours s
using unnest(@ats::timestamptz[], @assistants::integer[]) as k (at, assistant)
where s.at >= k.at and s.at < k.at + interval '1 hour' and s.assistant_id = k.assistant`

const staleDaysSQL = `
insert into dirty_days (at, assistant_id, marked_at)
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

// NextGeneration lets the marked hours in [from, until) be counted: RollUpHours takes those that were marked before.
// Who marks one afterwards never waits for who counts it.
func NextGeneration(ctx context.Context, pool *pgxpool.Pool, from, until time.Time) error {
	if _, err := pool.Exec(ctx, nextGenerationSQL, pgx.StrictNamedArgs{"from": from, "until": until}); err != nil {
		return fmt.Errorf("next generation: %w", err)
	}
	return nil
}

// RollUpHours counts at most limit hours in [from, until) again that were marked before NextGeneration, and returns how
// many it counted: 0 when there is none that nobody else is at. Its transaction is all or nothing, so it may end
// anywhere. Whoever stores conversations of such an hour meanwhile marks it again and does not wait.
func RollUpHours(
	ctx context.Context, pool *pgxpool.Pool, g Grid, part Part, from, until time.Time, limit int, now time.Time,
) (counted int, err error) {
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := part.lock(ctx, tx); err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, takeMarksSQL, pgx.StrictNamedArgs{
			"limit": limit, "from": from, "until": until, "part": int(part),
		})
		var hours []AssistantHour
		seen := map[hourKey]bool{}
		var h AssistantHour
		if _, err := pgx.ForEachRow(rows, []any{&h.At, &h.Assistant}, func() error {
			if k := (hourKey{h.At.UnixMicro(), h.Assistant}); !seen[k] {
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
		found, err := countHours(ctx, tx, hours, g)
		if err != nil {
			return err
		}
		if err := replaceCells(ctx, tx, deleteHoursSQL, insertHoursSQL, hours, found); err != nil {
			return err
		}
		days := map[hourKey]AssistantHour{}
		for _, h := range hours {
			for at := h.At; at.Before(h.At.Add(time.Hour)); at = at.Add(g.Slot) { // a day may begin within
				day := g.DayOf(at)
				days[hourKey{day.UnixMicro(), h.Assistant}] = AssistantHour{day, h.Assistant}
			}
		}
		var stale []AssistantHour
		for _, d := range days {
			stale = append(stale, d)
		}
		slices.SortFunc(
			stale,
			func(a, b AssistantHour) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Assistant, b.Assistant)) },
		)
		ats, assistants := columns(stale)
		_, err = tx.Exec(ctx, staleDaysSQL, pgx.StrictNamedArgs{"ats": ats, "assistants": assistants, "now": now})
		return err
	})
	return counted, err
}

const frozenHoursSQL = `select assistant_id, before from final_figures`

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
var takeDaysSQL = `
delete from dirty_days m
using (
	select at, assistant_id
	from dirty_days
	where marked_at < @before` + fmt.Sprintf(partText, "at") + `
	order by at desc
	limit @limit
	for update skip locked
) as k
where m.at = k.at and m.assistant_id = k.assistant_id
returning m.at, m.assistant_id`

const deleteDaysSQL = `
delete from rollup_days d
using unnest(@ats::timestamptz[], @assistants::integer[]) as k (at, assistant)
where d.at = k.at and d.assistant_id = k.assistant`

const deleteDaySumsSQL = `
delete from rollup_day_sums d
using unnest(@ats::timestamptz[], @assistants::integer[]) as k (at, assistant)
where d.at = k.at and d.assistant_id = k.assistant`

const insertDaySumsSQL = `
insert into rollup_day_sums (at, assistant_id, family, packed)
select *
from unnest(@ats::timestamptz[], @assistants::integer[], @families::smallint[], @packed::bytea[])`

// RollUpDays counts at most limit stale days that were marked before, and returns how many.
func RollUpDays(
	ctx context.Context, pool *pgxpool.Pool, g Grid, part Part, limit int, before, now time.Time,
) (counted int, err error) {
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := part.lock(ctx, tx); err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, takeDaysSQL, pgx.StrictNamedArgs{"limit": limit, "before": before, "part": int(part)})
		days, err := pgx.CollectRows(rows, pgx.RowToStructByName[AssistantHour])
		if err != nil {
			return fmt.Errorf("take days: %w", err)
		}
		if counted = len(days); counted == 0 {
			return nil
		}
		found, err := mergeDays(ctx, tx, g, days)
		if err != nil {
			return err
		}
		if err := replaceCells(ctx, tx, deleteDaysSQL, insertDaysSQL, days, found); err != nil {
			return err
		}
		if err := replaceDaySums(ctx, tx, days, byAssistant(found)); err != nil {
			return err
		}
		return storeDaily(ctx, tx, g, days, found, true, now)
	})
	return counted, err
}

const hoursOfDaysSQL = `
select s.at, s.assistant_id, s.environment_id, s.channel_id, s.version_id, s.tally, s.others
from (select distinct at, until from unnest(@ats::timestamptz[], @untils::timestamptz[]) as u (at, until)) as d
cross join lateral (select * from rollup_hours x where x.at >= d.at and x.at < d.until offset 0) as s
join unnest(@ats::timestamptz[], @assistants::integer[]) as k (at, assistant) on k.at = d.at
	and k.assistant = s.assistant_id`

// mergeDays adds up the hours of days. Hours that are not up to date are marked, and so will the day be once they are
// counted.
func mergeDays(ctx context.Context, tx pgx.Tx, g Grid, days []AssistantHour) (*cells, error) {
	found := newCells(allFamilies())
	if err := found.unpack(ctx, tx, hoursOfDaysSQL, daysArgs(days, g), g); err != nil {
		return nil, fmt.Errorf("read hours: %w", err)
	}
	for _, f := range families {
		if f, ok := f.(countsDays); ok {
			if err := f.exact(ctx, tx, g, days, found); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// unpack adds the packed cells that a statement yields to those of their days.
func (c *cells) unpack(ctx context.Context, tx pgx.Tx, sql string, args pgx.StrictNamedArgs, g Grid) error {
	var at time.Time
	var d Dimensions
	var packed, others pgtype.DriverBytes
	rows, _ := tx.Query(ctx, sql, args)
	_, err := pgx.ForEachRow(rows, []any{
		&at, &d.Assistant, &d.Environment, &d.Channel, &d.Version, &packed, &others,
	}, func() error {
		day := c.at(g.DayOf(at), d)
		if err := partOf[*tally](day).unpack(at, packed); err != nil {
			return err
		}
		return eachOther(others, func(family int, packed []byte) error { return day.parts[family].unpack(at, packed) })
	})
	return err
}

// byAssistant adds up what stands beside the tallies by assistant, whatever the environment, channel and version.
func byAssistant(found *cells) *cells {
	asked := allFamilies()
	asked[slices.Index(families, family(tallies{}))] = false
	sums := newCells(asked)
	for i := range found.all {
		c := &found.all[i]
		sum := sums.at(c.at, Dimensions{Assistant: c.Assistant})
		for j, p := range sum.parts {
			if p != nil {
				p.merge(c.parts[j])
			}
		}
	}
	return sums
}

const cellsText = ` (at, assistant_id, environment_id, channel_id, version_id, tally, others)
select *
from unnest(@ats::timestamptz[], @assistants::integer[], @environments::integer[], @channels::integer[],
	@versions::bigint[],
	@tallies::bytea[], @others::bytea[])`

const (
	insertHoursSQL = `insert into rollup_hours` + cellsText
	insertDaysSQL  = `insert into rollup_days` + cellsText
)

// replaceCells writes the cells of hours, or of days, instead of what was there.
func replaceCells(ctx context.Context, tx pgx.Tx, remove, insert string, of []AssistantHour, found *cells) error {
	ats, assistants := columns(of)
	if _, err := tx.Exec(ctx, remove, pgx.StrictNamedArgs{"ats": ats, "assistants": assistants}); err != nil {
		return fmt.Errorf("delete rollups: %w", err)
	}
	n := len(found.all)
	ats, assistants = make([]time.Time, n), make([]int32, n)
	environments, channels, versions := make([]int32, n), make([]int32, n), make([]int64, n)
	packed, others := make([][]byte, n), make([][]byte, n)
	for i := range found.all {
		c := &found.all[i]
		ats[i], assistants[i], environments[i], channels[i], versions[i] = c.at, c.Assistant, c.Environment, c.Channel,
			c.Version
		packed[i], others[i] = partOf[*tally](c).pack(c.at), c.packOthers()
	}
	if _, err := tx.Exec(ctx, insert, pgx.StrictNamedArgs{
		"ats": ats, "assistants": assistants, "environments": environments, "channels": channels, "versions": versions,
		"tallies": packed, "others": others,
	}); err != nil {
		return fmt.Errorf("insert rollups: %w", err)
	}
	return nil
}

// replaceDaySums writes the sums of days, a row for each family, instead of what was there.
func replaceDaySums(ctx context.Context, tx pgx.Tx, days []AssistantHour, sums *cells) error {
	ats, assistants := columns(days)
	if _, err := tx.Exec(ctx, deleteDaySumsSQL, pgx.StrictNamedArgs{"ats": ats, "assistants": assistants}); err != nil {
		return fmt.Errorf("delete sums of days: %w", err)
	}
	ats, assistants = nil, nil
	var numbers []int16
	var packed [][]byte
	for i := range sums.all {
		c := &sums.all[i]
		for j, p := range c.parts {
			if p == nil {
				continue
			}
			if b := p.pack(c.at); len(b) > 0 {
				ats, assistants = append(ats, c.at), append(assistants, c.Assistant)
				numbers, packed = append(numbers, families[j].number()), append(packed, b)
			}
		}
	}
	if _, err := tx.Exec(ctx, insertDaySumsSQL, pgx.StrictNamedArgs{
		"ats": ats, "assistants": assistants, "families": numbers, "packed": packed,
	}); err != nil {
		return fmt.Errorf("insert sums of days: %w", err)
	}
	return nil
}

const rollupBacklogSQL = `select (select count(*) from (select distinct hour, assistant_id
	from dirty_hours) as k) as hours, (select count(*) from dirty_days) as days`

// RollupBacklog is what is still to be counted.
type RollupBacklog struct{ Hours, Days int64 }

// Backlog returns what is still to be counted.
func Backlog(ctx context.Context, db queries.DB) (RollupBacklog, error) {
	rows, _ := db.Query(ctx, rollupBacklogSQL)
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[RollupBacklog])
}
