package figures

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/metric"
	"turnwise/queries"
)

// storeDaily writes the figures of days as plain columns. facts tells whether the conversations are there: then what
// packed figures have lost comes from them.
func storeDaily(
	ctx context.Context, tx pgx.Tx, g Grid, days []AssistantHour, found *cells, facts bool, now time.Time,
) error {
	for _, f := range families {
		if f, ok := f.(keepsColumns); ok {
			if err := f.daily(ctx, &dailyRows{
				tx: tx, grid: g, days: days, found: found, facts: facts, now: now,
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// dailyRows are figures of days to be written as plain columns.
type dailyRows struct {
	tx    pgx.Tx
	grid  Grid
	days  []AssistantHour
	found *cells
	facts bool // the conversations are there
	now   time.Time
	rows  []map[string]any
}

// add adds a row of a day, whose further columns the caller sets.
func (d *dailyRows) add(at time.Time, assistant int32) map[string]any {
	row := map[string]any{
		"day": at.In(d.grid.Zone).Format(time.DateOnly), "assistant_id": assistant, "counted_at": d.now,
	}
	d.rows = append(d.rows, row)
	return row
}

// replace writes the rows instead of those of the days.
func (d *dailyRows) replace(ctx context.Context, remove, insert string) error {
	dates, assistants := make([]string, len(d.days)), make([]int32, len(d.days))
	for i, day := range d.days {
		dates[i], assistants[i] = day.At.In(d.grid.Zone).Format(time.DateOnly), day.Assistant
	}
	if _, err := d.tx.Exec(ctx, remove, pgx.StrictNamedArgs{"days": dates, "assistants": assistants}); err != nil {
		return fmt.Errorf("delete figures of days: %w", err)
	}
	if len(d.rows) == 0 {
		return nil
	}
	text, err := json.Marshal(d.rows)
	if err != nil {
		return err
	}
	if _, err := d.tx.Exec(ctx, insert, pgx.StrictNamedArgs{"rows": string(text)}); err != nil {
		return fmt.Errorf("store figures of days: %w", err)
	}
	return nil
}

func latencyColumns(row map[string]any, name string, l *metric.Latency) {
	if mean, ok := l.Mean(); ok {
		row[name+"_mean_ms"] = mean
	}
	for column, p := range map[string]float64{"_p50_ms": .5, "_p95_ms": .95, "_p99_ms": .99} {
		if ms, ok := l.Percentile(p); ok {
			row[name+column] = ms
		}
	}
}

func daysArgs(days []AssistantHour, g Grid) pgx.StrictNamedArgs {
	ats, assistants := columns(days)
	untils := make([]time.Time, len(ats))
	for i, at := range ats {
		untils[i] = metric.AddDays(at, 1, g.Zone)
	}
	return pgx.StrictNamedArgs{"ats": ats, "untils": untils, "assistants": assistants}
}

const (
	dailyFilledSQL    = `select daily_filled from rollup_state`
	setDailyFilledSQL = `update rollup_state set daily_filled = true`
	unfilledDaysSQL   = `
select distinct d.at, d.assistant_id
from rollup_days d
join final_figures f on f.assistant_id = d.assistant_id and d.at < f.before
where not exists (select from daily_figures x where x.day = (d.at at time zone @zone)::date
	and x.assistant_id = d.assistant_id)
limit 100`
	packedDaysSQL = `
select d.at, d.assistant_id, d.environment_id, d.channel_id, d.version_id, d.tally, d.others
from rollup_days d
join unnest(@ats::timestamptz[], @assistants::integer[]) as k (at, assistant) on k.at = d.at
	and k.assistant = d.assistant_id`
)

// FillDaily writes the plain columns of days that were counted, and frozen, before there were any: what is packed of
// them is all there is. It returns how many days it filled, 0 when all are.
func FillDaily(ctx context.Context, pool *pgxpool.Pool, g Grid, now time.Time) (filled int, err error) {
	rows, _ := pool.Query(ctx, dailyFilledSQL)
	done, err := pgx.CollectRows(rows, pgx.RowTo[bool])
	if err != nil || len(done) == 0 || done[0] {
		return 0, err
	}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, queries.LockRollupsSQL); err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, unfilledDaysSQL, pgx.StrictNamedArgs{"zone": g.Zone.String()})
		days, err := pgx.CollectRows(rows, pgx.RowToStructByName[AssistantHour])
		if err != nil {
			return fmt.Errorf("days without columns: %w", err)
		}
		if filled = len(days); filled == 0 {
			_, err := tx.Exec(ctx, setDailyFilledSQL)
			return err
		}
		ats, assistants := columns(days)
		found := newCells(allFamilies())
		if err := found.unpack(
			ctx, tx, packedDaysSQL, pgx.StrictNamedArgs{"ats": ats, "assistants": assistants}, g,
		); err != nil {
			return fmt.Errorf("read packed days: %w", err)
		}
		return storeDaily(ctx, tx, g, days, found, false, now)
	})
	return filled, err
}
