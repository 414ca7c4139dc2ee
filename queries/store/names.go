package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/queries"
)

// Names are rows of the small tables that a batch mentions.
type Names struct {
	Assistants, Environments, Channels map[string]bool
	Versions                           map[Version]int64 // earliest time, microseconds
	Settings                           string            // of assistants that are new, as JSON; "" for the defaults
}

// Version is a release of an assistant.
type Version struct{ Assistant, ModelID, ModelName string }

const insertAssistantsSQL = `
insert into assistants (id, name, settings)
select k.id, k.name, coalesce(nullif(@settings, ''), '{}')::jsonb
from unnest(@ids::integer[], @names::text[]) as k (id, name)
order by k.id
on conflict do nothing`

const insertEnvironmentsSQL = `
insert into environments (id, name)
select k.id, k.name from unnest(@ids::integer[], @names::text[]) as k (id, name) order by k.id
on conflict do nothing`

const insertChannelsSQL = `
insert into channels (id, name)
select k.id, k.name from unnest(@ids::integer[], @names::text[]) as k (id, name) order by k.id
on conflict do nothing`

const upsertVersionsSQL = `
insert into versions (id, assistant_id, model_id, model_name, first_seen_at)
select k.id, k.assistant, k.model_id, k.model_name, timestamptz 'epoch' + k.first * interval '1 microsecond'
from unnest(@ids::bigint[], @assistants::integer[], @model_ids::text[], @model_names::text[], @firsts::bigint[])
	as k (id, assistant, model_id, model_name, first)
order by k.id
on conflict (id) do update set first_seen_at = excluded.first_seen_at
where versions.first_seen_at > excluded.first_seen_at`

// AddNames makes the rows that are missing. It stands outside the transaction of a batch: a name that
// nothing refers to yet harms nobody, and writers do not wait for each other's.
func AddNames(ctx context.Context, pool interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}, n Names,
) error {
	var q pgx.Batch
	q.Queue(queries.LockTimeoutSQL)
	for _, t := range []struct {
		kind, sql string
		names     map[string]bool
	}{
		{"assistant", insertAssistantsSQL, n.Assistants},
		{"environment", insertEnvironmentsSQL, n.Environments},
		{"channel", insertChannelsSQL, n.Channels},
	} {
		if len(t.names) == 0 {
			continue
		}
		var ids []int32
		var names []string
		for name := range t.names {
			ids, names = append(ids, conversation.SmallID(t.kind, name)), append(names, name)
		}
		args := pgx.StrictNamedArgs{"ids": ids, "names": names}
		if t.kind == "assistant" {
			args["settings"] = n.Settings
		}
		q.Queue(t.sql, args)
	}
	if len(n.Versions) > 0 {
		var ids, firsts []int64
		var assistants []int32
		var modelIDs, modelNames []string
		for v, first := range n.Versions {
			ids, firsts = append(
				ids, conversation.VersionID(v.Assistant, v.ModelID, v.ModelName),
			), append(firsts, first)
			assistants = append(assistants, conversation.SmallID("assistant", v.Assistant))
			modelIDs, modelNames = append(modelIDs, v.ModelID), append(modelNames, v.ModelName)
		}
		q.Queue(upsertVersionsSQL, pgx.StrictNamedArgs{
			"ids": ids, "assistants": assistants, "model_ids": modelIDs, "model_names": modelNames, "firsts": firsts,
		})
	}
	if q.Len() == 1 {
		return nil
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return tx.SendBatch(ctx, &q).Close() })
}

const environmentNamesSQL = `select id, name from environments`

// EnvironmentNames returns all environments by id.
func EnvironmentNames(ctx context.Context, db queries.DB) (map[int32]string, error) {
	rows, _ := db.Query(ctx, environmentNamesSQL)
	out := map[int32]string{}
	var id int32
	var name string
	_, err := pgx.ForEachRow(rows, []any{&id, &name}, func() error {
		out[id] = name
		return nil
	})
	return out, err
}
