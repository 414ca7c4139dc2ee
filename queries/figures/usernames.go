package figures

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/conversation"
	"turnwise/queries"
)

const (
	takeUserMarksSQL = `
with taken as (
	delete from user_marks
	where ctid = any(array(select ctid from user_marks limit 100))
	returning assistant_id, sender_key
)
select t.assistant_id, coalesce(a.name, ''), t.sender_key
from taken t
left join assistants a on a.id = t.assistant_id
order by 1, 3`
	// Users that have one of the ids, or are told to have it.
	usersNamedSQL = `
select sender_key, aliases
from senders
where id = any(@ids::bigint[]) and aliases <> '{}'
union
select sender_key, aliases
from senders
where aliases && @names::text[] and assistant_id = @assistant and aliases <> '{}'`
	oldNamesSQL = `
select distinct names
from user_names
where assistant_id = @assistant and name = any(@names::text[])`
	dropNamesSQL = `delete from user_names where assistant_id = @assistant and name = any(@names::text[])`
	addNamesSQL  = `
insert into user_names (assistant_id, name, person, names)
select @assistant, x, @person, @names::text[]
from unnest(@names::text[]) x`
	// Their conversations are linked, and counted, again.
	relinkSQL = `
with theirs as (
	select c.sender_id, c.user_id, c.assistant_id, c.started_at, c.user_messages > 0 as engaged
	from unnest(@names::text[]) as u (name)
	join conversations c on c.user_id = u.name and c.user_id <> '' and c.assistant_id = @assistant
), marked as (
	insert into dirty_hours (hour, assistant_id, shard, generation)
	select distinct date_trunc('hour', started_at, 'UTC'), assistant_id, -1, coalesce((select generation from rollup_state), 0)
	from theirs
	order by 1, 2
	on conflict (hour, assistant_id, shard, generation) do update
	set changes = dirty_hours.changes + 1
)
insert into rollup_arrivals (sender_id, user_id, assistant_id, at, engaged)
select sender_id, user_id, assistant_id, started_at, engaged
from theirs`
)

// followUserNames has users whom a platform knows by several ids be one person.
func followUserNames(ctx context.Context, pool *pgxpool.Pool) error {
	for {
		var taken int
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, queries.LockRollupsSQL); err != nil {
				return err
			}
			rows, _ := tx.Query(ctx, takeUserMarksSQL)
			type mark struct {
				Assistant int32
				Name      string
				Key       string
			}
			marks, err := pgx.CollectRows(rows, pgx.RowToStructByPos[mark])
			if err != nil {
				return err
			}
			taken = len(marks)
			for _, m := range marks {
				user := strings.TrimPrefix(m.Key, conversation.OfUser)
				if err := followNamesOf(ctx, tx, m.Assistant, m.Name, []string{user}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("follow the ids of users: %w", err)
		}
		if taken == 0 {
			return nil
		}
	}
}

// followNamesOf finds all ids of the users who have some, and those who had them before.
func followNamesOf(ctx context.Context, tx pgx.Tx, id int32, assistant string, seeds []string) error {
	rows, _ := tx.Query(ctx, oldNamesSQL, pgx.StrictNamedArgs{"assistant": id, "names": seeds})
	before, err := pgx.CollectRows(rows, pgx.RowTo[[]string])
	if err != nil {
		return err
	}
	seeds = slices.Concat(append(before, seeds)...)
	done := map[string]bool{}
	for len(seeds) > 0 {
		seed := seeds[0]
		if seeds = seeds[1:]; done[seed] {
			continue
		}
		names, err := namesOf(ctx, tx, id, assistant, seed)
		if err != nil {
			return err
		}
		for _, name := range names {
			done[name] = true
		}
		more, err := storeNames(ctx, tx, id, names)
		if err != nil {
			return err
		}
		seeds = append(seeds, more...)
	}
	return nil
}

// namesOf returns all ids of the user who has one, in order; that one alone where they are so many that it is nobody's.
func namesOf(ctx context.Context, tx pgx.Tx, id int32, assistant, seed string) ([]string, error) {
	all := map[string]bool{seed: true}
	for asked := 0; asked < len(all); {
		asked = len(all)
		names := slices.Sorted(maps.Keys(all))
		ids := make([]int64, len(names))
		for i, name := range names {
			ids[i] = conversation.SenderID(assistant, conversation.OfUser+name)
		}
		rows, _ := tx.Query(ctx, usersNamedSQL, pgx.StrictNamedArgs{"assistant": id, "ids": ids, "names": names})
		var key string
		var aliases []string
		if _, err := pgx.ForEachRow(rows, []any{&key, &aliases}, func() error {
			all[strings.TrimPrefix(key, conversation.OfUser)] = true
			for _, name := range aliases {
				all[name] = true
			}
			return nil
		}); err != nil {
			return nil, err
		}
		if len(all) > queries.MostSenders {
			return []string{seed}, nil
		}
	}
	return slices.Sorted(maps.Keys(all)), nil
}

// storeNames stores that ids are one person's, and returns those that had been together with them and are not any more.
func storeNames(ctx context.Context, tx pgx.Tx, id int32, names []string) (apart []string, err error) {
	rows, _ := tx.Query(ctx, oldNamesSQL, pgx.StrictNamedArgs{"assistant": id, "names": names})
	before, err := pgx.CollectRows(rows, pgx.RowTo[[]string])
	if err != nil {
		return nil, err
	}
	if len(before) == 0 && len(names) == 1 || len(before) == 1 && slices.Equal(before[0], names) {
		return nil, nil
	}
	touched := slices.Clone(names)
	for _, name := range slices.Concat(before...) {
		if !slices.Contains(touched, name) {
			touched, apart = append(touched, name), append(apart, name)
		}
	}
	var q pgx.Batch
	q.Queue(dropNamesSQL, pgx.StrictNamedArgs{"assistant": id, "names": touched})
	if len(names) > 1 {
		q.Queue(addNamesSQL, pgx.StrictNamedArgs{"assistant": id, "names": names, "person": names[0]})
	}
	q.Queue(relinkSQL, pgx.StrictNamedArgs{"assistant": id, "names": touched})
	return apart, tx.SendBatch(ctx, &q).Close()
}
