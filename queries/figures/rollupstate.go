package figures

import (
	"context"
	"time"

	"turnwise/queries"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// rollupVersion grows when what is packed changes its meaning.
const rollupVersion = 6

const rollupStateSQL = `select zone, version from rollup_state`

const setRollupStateSQL = `
insert into rollup_state (zone, version)
values (@zone, @version)
on conflict (one) do update
set zone = excluded.zone, version = excluded.version`

const markAllSQL = `
insert into dirty_hours (hour, assistant_id, shard, generation)
select distinct date_trunc('hour', started_at, 'UTC'), assistant_id, -1, coalesce((select generation
	from rollup_state), 0)
from conversations
on conflict (hour, assistant_id, shard, generation) do update
set changes = dirty_hours.changes + 1`

var clearRollupsSQL = []string{
	// who stores and who reads goes on
	`lock table rollup_state, rollup_hours, rollup_days, rollup_day_sums in exclusive mode`,
	`delete from rollup_hours s where not exists (select from final_figures f where f.assistant_id = s.assistant_id
	and s.at < f.before)`,
	`delete from rollup_days d where not exists (select from final_figures f where f.assistant_id = d.assistant_id
	and d.at < f.before)`,
	`delete from rollup_day_sums d where not exists (select from final_figures f where f.assistant_id = d.assistant_id
	and d.at < f.before)`,
	`delete from daily_figures d where not exists (select from final_figures f join rollup_state s on true
	where f.assistant_id = d.assistant_id and d.day < (f.before at time zone s.zone)::date)`,
	`delete from daily_flow_figures d where not exists (select from final_figures f join rollup_state s on true
	where f.assistant_id = d.assistant_id and d.day < (f.before at time zone s.zone)::date)`,
	`delete from dirty_days`,
}

// state tells whether the rollups are those of the grid.
func (g Grid) current(ctx context.Context, db queries.DB) (bool, error) {
	rows, _ := db.Query(ctx, rollupStateSQL)
	type state struct {
		Zone    string
		Version int
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[state])
	return len(all) == 1 && all[0] == state{g.Zone.String(), rollupVersion}, err
}

// RollupZone returns the zone whose days the rollups have; UTC before there are any.
func RollupZone(ctx context.Context, db queries.DB) (string, error) {
	rows, _ := db.Query(ctx, `select coalesce((select zone from rollup_state), 'UTC')`)
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[string])
}

// PrepareRollups marks everything to be counted again when the zone or the reading of what is packed changed.
func PrepareRollups(ctx context.Context, pool *pgxpool.Pool, g Grid) error {
	if ok, err := g.current(ctx, pool); ok || err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		for _, sql := range clearRollupsSQL {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, setRollupStateSQL, pgx.StrictNamedArgs{
			"zone": g.Zone.String(), "version": rollupVersion,
		}); err != nil {
			return err
		}
		if err := restFrozen(ctx, tx, g); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, markAllSQL)
		return err
	})
}

const (
	frozenSlotsSQL = `select distinct s.at, s.assistant_id from rollup_hours s
	join final_figures f on f.assistant_id = s.assistant_id and s.at < f.before`
	forgetFrozenDaysSQL = `delete from rollup_days`
	forgetFrozenSumsSQL = `delete from rollup_day_sums`
	forgetAllDailySQL   = `delete from daily_figures`
	forgetAllFlowsSQL   = `delete from daily_flow_figures`
)

// restFrozen has the days of frozen slots, which cannot be counted again, added up for the grid's zone.
func restFrozen(ctx context.Context, tx pgx.Tx, g Grid) error {
	rows, _ := tx.Query(ctx, frozenSlotsSQL)
	slots, err := pgx.CollectRows(rows, pgx.RowToStructByName[AssistantHour])
	if err != nil || len(slots) == 0 {
		return err
	}
	for _, sql := range []string{forgetFrozenDaysSQL, forgetFrozenSumsSQL, forgetAllDailySQL, forgetAllFlowsSQL} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	seen := map[hourKey]bool{}
	var days []AssistantHour
	for _, s := range slots {
		day := AssistantHour{g.DayOf(s.At), s.Assistant}
		if k := (hourKey{day.At.UnixMicro(), day.Assistant}); !seen[k] {
			seen[k] = true
			days = append(days, day)
		}
	}
	ats, assistants := columns(days)
	_, err = tx.Exec(ctx, staleDaysSQL, pgx.StrictNamedArgs{
		"ats": ats, "assistants": assistants, "now": time.Unix(0, 0),
	})
	return err
}

// RebuildRollups counts everything again.
func RebuildRollups(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, markAllSQL)
	return err
}
