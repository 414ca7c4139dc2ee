package queries

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// monthOf returns the month, in UTC, as partitions are cut.
func monthOf(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// WholeMonth tells whether all conversations that have anything in the month of a time are to be deleted.
func WholeMonth(
	ctx context.Context, db DB, rules []RetentionRule, at, now time.Time, zone *time.Location,
) (bool, error) {
	month := monthOf(at)
	w := &Where{Args: pgx.StrictNamedArgs{"month_from": month.AddDate(0, 0, -1), "month_until": month.AddDate(0, 1, 1)}}
	text, _ := w.expired(KeptConversations, rules, now, zone)
	rows, _ := db.Query(
		ctx,
		"select not exists (select from "+keptText+" where c.started_at < @month_until and c.last_at >= "+
			"@month_from and not ("+text+" and not "+heldText+"))",
		w.Args,
	)
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
}

const pendingSQL = `select coalesce((select inhdetachpending from pg_inherits where inhrelid = to_regclass(@name)),
	false)`

const emptyMonthSQL = `select not exists (select from conversations c where c.started_at < @until
	and c.last_at >= @from) and not exists (select from journals c where c.started_at < @until and c.last_at >= @from)`

// DropMonths drops the partitions of doomed months in which no conversation has anything left, and returns their names.
// It takes each off without stopping readers or writers, looks again, and puts it back where somebody stored something
// meanwhile.
func DropMonths(ctx context.Context, db DB) (dropped []string, err error) {
	rows, _ := db.Query(ctx, doomedSQL)
	months, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil || len(months) == 0 {
		return nil, err
	}
	for _, m := range months {
		month := m.UTC()
		for _, parent := range partitioned {
			gone, err := dropPart(ctx, db, parent, fmt.Sprintf("%s_%s", parent, month.Format("2006_01")), month)
			if err != nil {
				return dropped, err
			}
			dropped = append(dropped, gone...)
		}
	}
	return dropped, nil
}

// dropPart drops one partition, wherever somebody was stopped before. Its name is made of the catalogue's and a date.
func dropPart(ctx context.Context, db DB, parent, name string, month time.Time) ([]string, error) {
	rows, _ := db.Query(ctx, partitionSQL, pgx.StrictNamedArgs{"name": name})
	there, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int32])
	if err != nil || there == 0 {
		return nil, err
	}
	empty, err := emptyMonth(ctx, db, month)
	if err != nil {
		return nil, err
	}
	rows, _ = db.Query(ctx, pendingSQL, pgx.StrictNamedArgs{"name": name})
	pending, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
	if err != nil {
		return nil, err
	}
	switch {
	case pending:
		_, err = db.Exec(ctx, fmt.Sprintf("alter table %s detach partition %s finalize", parent, name))
	case there == 2 && !empty:
		return nil, nil
	case there == 2:
		_, err = db.Exec(ctx, fmt.Sprintf("alter table %s detach partition %s concurrently", parent, name))
	}
	if err != nil {
		return nil, fmt.Errorf("take off %s: %w", name, err)
	}
	if empty, err = emptyMonth(ctx, db, month); err != nil {
		return nil, err
	}
	if !empty {
		if _, err := db.Exec(ctx, attachSQL(parent, name, month)); err != nil {
			return nil, fmt.Errorf("put %s back: %w", name, err)
		}
		return nil, nil
	}
	if _, err := db.Exec(ctx, "drop table "+name); err != nil {
		return nil, fmt.Errorf("drop %s: %w", name, err)
	}
	return []string{name}, nil
}

// emptyMonth tells whether no conversation has anything in a month.
func emptyMonth(ctx context.Context, db DB, month time.Time) (bool, error) {
	rows, _ := db.Query(ctx, emptyMonthSQL, pgx.StrictNamedArgs{
		"from": month.AddDate(0, 0, -1), "until": month.AddDate(0, 1, 1),
	})
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
}

const (
	doomSQL   = `insert into dropping_months (month) values (@month) on conflict do nothing`
	doomedSQL = `select month::timestamptz from dropping_months order by month`
	spareSQL  = `delete from dropping_months where month = @month`
)

// Doom notes that the partitions of the month of a time are going to be dropped.
func MarkForDrop(ctx context.Context, db DB, at time.Time) error {
	_, err := db.Exec(ctx, doomSQL, pgx.StrictNamedArgs{"month": monthOf(at)})
	return err
}

// sweepSQL deletes what is left of conversations that are gone.
var sweepSQL = []string{
	`delete from events t where t.at >= @from and t.at < @until and not exists (select from conversations c
	where c.sender_id = t.sender_id and c.id = t.conversation_id) and not exists (select from journals c
	where c.sender_id = t.sender_id and c.id = t.conversation_id)`,
	`delete from event_payloads t where t.at >= @from and t.at < @until and not exists (select from conversations c
	where c.sender_id = t.sender_id and c.id = t.conversation_id) and not exists (select from journals c
	where c.sender_id = t.sender_id and c.id = t.conversation_id)`,
	`delete from messages t where t.at >= @from and t.at < @until and not exists (select from conversations c
	where c.sender_id = t.sender_id and c.id = t.conversation_id)`,
}

// SettleMonths ends what Doom began: months that are empty have been dropped; of those that the rules do not delete
// whole any more, what is left of deleted conversations is deleted row by row.
func SettleMonths(ctx context.Context, tx pgx.Tx, rules []RetentionRule, now time.Time, zone *time.Location) error {
	rows, _ := tx.Query(ctx, doomedSQL)
	months, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil {
		return err
	}
	for _, month := range months {
		rows, _ := tx.Query(ctx, partitionExistsSQL, pgx.StrictNamedArgs{
			"name": "events_" + month.UTC().Format("2006_01"),
		})
		there, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
		if err != nil {
			return err
		}
		if there {
			whole, err := WholeMonth(ctx, tx, rules, month, now, zone)
			if err != nil {
				return err
			}
			empty, err := emptyMonth(ctx, tx, month.UTC())
			if err != nil {
				return err
			}
			if whole && !empty {
				continue // the next run goes on with it
			}
			for _, sql := range sweepSQL {
				if _, err := tx.Exec(ctx, sql, pgx.StrictNamedArgs{
					"from": month, "until": month.UTC().AddDate(0, 1, 0),
				}); err != nil {
					return err
				}
			}
		}
		if _, err := tx.Exec(ctx, spareSQL, pgx.StrictNamedArgs{"month": month}); err != nil {
			return err
		}
	}
	return nil
}
