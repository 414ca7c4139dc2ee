package queries

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/marker"
)

const assistantSettingsSQL = `
select a.id, (a.settings || case when exists (select from patterns p where p.assistant_id = a.id and p.active) then
	jsonb_build_object('patterns', (select jsonb_agg(jsonb_build_object('id', p.id, 'version', p.version, 'config', p.config)
		order by p.id) from patterns p where p.assistant_id = a.id and p.active)) else '{}' end)::text
from assistants a
where a.id = any(@ids::integer[])`

// AssistantSettings returns what is set for assistants, and what markers they have, as JSON; "" of one of which nothing is.
func AssistantSettings(ctx context.Context, db DB, assistants []string) (map[string]string, error) {
	ids := make([]int32, len(assistants))
	for i, name := range assistants {
		ids[i] = conversation.SmallID("assistant", name)
	}
	rows, _ := db.Query(ctx, assistantSettingsSQL, pgx.StrictNamedArgs{"ids": ids})
	found := make(map[int32]string, len(ids))
	var id int32
	var stored string
	if _, err := pgx.ForEachRow(rows, []any{&id, &stored}, func() error {
		found[id] = stored
		return nil
	}); err != nil {
		return nil, fmt.Errorf("settings of assistants: %w", err)
	}
	all := make(map[string]string, len(assistants))
	for i, name := range assistants {
		all[name] = found[ids[i]]
	}
	return all, nil
}

// ReadRules reads what AssistantSettings returns; what is not set is as by default.
func ReadRules(stored string) (*conversation.Rules, error) {
	s := struct {
		conversation.Settings
		Patterns []struct {
			ID, Version int32
			Config      string
		}
	}{Settings: conversation.DefaultSettings()}
	if stored != "" {
		if err := json.Unmarshal([]byte(stored), &s); err != nil {
			return nil, err
		}
	}
	r := conversation.NewRules(s.Settings)
	for _, p := range s.Patterns {
		m, err := marker.Compile(p.Config)
		if err != nil {
			return nil, err
		}
		r.Patterns = append(r.Patterns, conversation.Pattern{ID: p.ID, Version: p.Version, Marker: m})
	}
	return r, nil
}

// partitioned are the tables that are cut by month.
var partitioned = []string{"events", "event_payloads", "messages"}

const partitionExistsSQL = `select to_regclass(@name) is not null`

// partitionSQL tells whether a table is there, and whether it is a partition: retention may have been stopped when it
// had taken one off.
const partitionSQL = `select coalesce((select case when relispartition then 2 else 1 end from pg_class
	where oid = to_regclass(@name)), 0)`

func attachSQL(table, name string, from time.Time) string {
	return fmt.Sprintf(
		"alter table %s attach partition %s for values from ('%s') to ('%s')", table, name, from.Format(time.RFC3339),
		from.AddDate(0, 1, 0).Format(time.RFC3339),
	)
}

// EnsureMonth makes the partitions of the month that holds at (microseconds since 1970), when they are
// missing. It attaches tables made beforehand, which does not stop readers or writers.
func EnsureMonth(ctx context.Context, pool interface {
	DB
	Begin(ctx context.Context) (pgx.Tx, error)
}, at int64,
) error {
	from := time.UnixMicro(at).UTC()
	from = time.Date(from.Year(), from.Month(), 1, 0, 0, 0, 0, time.UTC)
	for _, table := range partitioned {
		name := fmt.Sprintf("%s_%s", table, from.Format("2006_01"))
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			// One maker at a time; the lock is on the parent's row of the catalogue of shards, not on facts.
			if _, err := tx.Exec(ctx, LockTimeoutSQL); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `select shard from ingest_shards order by shard limit 1 for update`); err != nil {
				return err
			}
			rows, _ := tx.Query(ctx, partitionSQL, pgx.StrictNamedArgs{"name": name})
			there, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int32])
			if err != nil || there == 2 {
				return err
			}
			if there == 0 { // identifiers and dates are made above, never from input
				if _, err := tx.Exec(
					ctx,
					fmt.Sprintf(
						"create table %s (like %s including defaults including constraints including storage "+
							"including compression)",
						name, table,
					),
				); err != nil {
					return err
				}
			}
			_, err = tx.Exec(ctx, attachSQL(table, name, from))
			return err
		})
		if err != nil {
			return fmt.Errorf("make partition %s: %w", name, err)
		}
	}
	return nil
}

const analyzeSQL = `analyze conversations, events, messages, turns, flow_runs`

// Analyze renews the statistics that plans depend on, after much was stored at once.
func Analyze(ctx context.Context, db DB) error {
	_, err := db.Exec(ctx, analyzeSQL)
	return err
}

// Release is the first conversation of a version that was not its assistant's first.
type Release struct {
	At        time.Time
	Assistant string
	Name      string
}

const releasesSQL = `
select min(v.first_seen_at) as at, a.name as assistant, coalesce(nullif(v.model_name, ''), v.model_id) as name
from versions v
join assistants a on a.id = v.assistant_id
where exists (
	select from versions e
	where e.assistant_id = v.assistant_id and e.first_seen_at < v.first_seen_at
		and coalesce(nullif(e.model_name, ''), e.model_id) <> coalesce(nullif(v.model_name, ''), v.model_id)
)
group by 2, 3
having min(v.first_seen_at) >= @from and min(v.first_seen_at) < @until
order by 1
limit 200`

// Releases returns the releases in [from, until), oldest first.
func Releases(ctx context.Context, db DB, from, until time.Time) ([]Release, error) {
	rows, _ := db.Query(ctx, releasesSQL, pgx.StrictNamedArgs{"from": from, "until": until})
	return pgx.CollectRows(rows, pgx.RowToStructByName[Release])
}

const dimensionNamesSQL = `
select 'assistant' as kind, id::bigint, name from assistants
union all
select 'environment', id::bigint, name from environments
union all
select 'channel', id::bigint, name from channels
union all
select 'version', id, coalesce(nullif(model_name, ''), model_id) from versions`

// DimensionNames are the names behind the ids of cells.
type DimensionNames struct {
	Assistants, Environments, Channels map[int32]string
	Versions                           map[int64]string
}

// NamesOfDimensions returns all names.
func NamesOfDimensions(ctx context.Context, db DB) (DimensionNames, error) {
	n := DimensionNames{map[int32]string{}, map[int32]string{}, map[int32]string{}, map[int64]string{}}
	rows, _ := db.Query(ctx, dimensionNamesSQL)
	var kind, name string
	var id int64
	_, err := pgx.ForEachRow(rows, []any{&kind, &id, &name}, func() error {
		switch kind {
		case "assistant":
			n.Assistants[int32(id)] = name
		case "environment":
			n.Environments[int32(id)] = name
		case "channel":
			n.Channels[int32(id)] = name
		default:
			n.Versions[id] = name
		}
		return nil
	})
	return n, err
}

const versionAgesSQL = `select coalesce(nullif(model_name, ''), model_id) as name, min(first_seen_at) from versions
	group by 1 limit 5000`

// VersionAges returns when versions were first seen, by their names.
func VersionAges(ctx context.Context, db DB) (map[string]time.Time, error) {
	rows, _ := db.Query(ctx, versionAgesSQL)
	out := map[string]time.Time{}
	var name string
	var at time.Time
	_, err := pgx.ForEachRow(rows, []any{&name, &at}, func() error {
		out[name] = at
		return nil
	})
	return out, err
}
