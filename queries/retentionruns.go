package queries

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
)

// RetentionRun is what one run deleted.
type RetentionRun struct {
	ID             conversation.UUID
	StartedAt      time.Time
	EndedAt        *time.Time
	Texts, Events  int64 // conversations of which they were removed
	Conversations  int64
	Statistics     int64 // rows
	Oldest, Newest *time.Time
	Partitions     []string
	More           bool // the run's limit was reached
	Error          string
}

// RetentionRuns returns the last runs that deleted anything or failed, the newest first.
func RetentionRuns(ctx context.Context, db DB) ([]RetentionRun, error) {
	rows, _ := db.Query(ctx, retentionRunsSQL)
	return pgx.CollectRows(rows, pgx.RowToStructByName[RetentionRun])
}

// KeepRetentionRun notes how a run stands.
func KeepRetentionRun(ctx context.Context, db DB, r RetentionRun) error {
	if r.Partitions == nil {
		r.Partitions = []string{}
	}
	_, err := db.Exec(ctx, keepRunSQL, pgx.StrictNamedArgs{
		"id": r.ID, "started": r.StartedAt, "ended": r.EndedAt, "texts": r.Texts, "events": r.Events,
		"conversations": r.Conversations, "statistics": r.Statistics, "oldest": r.Oldest, "newest": r.Newest,
		"partitions": r.Partitions, "more": r.More, "error": r.Error,
	})
	return err
}

// FrozenBefore returns the time before which conversations of the filter's range may have been deleted; nil for none.
func FrozenBefore(ctx context.Context, db DB, f metric.Filter, now time.Time, zone *time.Location) (*time.Time, error) {
	from, _ := f.Range.Bounds(now, zone)
	rows, _ := db.Query(ctx, frozenSQL, pgx.StrictNamedArgs{
		"all": len(f.Assistants) == 0, "assistants": append([]string{}, f.Assistants...), "from": from,
	})
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[*time.Time])
}

var expireStatisticsSQL = []string{
	`delete from rollup_hours where assistant_id = any(@assistants::integer[]) and at < @cutoff`,
	`delete from rollup_days where assistant_id = any(@assistants::integer[]) and at < @cutoff`,
	`delete from rollup_day_sums where assistant_id = any(@assistants::integer[]) and at < @cutoff`,
	`delete from daily_figures where assistant_id = any(@assistants::integer[])
	and day < (@cutoff::timestamptz at time zone (select zone from rollup_state))::date`,
	`delete from daily_flow_figures where assistant_id = any(@assistants::integer[])
	and day < (@cutoff::timestamptz at time zone (select zone from rollup_state))::date`,
	`delete from review_remains where assistant_id = any(@assistants::integer[]) and started_at < @cutoff`,
	`delete from removed_users where assistant_id = any(@assistants::integer[]) and first_at < @cutoff`,
}

// ExpireStatistics deletes figures that the rules do not keep, and returns how many rows those were.
func ExpireStatistics(
	ctx context.Context, tx pgx.Tx, rules []RetentionRule, now time.Time, zone *time.Location,
) (n int64, err error) {
	rows, _ := tx.Query(ctx, assistantNamesSQL)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return 0, err
	}
	for _, r := range rules {
		if r.StatisticsDays == nil {
			continue
		}
		var ids []int32
		for _, name := range names {
			own := slices.ContainsFunc(
				rules, func(o RetentionRule) bool { return o.Assistant == name && o.Environment+o.Channel == "" },
			)
			if r.Assistant == name || r.Assistant == "" && !own {
				ids = append(ids, conversation.SmallID("assistant", name))
			}
		}
		for _, sql := range expireStatisticsSQL {
			tag, err := tx.Exec(ctx, sql, pgx.StrictNamedArgs{
				"assistants": ids, "cutoff": Cutoff(*r.StatisticsDays, now, zone),
			})
			if err != nil {
				return n, err
			}
			n += tag.RowsAffected()
		}
	}
	return n, nil
}
