package figures

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
)

// spansText are the conversations of spans of time of assistants. Each span is looked up by itself (offset 0), as
// nobody can know beforehand how short they are, and once for all assistants of which it is asked.
const spansText = `(select distinct at, until from unnest(@ats::timestamptz[], @untils::timestamptz[]) as u (at,
	until)) as h
cross join lateral (select * from conversations x where x.started_at >= h.at and x.started_at < h.until and not x.test offset 0) as c
join unnest(@ats::timestamptz[], @assistants::integer[]) as k (at, assistant) on k.at = h.at
	and k.assistant = c.assistant_id`

// counting counts conversations by cell.
type counting struct {
	db     queries.DB
	from   string                    // conversations, as c
	args   pgx.StrictNamedArgs       // of from
	cellOf func(time.Time) time.Time // the start of the cell in which a conversation is counted
	zone   *time.Location
	asked  []bool // by family
}

// countHours counts the conversations of hours as if all had ended.
func countHours(ctx context.Context, tx queries.DB, hours []AssistantHour, g Grid) (*cells, error) {
	ats, assistants := columns(hours)
	untils := make([]time.Time, len(ats))
	for i, at := range ats {
		untils[i] = at.Add(time.Hour)
	}
	criteria, err := queries.CriteriaInForce(ctx, tx)
	if err != nil {
		return nil, fmt.Errorf("success criteria: %w", err)
	}
	w := &queries.Where{Args: pgx.StrictNamedArgs{"ats": ats, "untils": untils, "assistants": assistants}}
	return (&counting{
		db: tx, from: spansText, cellOf: g.SlotOf, zone: g.Zone, asked: allFamilies(),
	}).count(ctx, w, criteria)
}

// count counts the conversations of w's arguments, judged by the criteria.
func (n *counting) count(ctx context.Context, w *queries.Where, criteria []queries.SuccessCriteria) (*cells, error) {
	found := newCells(n.asked)
	n.args = maps.Clone(w.Args)
	var tables []func() error
	places := map[queries.ConversationKey]int{}
	for i, f := range families {
		if f, ok := f.(countsTables); ok && n.asked[i] {
			tables = append(tables, func() error {
				return f.tables(ctx, n, func(k queries.ConversationKey) part {
					if at, ok := places[k]; ok {
						return found.all[at].parts[i]
					}
					return nil
				})
			})
		}
	}
	if err := n.conversations(ctx, w, criteria, func(at time.Time, d Dimensions, k queries.ConversationKey, c *metric.ConversationFacts) {
		place := found.place(at, d)
		for _, p := range found.all[place].parts {
			if p != nil {
				p.add(c)
			}
		}
		if len(tables) > 0 {
			places[k] = place
		}
	}); err != nil {
		return nil, fmt.Errorf("count conversations: %w", err)
	}
	for _, read := range tables {
		if err := read(); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// conversations reads the conversations and calls each for all of them.
func (n *counting) conversations(
	ctx context.Context, w *queries.Where, criteria []queries.SuccessCriteria,
	each func(cell time.Time, d Dimensions, k queries.ConversationKey, c *metric.ConversationFacts),
) error {
	var (
		k       queries.ConversationKey
		id      [16]byte
		at      time.Time
		d       Dimensions
		c       metric.ConversationFacts
		outcome string
		rating  string
		verdict int32
	)
	columns := w.FactColumns(criteria, n.asked[slices.Index(families, family(visits{}))])
	rows, _ := n.db.Query(ctx, "select "+columns+"\nfrom "+n.from, w.Args)
	into := []any{
		&c.Visit.Person, &c.Visit.First, &k.SenderID, &id, &at, &d.Assistant, &d.Environment, &d.Channel, &d.Version,
		&outcome, &rating,
		&c.Escalated, &c.Reason, &c.Returned, &c.Responses, &c.Untimed, &verdict,
	}
	_, err := pgx.ForEachRow(rows, into, func() error {
		k.ID, c.Outcome, c.Rating = id, conversation.Outcome(outcome), conversation.Rating(rating)
		c.Hour, c.Verdict = at.In(n.zone).Hour(), metric.Verdict(verdict)
		c.Visit.Wrote = c.Outcome != conversation.NotEngaged
		each(n.cellOf(at), d, k, &c)
		return nil
	})
	return err
}
