package queries

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// FoldKind is why what is stored is folded again.
type FoldKind string

// The kinds of runs.
const (
	FoldToMask     FoldKind = "mask"
	FoldToRebuild  FoldKind = "rebuild"
	FoldToMerge    FoldKind = "merge"    // what is stored of Assistant moves to Target
	FoldToSeparate FoldKind = "separate" // what came by the name Target moves from Assistant to it
	FoldToMap      FoldKind = "map"      // what the webhook Target brought is mapped again
)

// FoldRun folds what is stored again.
type FoldRun struct {
	ID        conversation.UUID
	Kind      FoldKind
	Assistant string // "" for all
	Target    string // of a merge or a separation
	AccountID *conversation.UUID
	By        string
	Rules     []byte // of masking, as they were when it was asked for
	CreatedAt time.Time
	EndedAt   *time.Time
	After     int64 // the sender up to which it is done
	Senders   int64
	Total     int64
	Events    int64 // that were changed
	Others    int64 // notes and rejected events that were
	Error     string
	Pass      int16 // of mapping again
	Version   int32 // of the webhook, by which it is mapped again
}

const (
	foldColumns = `
select r.id, r.kind, r.assistant, r.target, r.account_id, coalesce(u.name, '') as by, r.rules, r.created_at,
	r.ended_at, r.after, r.senders, r.total, r.events, r.others, r.error, r.pass, r.version
from fold_runs r
left join accounts u on u.id = r.account_id
`
	foldRunsSQL   = foldColumns + `where r.kind = @kind order by r.created_at desc, r.id limit 20`
	foldRunSQL    = foldColumns + `where r.id = @id`
	insertFoldSQL = `insert into fold_runs (id, kind, assistant, target, account_id, rules, created_at, total)
	select @id, @kind, @assistant, @target, @user, @rules::jsonb, @at, (select count(*) from senders s
		join assistants a on a.id = s.assistant_id where @assistant = '' or a.name = @assistant)`
	insertMapSQL = `insert into fold_runs (id, kind, assistant, target, account_id, created_at, version, total)
	select @id, 'map', '', @webhook::uuid::text, @user, @at, w.version,
		(select 2 * count(*) from webhook_bodies b where b.webhook_id = w.id)
	from webhooks w where w.id = @webhook`
	openMapSQL = `select exists (select from fold_runs where ended_at is null
	and (kind = 'map' and target = @webhook::uuid::text or kind in ('merge', 'separate', 'mask')))`
	mapRunsSQL   = foldColumns + `where r.kind = 'map' and r.target = @webhook::uuid::text order by r.created_at desc, r.id limit 5`
	lockFoldsSQL = `lock table fold_runs in share row exclusive mode`
	openFoldSQL  = `
select exists (
	select from fold_runs
	where ended_at is null and (kind = @kind and (@assistant = '' or assistant in ('', @assistant))
		or kind = 'map' and @kind in ('merge', 'separate', 'mask')
		or @target <> '' and kind in ('merge', 'separate') and (assistant in (@assistant, @target)
			or target in (@assistant, @target))))`
	advanceFoldSQL = `update fold_runs set after = @after, senders = senders + @senders, events = events + @events
	where id = @id`
	advanceMapSQL = `update fold_runs set pass = @pass, after = @after, senders = senders + @bodies,
	events = events + @events where id = @id`
	endFoldSQL = `update fold_runs set ended_at = @at, others = @others, error = @error where id = @id`
)

