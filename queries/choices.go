package queries

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Choices are the values that filters offer.
type Choices struct {
	Assistants, Environments, Channels, Versions, Flows, Tags, Markers []string
	Reviewers                                                          map[string]string // names by id
}

// limitedChoicesSQL asks recent conversations: who is limited must not learn the names of the others.
const limitedChoicesSQL = `
with recent as materialized (
	select c.environment_id, c.channel_id, c.version_id, c.flows
	from conversations c
	where c.assistant_id = any(@limits)
	order by c.started_at desc, c.id desc
	limit 5000
)
select 'environment' as kind, e.name from environments e where e.id in (select environment_id from recent)
union
select 'channel', h.name from channels h where h.id in (select channel_id from recent)
union
select 'version', coalesce(nullif(v.model_name, ''), v.model_id) from versions v where v.assistant_id = any(@limits)
union
select 'flow', unnest(flows) from recent
union
select 'tag', min(t.name) from tags t where t.assistant = '' or t.assistant = any(@names) group by lower(t.name)
union
select 'marker', p.name from patterns p where p.active and p.assistant_id = any(@limits)
union
select 'reviewer', u.id || ' ' || u.name from accounts u where u.role <> 'viewer'
order by 1, 2
limit 3000`

// limitedChoices is FilterChoices for who is limited to assistants.
func limitedChoices(ctx context.Context, db DB, limits []string) (Choices, error) {
	c := Choices{Assistants: slices.Clone(limits), Reviewers: map[string]string{}}
	into := map[string]*[]string{
		"environment": &c.Environments, "channel": &c.Channels, "version": &c.Versions, "flow": &c.Flows,
		"tag": &c.Tags, "marker": &c.Markers,
	}
	rows, _ := db.Query(ctx, limitedChoicesSQL, pgx.StrictNamedArgs{"limits": AssistantIDs(limits), "names": limits})
	var kind, name string
	_, err := pgx.ForEachRow(rows, []any{&kind, &name}, func() error {
		if to := into[kind]; to != nil {
			*to = append(*to, name)
		} else if id, name, ok := strings.Cut(name, " "); ok {
			c.Reviewers[id] = name
		}
		return nil
	})
	if err != nil {
		return c, fmt.Errorf("filter choices: %w", err)
	}
	return c, nil
}

// limitIDs are the ids of the assistants that somebody is limited to; nil for all.
func AssistantIDs(limits []string) []int32 {
	if limits == nil {
		return nil
	}
	return smallIDs("assistant", limits)
}

// FilterChoices returns what the filters offer to who is limited to assistants; nil: to all. The flows are those of
// recent conversations and the most common ones; any other can be typed.
func FilterChoices(ctx context.Context, db DB, limits []string) (Choices, error) {
	if limits != nil {
		return limitedChoices(ctx, db, limits)
	}
	var c Choices
	var more, people []string
	var q pgx.Batch
	into := []*[]string{&c.Assistants, &c.Environments, &c.Channels, &c.Versions, &c.Flows, &more, &c.Tags, &c.Markers, &people}
	for _, sql := range []string{
		assistantNamesSQL, allEnvironmentsSQL, channelNamesSQL, versionNamesSQL, flowNamesSQL, someFlowsSQL,
		tagNamesSQL, markerNamesSQL, reviewerNamesSQL,
	} {
		q.Queue(sql)
	}
	res := db.SendBatch(ctx, &q)
	defer res.Close()
	for _, to := range into {
		rows, _ := res.Query()
		var err error
		if *to, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return c, fmt.Errorf("filter choices: %w", err)
		}
	}
	c.Reviewers = map[string]string{}
	for _, p := range people {
		id, name, _ := strings.Cut(p, " ")
		c.Reviewers[id] = name
	}
	c.Flows = append(c.Flows, more...)
	slices.Sort(c.Flows)
	c.Flows = slices.Compact(c.Flows)
	return c, nil
}
