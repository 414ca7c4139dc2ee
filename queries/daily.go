package queries

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/metric"
)

// dailyColumns are the columns of daily_figures that count conversations.
var dailyColumns = map[string]metric.Condition{
	"conversations": metric.All, "engaged": metric.Engaged, "contained": metric.Contained, "resolved": metric.Resolved, "resolved_confirmed": metric.Confirmed,
	"resolved_assumed": metric.Assumed, "durable": metric.Durable, "handed_off": metric.HandedOff, "escalated": metric.Escalated, "abandoned": metric.Abandoned,
	"not_engaged": metric.NotEngaged, "asked": metric.Asked, "rated": metric.Rated, "satisfied": metric.Satisfied, "unsatisfied": metric.Unsatisfied,
	"judged": metric.Judged, "succeeded": metric.Succeeded,
}

// dailyFlowColumns are those of daily_flow_figures.
var dailyFlowColumns = map[string]metric.FlowCondition{
	"started": metric.FlowStarted, "completed": metric.FlowCompleted, "finished": metric.FlowFinished, "missed": metric.FlowMissed, "cancelled": metric.FlowCancelled,
	"stopped": metric.FlowStopped, "lost": metric.FlowLost, "interrupted": metric.FlowInterrupted, "resumed": metric.FlowResumed, "escalated": metric.FlowEscalated,
}

const (
	forgetDailySQL = `
delete from daily_figures d
using unnest(@days::date[], @assistants::integer[]) as k (day, assistant)
where d.day = k.day and d.assistant_id = k.assistant`
	forgetDailyFlowsSQL = `
delete from daily_flow_figures d
using unnest(@days::date[], @assistants::integer[]) as k (day, assistant)
where d.day = k.day and d.assistant_id = k.assistant`
	insertDailySQL      = `insert into daily_figures select * from jsonb_populate_recordset(null::daily_figures, @rows::jsonb)`
	insertDailyFlowsSQL = `insert into daily_flow_figures select * from jsonb_populate_recordset(null::daily_flow_figures, @rows::jsonb)`
)

const boundsOfDaysSQL = `
select k.at, c.assistant_id, c.environment_id, c.channel_id, c.version_id, min(c.started_at), max(c.started_at), count(*)` + hoursText + `
group by 1, 2, 3, 4, 5`

const runTimesOfDaysSQL = `
select k.at, c.assistant_id, r.flow_id, array_agg(extract(epoch from r.ended_at - r.started_at)::double precision * 1000)` + hoursText + `
join flow_runs r on r.sender_id = c.sender_id and r.conversation_id = c.id
where r.status = 'completed' and r.ended_at >= r.started_at
group by 1, 2, 3`