// StartFold notes that what is stored is to be folded again: of an assistant ("" for all), and by rules of masking (nil
// for none); ErrConflict while that is under way.
func StartFold(ctx context.Context, tx pgx.Tx, run FoldRun, m *Masking) error {
	if _, err := tx.Exec(ctx, lockFoldsSQL); err != nil { // who asks at the same moment waits
		return err
	}
	rows, _ := tx.Query(ctx, openFoldSQL, pgx.StrictNamedArgs{
		"kind": string(run.Kind), "assistant": run.Assistant, "target": run.Target,
	})
	if open, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool]); err != nil || open {
		return errors.Join(err, ErrConflict)
	}
	var rules []byte
	if m != nil {
		var err error
		if rules, err = json.Marshal(m.Rules); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, insertFoldSQL, pgx.StrictNamedArgs{
		"id": run.ID, "kind": string(run.Kind), "assistant": run.Assistant, "target": run.Target,
		"user": NullUUID(*run.AccountID), "rules": rules, "at": run.CreatedAt,
	})
	return err
}

// StartMap notes that what a webhook brought is to be mapped again by its version of now; ErrConflict while that, or what
// moves or masks stored events, is under way.
func StartMap(ctx context.Context, tx pgx.Tx, id, webhook, by conversation.UUID, now time.Time) error {
	if _, err := tx.Exec(ctx, lockFoldsSQL); err != nil { // who asks at the same moment waits
		return err
	}
	rows, _ := tx.Query(ctx, openMapSQL, pgx.StrictNamedArgs{"webhook": webhook})
	if open, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool]); err != nil || open {
		return errors.Join(err, ErrConflict)
	}
	_, err := tx.Exec(ctx, insertMapSQL, pgx.StrictNamedArgs{
		"id": id, "webhook": webhook, "user": NullUUID(by), "at": now,
	})
	return err
}

// MapRuns returns the last runs that mapped again what a webhook brought, the newest first.
func MapRuns(ctx context.Context, db DB, webhook conversation.UUID) ([]FoldRun, error) {
	rows, _ := db.Query(ctx, mapRunsSQL, pgx.StrictNamedArgs{"webhook": webhook})
	return pgx.CollectRows(rows, pgx.RowToStructByName[FoldRun])
}

// AdvanceMap notes how far a run that maps again came: in its pass, behind a body, with so many bodies and changed events
// more.
func AdvanceMap(ctx context.Context, db DB, id conversation.UUID, pass int16, after, bodies, events int64) error {
	_, err := db.Exec(ctx, advanceMapSQL, pgx.StrictNamedArgs{
		"id": id, "pass": pass, "after": after, "bodies": bodies, "events": events,
	})
	return err
}

// FoldRuns returns the last runs of a kind, the newest first.
func FoldRuns(ctx context.Context, db DB, kind FoldKind) ([]FoldRun, error) {
	rows, _ := db.Query(ctx, foldRunsSQL, pgx.StrictNamedArgs{"kind": string(kind)})
	return pgx.CollectRows(rows, pgx.RowToStructByName[FoldRun])
}

// FoldRunByID returns a run, or ErrNotFound.
func FoldRunByID(ctx context.Context, db DB, id conversation.UUID) (FoldRun, error) {
	rows, _ := db.Query(ctx, foldRunSQL, pgx.StrictNamedArgs{"id": id})
	return One[FoldRun](rows)
}

// AdvanceFold notes how far a run came, in the transaction that came there.
func AdvanceFold(ctx context.Context, tx pgx.Tx, id conversation.UUID, after, senders, events int64) error {
	_, err := tx.Exec(ctx, advanceFoldSQL, pgx.StrictNamedArgs{
		"id": id, "after": after, "senders": senders, "events": events,
	})
	return err
}

// EndFold ends a run.
func EndFold(ctx context.Context, db DB, id conversation.UUID, others int64, failure string, now time.Time) error {
	_, err := db.Exec(ctx, endFoldSQL, pgx.StrictNamedArgs{"id": id, "others": others, "error": failure, "at": now})
	return err
}

const openFoldsSQL = `select id from fold_runs where ended_at is null and created_at < now() - interval '1 minute'`

// OpenFolds returns the runs that are not over, but for those that begin just now.
func OpenFolds(ctx context.Context, db DB) ([]conversation.UUID, error) {
	rows, _ := db.Query(ctx, openFoldsSQL)
	return pgx.CollectRows(rows, pgx.RowTo[conversation.UUID])
}
