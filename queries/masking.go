package queries

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/mask"
)

// Masking is what is masked of personal data, and when.
type Masking struct {
	mask.Rules `yaml:",inline"`
	OnArrival  bool `json:"on_arrival" yaml:"on_arrival"` // before anything is stored
	OnDisplay  bool `json:"on_display" yaml:"on_display"` // before anything is shown or handed out
	// of the ids of masked events; there from the first time that something is masked on arrival
	Key []byte `json:"-" yaml:"-"`
}

// Measure refuses rules whose patterns take long, which an earlier version may have let in.
func (m Masking) Measure() error { return mask.Measure(m.Rules) }

// UnmarshalYAML reads the rules; those that are not there are as by default.
func (m *Masking) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Masking
	*m = Masking{Rules: mask.All()}
	return unmarshal((*plain)(m))
}

// MaskingRules returns them; without any, what is known by its form would be masked, but nothing is.
func MaskingRules(ctx context.Context, db DB) (m Masking, err error) {
	m.Rules = mask.All()
	rows, _ := db.Query(ctx, settingSQL, pgx.StrictNamedArgs{"name": "masking"})
	var value []byte
	if _, err := pgx.ForEachRow(
		rows, []any{&value, &m.Key}, func() error { return json.Unmarshal(value, &m) },
	); err != nil {
		return m, fmt.Errorf("rules of masking: %w", err)
	}
	return m, nil
}

// SetMasking keeps the rules.
func SetMasking(ctx context.Context, db DB, m Masking, by conversation.UUID, now time.Time) error {
	was, err := MaskingRules(ctx, db)
	if err != nil {
		return err
	}
	if m.Key = was.Key; m.Key == nil {
		m.Key = make([]byte, 32)
		_, _ = rand.Read(m.Key) // never fails
	}
	if err := setSetting(
		ctx, db, "masking", m, m.Key, by, now,
	); err != nil || !m.OnDisplay || was.OnDisplay && reflect.DeepEqual(m.Rules, was.Rules) {
		return err
	}
	if !was.OnDisplay { // in files of before all stands in the clear
		if err := DropFiles(ctx, db, now, now); err != nil {
			return err
		}
	}
	return refreshAllTexts(ctx, db) // for the words that are left
}

// textsOfPeople are the texts beside conversations into which somebody may have written personal data: a statement that
// reads a page of them, and one that writes them.
const (
	rejectedTextsSQL = `select id, body from rejected_events
	where id in (select x.id from (select id, sum(octet_length(body)) over (order by id) - octet_length(body) as
		before from (select id, body from rejected_events where id > @after order by id limit 200) as few) as x
			where x.before < 8000000) order by id for update`
	writeRejectedSQL = `update rejected_events t set body = k.body
	from unnest(@ids::uuid[], @bodies::bytea[]) as k (id, body) where t.id = k.id`
	noteTextsSQL = `select id, convert_to(text, 'UTF8') from notes where id > @after order by id
	limit 500 for update`
	writeNotesSQL = `update notes t set text = convert_from(k.body, 'UTF8'), revision = revision + 1
	from unnest(@ids::uuid[], @bodies::bytea[]) as k (id, body) where t.id = k.id`
	chartNoteTextsSQL = `select id, convert_to(text, 'UTF8') from chart_notes where id > @after order by id
	limit 500 for update`
	writeChartNotesSQL = `update chart_notes t set text = convert_from(k.body, 'UTF8')
	from unnest(@ids::uuid[], @bodies::bytea[]) as k (id, body) where t.id = k.id`
	wasTextsSQL = `select id, convert_to(was, 'UTF8') from review_acts where id > @after and kind = 'note'
	order by id limit 500 for update`
	writeWasSQL = `update review_acts t set was = convert_from(k.body, 'UTF8')
	from unnest(@ids::uuid[], @bodies::bytea[]) as k (id, body) where t.id = k.id`
	becameTextsSQL = `select id, convert_to(became, 'UTF8') from review_acts where id > @after and kind = 'note'
	order by id limit 500 for update`
	writeBecameSQL = `update review_acts t set became = convert_from(k.body, 'UTF8')
	from unnest(@ids::uuid[], @bodies::bytea[]) as k (id, body) where t.id = k.id`
)

const (
	moveMarksSQL = `update message_marks t set message_id = k.new
	from unnest(@olds::uuid[], @news::uuid[]) as k (old, new) where t.sender_id = @sender and t.message_id = k.old`
	moveNotesSQL = `update notes t set message_id = k.new from unnest(@olds::uuid[], @news::uuid[]) as k (old,
	new) where t.sender_id = @sender and t.message_id = k.old`
	moveActsSQL = `update review_acts t set subject = k.new
	from unnest(@olds::uuid[], @news::uuid[]) as k (old, new) where t.sender_id = @sender and t.subject = k.old
		and t.kind = 'mark'`
	dropFilesSQL = `with gone as (update exports
	set state = 'cancelled', error = 'was removed: personal data were masked since', expires_at = @now
		where created_at < @before and state in ('waiting', 'running', 'done') returning id) delete
			from export_parts p using gone where p.export_id = gone.id`
	makeAgainSQL = `update report_runs set files = '[]' where created_at < @before
	and state in ('waiting', 'running')`
	dropReportFilesSQL = `delete from report_files f using report_runs r where r.id = f.run_id
	and r.created_at < @before`
)

