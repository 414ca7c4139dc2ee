package queries

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/metric"
)

// userRuns are the starts of user flows of a conversation, c.
const userRuns = `flow_runs r where r.sender_id = c.sender_id and r.conversation_id = c.id and r.starts > 0
	and left(r.flow_id, 8) <> 'pattern_'`

// startsText is the collapsed sequence of a conversation's starts, as arrays of flows and of seconds.
const startsText = `(
		select array_agg(x.flow_id order by x.n) as flows, array_agg(x.at order by x.n) as ats
		from (select r.flow_id, r.n, extract(epoch from r.started_at)::float8 as at,
			lag(r.flow_id) over (order by r.n) as before from ` + userRuns + `) as x
		where x.before is distinct from x.flow_id
	) as q`

// path narrows by the way through flows.
func (w *Where) path(p metric.PathFilter) {
	if len(p.Steps) == 0 {
		return
	}
	w.facets("path_begin", "f", p.Steps[:1])
	for i, s := range p.Steps {
		w.Args[fmt.Sprintf("path_%d", i)] = s
	}
	var b strings.Builder
	if p.Strict {
		sign := "+"
		if p.Back {
			sign = "-"
		}
		b.WriteString(
			"exists (select from " + startsText + ", array_position(q.flows, @path_0) as p where p is not null",
		)
		for i := range p.Steps[1:] {
			fmt.Fprintf(&b, " and q.flows[p %s %d] = @path_%d", sign, i+1, i+1)
		}
		if p.End {
			fmt.Fprintf(&b, " and q.flows[p %s %d] is null", sign, len(p.Steps))
		}
		if p.Minutes > 0 {
			fmt.Fprintf(&b, " and q.ats[p %s %d] - q.ats[p] <= 60 * @path_minutes::float8", sign, len(p.Steps)-1)
			w.Args["path_minutes"] = p.Minutes
		}
		b.WriteString(")")
	} else {
		n := "(select min(r.n) from " + userRuns + " and r.flow_id = @path_0)"
		first := n
		for i := range p.Steps[1:] {
			n = fmt.Sprintf("(select min(r.n) from %s and r.flow_id = @path_%d and r.n > %s)", userRuns, i+1, n)
		}
		b.WriteString(n + " is not null")
		if p.Minutes > 0 {
			at := "(select extract(epoch from r.started_at)::float8 from " + userRuns + " and r.n = %s)"
			fmt.Fprintf(&b, " and "+at+" - "+at+" <= 60 * @path_minutes::float8", n, first)
			w.Args["path_minutes"] = p.Minutes
		}
	}
	w.And(b.String(), "", nil)
}

const startsOfText = `
select array_agg(r.flow_id order by r.n) as flows, array_agg(extract(epoch from r.started_at)::float8
	order by r.n) as ats
from (select c.sender_id, c.id from conversations c where `

const startsOfJoin = `) as c
join flow_runs r on r.sender_id = c.sender_id and r.conversation_id = c.id and r.starts > 0
	and left(r.flow_id, 8) <> 'pattern_'
group by c.sender_id, c.id`

// FlowStarts returns the starts of user flows, in their order, of each of the filter's conversations in which a flow
// ran.
func FlowStarts(
	ctx context.Context, db DB, f metric.Filter, flow string, now time.Time, zone *time.Location,
) (all [][]metric.Start, err error) {
	f = f.InFlow(metric.FlowFilter{Flow: flow})
	known, err := LookUp(ctx, db, f, now, zone)
	if err != nil {
		return nil, err
	}
	w := FilterConversations(f, known, now, zone)
	rows, _ := db.Query(ctx, startsOfText+w.String()+startsOfJoin, w.Args)
	var flows []string
	var ats []float64
	_, err = pgx.ForEachRow(rows, []any{&flows, &ats}, func() error {
		starts := make([]metric.Start, len(flows))
		for i := range flows {
			starts[i] = metric.Start{Flow: flows[i], At: ats[i]}
		}
		all = append(all, starts)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("starts of flows: %w", err)
	}
	return all, nil
}
