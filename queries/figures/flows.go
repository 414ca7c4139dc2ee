package figures

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
)

// flowTallies count runs of flows and steps within them, by flow.
type flowTallies struct{}

func (flowTallies) number() int16          { return 2 }
func (flowTallies) asked(q *Question) bool { return q.Flows }
func (flowTallies) empty() part            { return flowTally{} }

func (flowTallies) read(r *reading, from time.Time, _ Dimensions, packed []byte) error {
	if err := r.sum.Flows.MergePacked(packed, r.Steps); err != nil || r.Flow == "" {
		return err
	}
	of := metric.FlowTally{}
	if err := of.MergePacked(packed, false); err != nil {
		return err
	}
	r.trace(r.cellOf(from), of)
	return nil
}

type flowTally metric.FlowTally

func (t flowTally) add(*metric.ConversationFacts) {}
func (t flowTally) merge(o part)                  { metric.FlowTally(t).Merge(metric.FlowTally(o.(flowTally))) }
func (t flowTally) pack(time.Time) []byte         { return metric.FlowTally(t).Pack() }
func (t flowTally) unpack(_ time.Time, packed []byte) error {
	return metric.FlowTally(t).MergePacked(packed, true)
}

func (t flowTally) answer(r *reading, at time.Time, _ *cell) {
	r.sum.Flows.Merge(metric.FlowTally(t))
	r.trace(at, metric.FlowTally(t))
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

const (
	flowRunsText = `
select r.sender_id, r.conversation_id, r.flow_id, r.started_at, r.ended_at, r.status, r.starts, r.interrupted,
	r.resumed,
	r.last_step, r.escalated
from (select c.sender_id, c.id from `
	flowRunsJoin = `) as c
join flow_runs r on r.sender_id = c.sender_id and r.conversation_id = c.id
order by r.sender_id, r.conversation_id, r.n`

	flowStepsText = `
select s.sender_id, s.conversation_id, s.flow_id, s.step_id
from (select c.sender_id, c.id, c.flows from `
	flowStepsJoin = `) as c
join flow_steps s on s.sender_id = c.sender_id and s.conversation_id = c.id
where s.step_id <> '' and s.flow_id = any(c.flows)
order by s.sender_id, s.conversation_id, s.seq`
)

func (flowTallies) tables(ctx context.Context, n *counting, of func(queries.ConversationKey) part) error {
	rows, _ := n.db.Query(ctx, flowRunsText+n.from+flowRunsJoin, n.args)
	if err := readVisits(rows, func(k queries.ConversationKey, v *metric.FlowVisit) {
		if t, ok := of(k).(flowTally); ok {
			metric.FlowTally(t).Add(v)
		}
	}); err != nil {
		return fmt.Errorf("count flow runs: %w", err)
	}
	rows, _ = n.db.Query(ctx, flowStepsText+n.from+flowStepsJoin, n.args)
	if err := readSteps(rows, func(k queries.ConversationKey, flow string, steps []string) {
		if t, ok := of(k).(flowTally); ok {
			metric.FlowTally(t).Visit(flow, steps)
		}
	}); err != nil {
		return fmt.Errorf("count steps: %w", err)
	}
	return nil
}

// reopenFlows counts the flows of conversations that are still open as what they are; open has the start of their
// cells.
func (r *reading) reopenFlows(
	ctx context.Context, from string, args pgx.StrictNamedArgs, open map[queries.ConversationKey]time.Time,
) error {
	rows, _ := r.tx.Query(ctx, flowRunsText+from+flowRunsJoin, args)
	err := readVisits(rows, func(k queries.ConversationKey, v *metric.FlowVisit) {
		if at, ok := open[k]; ok {
			r.sum.Flows.Reopen(*v)
			if v.Flow == r.Flow {
				r.trendAt(at).Reopen(*v)
			}
		}
	})
	if err != nil {
		return fmt.Errorf("flow runs of open conversations: %w", err)
	}
	return nil
}

// readVisits reads runs, those of one conversation one after the other and in their order, and calls each for
// every flow of a conversation.
func readVisits(rows pgx.Rows, each func(k queries.ConversationKey, v *metric.FlowVisit)) error {
	var (
		k, last    queries.ConversationKey
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
	_, err := pgx.ForEachRow(rows, []any{
		&k.SenderID, &id, &r.FlowID, &start, &end, &status, &starts, &broken, &resumed, &r.LastStep, &r.Escalated,
	}, func() error {
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
		r.Status, r.Starts, r.Interrupted, r.Resumed = conversation.RunStatus(status), int(starts), int(broken),
			int(resumed)
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

// readSteps reads steps, those of one conversation one after the other and in their order, and calls each for
// every flow of a conversation.
func readSteps(rows pgx.Rows, each func(k queries.ConversationKey, flow string, steps []string)) error {
	var k, last queries.ConversationKey
	var id [16]byte
	var flow, step string
	open := map[string][]string{}
	flush := func() {
		for flow, steps := range open {
			each(last, flow, steps)
		}
		clear(open)
	}
	_, err := pgx.ForEachRow(rows, []any{&k.SenderID, &id, &flow, &step}, func() error {
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

// dailyFlowColumns are those of daily_flow_figures.
var dailyFlowColumns = map[string]metric.FlowCondition{
	"started": metric.FlowStarted, "completed": metric.FlowCompleted, "finished": metric.FlowFinished,
	"missed": metric.FlowMissed, "cancelled": metric.FlowCancelled,
	"stopped": metric.FlowStopped, "lost": metric.FlowLost, "interrupted": metric.FlowInterrupted,
	"resumed": metric.FlowResumed, "escalated": metric.FlowEscalated, "touched": metric.FlowTouched,
	"automated": metric.FlowAutomated,
}

const (
	deleteDailyFlowsSQL = `
delete from daily_flow_figures d
using unnest(@days::date[], @assistants::integer[]) as k (day, assistant)
where d.day = k.day and d.assistant_id = k.assistant`

	insertDailyFlowsSQL = `
insert into daily_flow_figures
select *
from jsonb_populate_recordset(null::daily_flow_figures, @rows::jsonb)`

	runTimesOfDaysSQL = `
select k.at, c.assistant_id, r.flow_id,
	array_agg(extract(epoch from r.ended_at - r.started_at)::double precision * 1000)
from ` + spansText + `
join flow_runs r on r.sender_id = c.sender_id and r.conversation_id = c.id
where r.status = 'completed' and r.ended_at >= r.started_at
group by 1, 2, 3`
)

// daily writes daily_flow_figures.
func (flowTallies) daily(ctx context.Context, to *dailyRows) error {
	type flowDay struct {
		at        int64
		assistant int32
		flow      string
	}
	times := map[flowDay][]float64{}
	if to.facts {
		var at time.Time
		var assistant int32
		var flow string
		var ms []float64
		rows, _ := to.tx.Query(ctx, runTimesOfDaysSQL, daysArgs(to.days, to.grid))
		if _, err := pgx.ForEachRow(rows, []any{&at, &assistant, &flow, &ms}, func() error {
			times[flowDay{at.UnixMicro(), assistant, flow}] = ms
			return nil
		}); err != nil {
			return fmt.Errorf("times of runs: %w", err)
		}
	}
	sums := byAssistant(to.found)
	for i := range sums.all {
		c := &sums.all[i]
		for flow, n := range partOf[flowTally](c) {
			took := n.Time
			if ms := times[flowDay{c.at.UnixMicro(), c.Assistant, flow}]; int64(len(ms)) == took.N {
				took = metric.NewLatency(ms)
			}
			row := to.add(c.at, c.Assistant)
			row["flow"], row["runs"] = flow, took.N
			for column, is := range dailyFlowColumns {
				row[column] = n.Count(is)
			}
			latencyColumns(row, "run", &took)
		}
	}
	return to.replace(ctx, deleteDailyFlowsSQL, insertDailyFlowsSQL)
}