// MoveMessages has what reviewers said of messages of a sender follow them to their new ids.
func MoveMessages(ctx context.Context, tx pgx.Tx, sender int64, olds, news []conversation.UUID) error {
	if len(olds) == 0 {
		return nil
	}
	var q pgx.Batch
	for _, sql := range []string{moveMarksSQL, moveNotesSQL, moveActsSQL} {
		q.Queue(sql, pgx.StrictNamedArgs{"sender": sender, "olds": UUIDs(olds), "news": UUIDs(news)})
	}
	return tx.SendBatch(ctx, &q).Close()
}

// MaskOthers masks what people wrote and what was rejected, and returns how many texts changed.
func MaskOthers(ctx context.Context, pool interface {
	DB
	Begin(ctx context.Context) (pgx.Tx, error)
}, m *mask.Masker,
) (changed int64, err error) {
	if m.HasSlots() { // which values these are stands in no body
		if _, err := pool.Exec(ctx, blankWebhookBodiesSQL); err != nil {
			return 0, err
		}
	}
	text := func(b []byte) ([]byte, int) {
		s, n := m.Text(string(b))
		return []byte(s), n
	}
	for _, x := range []struct {
		read, write string
		mask        func([]byte) ([]byte, int)
	}{
		{rejectedTextsSQL, writeRejectedSQL, m.Rejected},
		{webhookTextsSQL, writeWebhookSQL, m.Rejected},
		{noteTextsSQL, writeNotesSQL, text},
		{chartNoteTextsSQL, writeChartNotesSQL, text},
		{wasTextsSQL, writeWasSQL, text},
		{becameTextsSQL, writeBecameSQL, text},
	} {
		for after := (conversation.UUID{}); ; {
			n, last, err := maskPage(ctx, pool, x.read, x.write, after, x.mask)
			if err != nil {
				return changed, err
			}
			if changed += n; last == after {
				break
			}
			after = last
		}
	}
	return changed, nil
}

func maskPage(ctx context.Context, pool interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}, read, write string, after conversation.UUID, mask func([]byte) ([]byte, int),
) (n int64, last conversation.UUID, err error) {
	last = after
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		var ids [][16]byte
		var bodies [][]byte
		var id [16]byte
		var body []byte
		rows, _ := tx.Query(ctx, read, pgx.StrictNamedArgs{"after": after})
		if _, err := pgx.ForEachRow(rows, []any{&id, &body}, func() error {
			last = id
			if masked, found := mask(body); found > 0 {
				ids, bodies = append(ids, id), append(bodies, masked)
			}
			return nil
		}); err != nil || len(ids) == 0 {
			return err
		}
		n = int64(len(ids))
		_, err := tx.Exec(ctx, write, pgx.StrictNamedArgs{"ids": ids, "bodies": bodies})
		return err
	})
	return n, last, err
}

// DropFiles removes the files of exports and reports that were made before: what is masked since may stand in them.
func DropFiles(ctx context.Context, db DB, before, now time.Time) error {
	if _, err := db.Exec(ctx, dropFilesSQL, pgx.StrictNamedArgs{"before": before, "now": now}); err != nil {
		return err
	}
	if _, err := db.Exec(ctx, dropReportFilesSQL, pgx.StrictNamedArgs{"before": before}); err != nil {
		return err
	}
	_, err := db.Exec(ctx, makeAgainSQL, pgx.StrictNamedArgs{"before": before})
	return err
}

// DisplayMask masks what is shown and handed out; nil when nothing is masked there.
func DisplayMask(ctx context.Context, db DB) (*mask.Masker, error) {
	rules, err := MaskingRules(ctx, db)
	if err != nil || !rules.OnDisplay {
		return nil, err
	}
	return mask.New(rules.Rules)
}

const (
	revealSQL = `
insert into reveals (account_id, sender_id, conversation_id, reason, at, until)
values (@user, @sender, @conversation, @reason, @at, @until)
on conflict (sender_id, conversation_id, account_id) do update
set reason = excluded.reason, at = excluded.at, until = excluded.until`
	revealedSQL = `select until from reveals where sender_id = @sender and conversation_id = @conversation
	and account_id = @user and until > @now`
	forgetRevealSQL = `delete from reveals where until < @now::timestamptz - interval '1 day'`
)

// Reveal lets a user see the personal data of a conversation for a while.
func Reveal(
	ctx context.Context, tx pgx.Tx, of ConversationKey, user conversation.UUID, reason string, now, until time.Time,
) error {
	if _, err := tx.Exec(ctx, forgetRevealSQL, pgx.StrictNamedArgs{"now": now}); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, revealSQL, pgx.StrictNamedArgs{
		"user": user, "sender": of.SenderID, "conversation": of.ID, "reason": reason, "at": now, "until": until,
	})
	return err
}

// RevealedUntil is until when a user sees the personal data of a conversation; nil: not.
func RevealedUntil(
	ctx context.Context, db DB, of ConversationKey, user conversation.UUID, now time.Time,
) (*time.Time, error) {
	rows, _ := db.Query(ctx, revealedSQL, pgx.StrictNamedArgs{
		"user": user, "sender": of.SenderID, "conversation": of.ID, "now": now,
	})
	all, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}