// storeDaily writes the days' figures as plain columns. facts tells whether the conversations are there: then percentiles of runs and the first and last
// conversation come from them.
func storeDaily(ctx context.Context, tx pgx.Tx, g Grid, days []AssistantHour, cells []Cell, facts bool, now time.Time) error {
	type bounds struct {
		first, last time.Time
		n           int64
	}
	of := map[cellKey]bounds{}
	type flowDay struct {
		at        int64
		assistant int32
		flow      string
	}
	times := map[flowDay][]float64{}
	if facts {
		args := daysArgs(days, g)
		var at time.Time
		var b bounds
		var d Dimensions
		rows, _ := tx.Query(ctx, boundsOfDaysSQL, args)
		if _, err := pgx.ForEachRow(rows, []any{&at, &d.Assistant, &d.Environment, &d.Channel, &d.Version, &b.first, &b.last, &b.n}, func() error {
			of[cellKey{at.UnixMicro(), d}] = b
			return nil
		}); err != nil {
			return fmt.Errorf("first and last of days: %w", err)
		}
		var flow string
		var ms []float64
		rows, _ = tx.Query(ctx, runTimesOfDaysSQL, args)
		if _, err := pgx.ForEachRow(rows, []any{&at, &d.Assistant, &flow, &ms}, func() error {
			times[flowDay{at.UnixMicro(), d.Assistant, flow}] = ms
			return nil
		}); err != nil {
			return fmt.Errorf("times of runs: %w", err)
		}
	}
	dates, assistants := make([]string, len(days)), make([]int32, len(days))
	for i, d := range days {
		dates[i], assistants[i] = d.At.In(g.Zone).Format(time.DateOnly), d.Assistant
	}
	var whole, flows []map[string]any
	sums := newCells()
	for i := range cells {
		c := &cells[i]
		row := map[string]any{
			"day": c.At.In(g.Zone).Format(time.DateOnly), "assistant_id": c.Assistant, "environment_id": c.Environment, "channel_id": c.Channel, "version_id": c.Version,
			"counted_at": now, "responses": c.Tally.Response.N,
		}
		for column, is := range dailyColumns {
			row[column] = c.Tally.Count(is)
		}
		latencyColumns(row, "response", &c.Tally.Response)
		if b := of[cellKey{c.At.UnixMicro(), c.Dimensions}]; b.n > 0 && b.n == c.Tally.Count(metric.All) { // else some were deleted since
			row["first_at"], row["last_at"] = b.first, b.last
		}
		whole = append(whole, row)
		sums.at(c.At, Dimensions{Assistant: c.Assistant}).Flows.Merge(c.Flows)
	}
	for _, c := range sums.all {
		for flow, n := range c.Flows {
			took := n.Time
			if ms := times[flowDay{c.At.UnixMicro(), c.Assistant, flow}]; int64(len(ms)) == took.N {
				took = metric.NewLatency(ms)
			}
			row := map[string]any{"day": c.At.In(g.Zone).Format(time.DateOnly), "assistant_id": c.Assistant, "flow": flow, "counted_at": now, "runs": took.N}
			for column, is := range dailyFlowColumns {
				row[column] = n.Count(is)
			}
			latencyColumns(row, "run", &took)
			flows = append(flows, row)
		}
	}
	gone := pgx.StrictNamedArgs{"days": dates, "assistants": assistants}
	for _, x := range []struct {
		forget, insert string
		rows           []map[string]any
	}{{forgetDailySQL, insertDailySQL, whole}, {forgetDailyFlowsSQL, insertDailyFlowsSQL, flows}} {
		if _, err := tx.Exec(ctx, x.forget, gone); err != nil {
			return fmt.Errorf("forget figures of days: %w", err)
		}
		if len(x.rows) == 0 {
			continue
		}
		text, err := json.Marshal(x.rows)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, x.insert, pgx.StrictNamedArgs{"rows": string(text)}); err != nil {
			return fmt.Errorf("store figures of days: %w", err)
		}
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
join rollup_frozen f on f.assistant_id = d.assistant_id and d.at < f.before
where not exists (select from daily_figures x where x.day = (d.at at time zone @zone)::date and x.assistant_id = d.assistant_id)
limit 100`
	packedDaysSQL = `
select d.at, d.assistant_id, d.environment_id, d.channel_id, d.version_id, d.tally, d.flows
from rollup_days d
join unnest(@ats::timestamptz[], @assistants::integer[]) as k (at, assistant) on k.at = d.at and k.assistant = d.assistant_id`
)

// FillDaily writes the plain columns of days that were counted, and frozen, before there were any: what is packed of them is all there is. It returns
// how many days it filled, 0 when all are.
func FillDaily(ctx context.Context, pool *pgxpool.Pool, g Grid, now time.Time) (filled int, err error) {
	rows, _ := pool.Query(ctx, dailyFilledSQL)
	done, err := pgx.CollectRows(rows, pgx.RowTo[bool])
	if err != nil || len(done) == 0 || done[0] {
		return 0, err
	}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, countingSQL); err != nil {
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
		found := newCells()
		var at time.Time
		var d Dimensions
		var tally, flows pgtype.DriverBytes
		rows, _ = tx.Query(ctx, packedDaysSQL, pgx.StrictNamedArgs{"ats": ats, "assistants": assistants})
		if _, err := pgx.ForEachRow(rows, []any{&at, &d.Assistant, &d.Environment, &d.Channel, &d.Version, &tally, &flows}, func() error {
			c := found.at(at, d)
			if err := c.Tally.Unpack(tally, true); err != nil {
				return err
			}
			return c.Flows.MergePacked(flows, true)
		}); err != nil {
			return fmt.Errorf("read packed days: %w", err)
		}
		return storeDaily(ctx, tx, g, days, found.all, false, now)
	})
	return filled, err
}
