package figures

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/metric"
)

// tallies count conversations by what they are, with their response times.
type tallies struct{}

func (tallies) number() int16          { return 1 }
func (tallies) asked(_ *Question) bool { return true }
func (tallies) empty() part            { return new(tally) }

func (tallies) read(r *reading, from time.Time, d Dimensions, packed []byte) error {
	var t metric.Tally
	if err := t.Unpack(packed, r.Times); err != nil {
		return err
	}
	r.tallyAt(r.cellOf(from), d).Merge(&t)
	return nil
}

type tally struct{ metric.Tally }

func (t *tally) add(c *metric.ConversationFacts) { t.Add(c) }
func (t *tally) merge(o part)                    { t.Merge(&o.(*tally).Tally) }
func (t *tally) pack(time.Time) []byte           { return t.Pack() }
func (t *tally) answer(r *reading, at time.Time, of *cell) {
	t.Settle()
	r.tallyAt(at, of.Dimensions).Merge(&t.Tally)
}

func (t *tally) unpack(_ time.Time, packed []byte) error {
	var more metric.Tally
	if err := more.Unpack(packed, true); err != nil {
		return err
	}
	t.Merge(&more)
	return nil
}

const responsesOfDaysSQL = `
select c.started_at, c.assistant_id, c.environment_id, c.channel_id, c.version_id, c.response_ms
from ` + spansText + `
where c.response_ms <> '{}'`

// exact makes the percentiles of a day's response times those of the values themselves, which a sum of hours has lost.
func (tallies) exact(ctx context.Context, tx pgx.Tx, g Grid, days []AssistantHour, found *cells) error {
	values := map[int][]float64{}
	var at time.Time
	var d Dimensions
	var responses []float64
	rows, _ := tx.Query(ctx, responsesOfDaysSQL, daysArgs(days, g))
	if _, err := pgx.ForEachRow(rows, []any{
		&at, &d.Assistant, &d.Environment, &d.Channel, &d.Version, &responses,
	}, func() error {
		if i, ok := found.index[cellKey{g.DayOf(at).UnixMicro(), d}]; ok {
			values[i] = append(values[i], responses...)
		}
		return nil
	}); err != nil {
		return fmt.Errorf("read response times: %w", err)
	}
	for i, all := range values {
		if t := partOf[*tally](&found.all[i]); int64(len(all)) == t.Response.N { // else some were deleted since
			t.Response = metric.NewLatency(all)
		}
	}
	return nil
}

// dailyColumns are the columns of daily_figures that count conversations.
var dailyColumns = map[string]metric.Condition{
	"conversations": metric.All, "engaged": metric.Engaged, "contained": metric.Contained, "resolved": metric.Resolved,
	"resolved_confirmed": metric.Confirmed,
	"resolved_assumed":   metric.Assumed, "durable": metric.Durable, "handed_off": metric.HandedOff,
	"escalated": metric.Escalated, "abandoned": metric.Abandoned,
	"not_engaged": metric.EndedNotEngaged, "asked": metric.Asked, "rated": metric.Rated, "satisfied": metric.Satisfied,
	"unsatisfied": metric.Unsatisfied,
	"judged":      metric.Judged, "succeeded": metric.Succeeded,
}

const (
	deleteDailySQL = `
delete from daily_figures d
using unnest(@days::date[], @assistants::integer[]) as k (day, assistant)
where d.day = k.day and d.assistant_id = k.assistant`

	insertDailySQL = `insert into daily_figures select * from jsonb_populate_recordset(null::daily_figures,
	@rows::jsonb)`

	boundsOfDaysSQL = `
select k.at, c.assistant_id, c.environment_id, c.channel_id, c.version_id, min(c.started_at), max(c.started_at),
	count(*), count(c.escalated_at)
from ` + spansText + `
group by 1, 2, 3, 4, 5`

	sharedResponsesSQL = `
select k.at, c.assistant_id, c.channel_id, c.version_id, count(*),
	percentile_cont(array[0.5, 0.95, 0.99]) within group (order by t.ms)
from ` + spansText + `
cross join unnest(c.response_ms) as t (ms)
group by 1, 2, 3, 4
having count(distinct c.environment_id) > 1`
)

// sharedRow is what the rows of several environments have in common.
type sharedRow struct {
	n           int64
	percentiles []float64
}

// shared are the response times of all environments of a release, where several have any: by cells without one.
func (to *dailyRows) shared(ctx context.Context) (map[cellKey]sharedRow, error) {
	environments := map[cellKey]int{}
	several := false
	for i := range to.found.all {
		c := &to.found.all[i]
		k := c.key()
		if k.Environment = 0; partOf[*tally](c).Response.N > 0 {
			environments[k]++
			several = several || environments[k] > 1
		}
	}
	all := map[cellKey]sharedRow{}
	if !several || !to.facts {
		return all, nil
	}
	var at time.Time
	var d Dimensions
	var row sharedRow
	rows, _ := to.tx.Query(ctx, sharedResponsesSQL, daysArgs(to.days, to.grid))
	into := []any{&at, &d.Assistant, &d.Channel, &d.Version, &row.n, &row.percentiles}
	if _, err := pgx.ForEachRow(rows, into, func() error {
		all[cellKey{at.UnixMicro(), d}] = sharedRow{row.n, slices.Clone(row.percentiles)}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("percentiles over environments: %w", err)
	}
	return all, nil
}

// daily writes daily_figures.
func (tallies) daily(ctx context.Context, to *dailyRows) error {
	type bounds struct {
		first, last  time.Time
		n, escalated int64 // of all, engaged or not
	}
	of := map[cellKey]bounds{}
	if to.facts {
		var at time.Time
		var b bounds
		var d Dimensions
		rows, _ := to.tx.Query(ctx, boundsOfDaysSQL, daysArgs(to.days, to.grid))
		into := []any{&at, &d.Assistant, &d.Environment, &d.Channel, &d.Version, &b.first, &b.last, &b.n, &b.escalated}
		if _, err := pgx.ForEachRow(rows, into, func() error {
			of[cellKey{at.UnixMicro(), d}] = b
			return nil
		}); err != nil {
			return fmt.Errorf("first and last of days: %w", err)
		}
	}
	shared, err := to.shared(ctx)
	if err != nil {
		return err
	}
	for i := range to.found.all {
		c := &to.found.all[i]
		t := partOf[*tally](c)
		row := to.add(c.at, c.Assistant)
		row["environment_id"], row["channel_id"], row["version_id"], row["responses"] = c.Environment, c.Channel,
			c.Version, t.Response.N
		for column, is := range dailyColumns {
			row[column] = t.Count(is)
		}
		latencyColumns(row, "response", &t.Response)
		k := c.key()
		k.Environment = 0
		if x := shared[k]; x.n > 0 {
			row["shared_responses"], row["shared_p50_ms"], row["shared_p95_ms"], row["shared_p99_ms"] = x.n, x.percentiles[0],
				x.percentiles[1], x.percentiles[2]
		}
		if b := of[c.key()]; b.n > 0 && b.n == t.Count(metric.All) { // else some were deleted since
			row["first_at"], row["last_at"], row["escalated_all"] = b.first, b.last, b.escalated
		}
	}
	return to.replace(ctx, deleteDailySQL, insertDailySQL)
}
