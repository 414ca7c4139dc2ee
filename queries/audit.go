package queries

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// Actor is who does something, and from where.
type Actor struct {
	ID      *conversation.UUID // nil for a program
	Name    string             // address of a user, or what the program is
	Address string             // of the network; "" for a program
}

// AuditAct is something that is written down: its area, a dot, and what is done.
type AuditAct string

// The acts.
const (
	AuditSignedIn          AuditAct = "sign-in.done"
	AuditSignInFailed      AuditAct = "sign-in.failed"
	AuditSignedOut         AuditAct = "sign-in.ended"
	AuditTokenMade         AuditAct = "token.made"
	AuditTokenRevoked      AuditAct = "token.revoked"
	AuditReaderMade        AuditAct = "reader.made"
	AuditReaderDropped     AuditAct = "reader.dropped"
	AuditAccountMade       AuditAct = "user.made"
	AuditAccountChanged    AuditAct = "user.changed"
	AuditPasswordSet       AuditAct = "user.password"
	AuditUserInvited       AuditAct = "user.invited"
	AuditSessionsEnded     AuditAct = "user.sessions"
	AuditSecondFactor      AuditAct = "user.second"
	AuditCriteriaUsed      AuditAct = "criteria.used"
	AuditSettingsChanged   AuditAct = "settings.changed"
	AuditFolded            AuditAct = "settings.folded"
	AuditMarkersChanged    AuditAct = "markers.changed"
	AuditMerged            AuditAct = "assistant.merged" // or renamed
	AuditSeparated         AuditAct = "assistant.separated"
	AuditRetentionChanged  AuditAct = "retention.changed"
	AuditRetentionRan      AuditAct = "retention.ran"
	AuditHoldMade          AuditAct = "hold.made"
	AuditHoldReleased      AuditAct = "hold.released"
	AuditExportMade        AuditAct = "export.made"
	AuditExportFetched     AuditAct = "export.fetched"
	AuditReportKept        AuditAct = "report.kept"
	AuditReportPaused      AuditAct = "report.paused"
	AuditReportSent        AuditAct = "report.sent" // by hand
	AuditReportDeleted     AuditAct = "report.deleted"
	AuditRejectedReplayed  AuditAct = "rejected.replayed"
	AuditRejectedDiscarded AuditAct = "rejected.discarded"
	AuditRejectedFetched   AuditAct = "rejected.fetched"
	AuditSourcePaused      AuditAct = "source.paused"
	AuditSourceResumed     AuditAct = "source.resumed"
	AuditWebhookMade       AuditAct = "webhook.made"
	AuditWebhookChanged    AuditAct = "webhook.changed"
	AuditWebhookDropped    AuditAct = "webhook.dropped"
	AuditWebhookMapped     AuditAct = "webhook.mapped"
	AuditOutgoingMade      AuditAct = "outgoing.made"
	AuditOutgoingChanged   AuditAct = "outgoing.changed"
	AuditOutgoingKey       AuditAct = "outgoing.key"
	AuditOutgoingTested    AuditAct = "outgoing.tested"
	AuditOutgoingPaused    AuditAct = "outgoing.paused"
	AuditOutgoingResumed   AuditAct = "outgoing.resumed"
	AuditOutgoingRetried   AuditAct = "outgoing.retried"
	AuditOutgoingDeleted   AuditAct = "outgoing.deleted"
	AuditJobRetried        AuditAct = "job.retried"
	AuditJobCancelled      AuditAct = "job.cancelled"
	AuditJobsPaused        AuditAct = "job.paused"
	AuditJobsResumed       AuditAct = "job.resumed"
	AuditPersonFound       AuditAct = "person.found"
	AuditPersonExported    AuditAct = "person.exported"
	AuditPersonErased      AuditAct = "person.erased"
	AuditRevealed          AuditAct = "person.revealed"
	AuditMasked            AuditAct = "person.masked"
	AuditFetched           AuditAct = "audit.fetched"
	AuditConversationRead  AuditAct = "read.conversation"
	AuditListRead          AuditAct = "read.list"
	AuditRejectedRead      AuditAct = "read.rejected"
	AuditRefused           AuditAct = "request.refused"
	AuditToolCalled        AuditAct = "tool.called" // by a model
	AuditTagDeleted        AuditAct = "tag.deleted"
	AuditViewDeleted       AuditAct = "view.deleted"
	AuditBulkDone          AuditAct = "bulk.done"
	AuditAssigned          AuditAct = "review.assigned"
	AuditExportCancelled   AuditAct = "export.cancelled"
	AuditExpired           AuditAct = "audit.expired"
)

// AuditEntry is something that somebody did.
type AuditEntry struct {
	ID       int64
	At       time.Time
	ActorID  *conversation.UUID
	Actor    string
	Address  string
	Act      AuditAct
	ObjectID string // of what it was done to; "" where there is but one
	Object   string // its name at that time
	Before   json.RawMessage
	After    json.RawMessage
	Hash     []byte
}

// chained returns the hash of an entry that follows one with a hash.
func (e *AuditEntry) chained(last []byte) ([]byte, error) {
	text, err := json.Marshal([]any{
		e.ID, e.At.UTC().Format(time.RFC3339Nano), e.ActorID, e.Actor, e.Address, e.Act, e.ObjectID, e.Object,
		string(e.Before), string(e.After),
	})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append(bytes.Clone(last), text...))
	return sum[:], nil
}

const (
	auditHeadSQL    = `select id, hash, gone, gone_hash from audit_head`
	lockAuditSQL    = auditHeadSQL + ` for update`
	setAuditHeadSQL = `update audit_head set id = @id, hash = @hash`
	insertAuditSQL  = `
insert into audit_log (id, at, actor_id, actor, address, act, object_id, object, before, after, hash)
values (@id, @at, @actor_id, @actor, @address, @act, @object_id, @object, @before::json, @after::json, @hash)`
	auditColumns = `select id, at, actor_id, actor, address, act, object_id, object, before::text as before,
	after::text as after, hash from audit_log `
	auditSQL = auditColumns + `
where id < @before
	and (@actor = '' or position(lower(@actor) in lower(actor)) > 0)
	and (@area = '' or act = @area or starts_with(act, @area || '.'))
	and (@object = '' or object_id = @object or position(lower(@object) in lower(object)) > 0)
	and (@since::timestamptz is null or at >= @since) and (@until::timestamptz is null or at < @until)
order by id desc
limit @limit`
	auditChainSQL = auditColumns + `where id > @after order by id limit 1000`
	auditFirstSQL = `select min(id) from audit_log where at >= @before`
	expireAuditOn = `set local turnwise.audit = 'expire'`
	expireSQL     = `delete from audit_log where id <= @last`
	expiredSQL    = `update audit_head set gone = @last, gone_hash = (select hash from audit_log where id = @last)`
)

// AuditHead is where the audit log begins and ends.
type AuditHead struct {
	ID       int64 // of the last entry; 0 for none
	Hash     []byte
	Gone     int64 // of the last entry that retention removed; 0 for none
	GoneHash []byte
}

// Noted is something to be written down. Before and after are what is marshalled as JSON; nil for nothing.
type Noted struct {
	Who              Actor
	At               time.Time
	Act              AuditAct
	ObjectID, Object string
	Before, After    any
}

// Record writes down what is done, in the transaction that does it, which should not go on long: meanwhile nobody else
// writes.
func Record(
	ctx context.Context, tx pgx.Tx, who Actor, now time.Time, act AuditAct, objectID, object string, before, after any,
) error {
	return RecordAll(ctx, tx, []Noted{{who, now, act, objectID, object, before, after}})
}

// RecordAll writes down several at once, in their order.
func RecordAll(ctx context.Context, tx pgx.Tx, all []Noted) error {
	rows, _ := tx.Query(ctx, lockAuditSQL)
	head, err := One[AuditHead](rows)
	if err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	var batch pgx.Batch
	for _, n := range all {
		e := AuditEntry{
			ID: head.ID + 1, At: n.At.UTC().Truncate(time.Microsecond), ActorID: n.Who.ID, Actor: n.Who.Name,
			Address: n.Who.Address, Act: n.Act, ObjectID: n.ObjectID, Object: n.Object,
		}
		for from, into := range map[*any]*json.RawMessage{&n.Before: &e.Before, &n.After: &e.After} {
			if *from == nil {
				continue
			}
			if *into, err = json.Marshal(*from); err != nil {
				return fmt.Errorf("audit log: %w", err)
			}
		}
		if e.Hash, err = e.chained(head.Hash); err != nil {
			return err
		}
		var actorID *[16]byte
		if e.ActorID != nil {
			actorID = (*[16]byte)(e.ActorID)
		}
		text := func(b json.RawMessage) *string {
			if b == nil {
				return nil
			}
			s := string(b)
			return &s
		}
		batch.Queue(insertAuditSQL, pgx.StrictNamedArgs{
			"id": e.ID, "at": e.At, "actor_id": actorID, "actor": e.Actor, "address": e.Address, "act": e.Act,
			"object_id": e.ObjectID, "object": e.Object,
			"before": text(e.Before), "after": text(e.After), "hash": e.Hash,
		})
		head.ID, head.Hash = e.ID, e.Hash
	}
	batch.Queue(setAuditHeadSQL, pgx.StrictNamedArgs{"id": head.ID, "hash": head.Hash})
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	return nil
}

// AuditFilter narrows the audit log; empty fields narrow nothing.
type AuditFilter struct {
	Actor        string // address
	Area         string // an act, or what stands before its dot
	Object       string // id, or a part of a name
	Since, Until *time.Time
	Before       int64 // id; 0 for the newest
}

// AuditLog returns entries, the newest first.
func AuditLog(ctx context.Context, db DB, f AuditFilter, limit int) ([]AuditEntry, error) {
	before := f.Before
	if before == 0 {
		before = 1 << 62
	}
	rows, _ := db.Query(ctx, auditSQL, pgx.StrictNamedArgs{
		"before": before, "actor": f.Actor, "area": f.Area, "object": f.Object, "since": f.Since, "until": f.Until,
		"limit": limit,
	})
	return pgx.CollectRows(rows, pgx.RowToStructByName[AuditEntry])
}

// EachAudit yields all entries of a filter, the newest first.
func EachAudit(ctx context.Context, db DB, f AuditFilter) iter.Seq2[AuditEntry, error] {
	const atOnce = 1000
	return func(yield func(AuditEntry, error) bool) {
		for {
			list, err := AuditLog(ctx, db, f, atOnce)
			if err != nil {
				yield(AuditEntry{}, err)
				return
			}
			for _, e := range list {
				if !yield(e, nil) {
					return
				}
			}
			if len(list) < atOnce {
				return
			}
			f.Before = list[len(list)-1].ID
		}
	}
}

// AuditBroken says at which entry the audit log is not as it was written.
type AuditBroken struct {
	ID  int64
	Why string
}

func (e *AuditBroken) Error() string {
	return fmt.Sprintf("the audit log was changed at entry %d: %s", e.ID, e.Why)
}

// VerifyAudit reads the whole audit log and returns where it ends, or an *AuditBroken.
func VerifyAudit(ctx context.Context, db DB) (AuditHead, error) {
	rows, _ := db.Query(ctx, auditHeadSQL)
	head, err := One[AuditHead](rows)
	if err != nil {
		return head, err
	}
	id, hash := head.Gone, head.GoneHash
	for id < head.ID {
		rows, _ := db.Query(ctx, auditChainSQL, pgx.StrictNamedArgs{"after": id})
		list, err := pgx.CollectRows(rows, pgx.RowToStructByName[AuditEntry])
		if err != nil {
			return head, err
		}
		if len(list) == 0 {
			return head, &AuditBroken{id + 1, "it and what follows are missing"}
		}
		for _, e := range list {
			if e.ID != id+1 {
				return head, &AuditBroken{id + 1, "it is missing"}
			}
			want, err := e.chained(hash)
			if err != nil {
				return head, err
			}
			if !bytes.Equal(want, e.Hash) {
				return head, &AuditBroken{e.ID, "it does not fit its hash and the entry before"}
			}
			if id, hash = e.ID, e.Hash; id == head.ID {
				break // what came since is not of this look
			}
		}
	}
	if !bytes.Equal(hash, head.Hash) {
		return head, &AuditBroken{head.ID, "the end does not fit"}
	}
	return head, nil
}

// ExpireAudit removes entries from before a time and writes down how many.
func ExpireAudit(ctx context.Context, tx pgx.Tx, who Actor, before, now time.Time) (int64, error) {
	rows, _ := tx.Query(ctx, lockAuditSQL)
	head, err := One[AuditHead](rows)
	if err != nil {
		return 0, err
	}
	rows, _ = tx.Query(ctx, auditFirstSQL, pgx.StrictNamedArgs{"before": before})
	first, err := only[*int64](rows)
	if err != nil {
		return 0, err
	}
	last := head.ID
	if first != nil {
		last = *first - 1
	}
	if last <= head.Gone {
		return 0, nil
	}
	args := pgx.StrictNamedArgs{"last": last}
	if _, err := tx.Exec(ctx, expiredSQL, args); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, expireAuditOn); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, expireSQL, args); err != nil {
		return 0, err
	}
	n := last - head.Gone
	return n, Record(
		ctx, tx, who, now, AuditExpired, "", fmt.Sprintf("%d entries", n), nil, map[string]any{"until": last},
	)
}

// Pseudonyms stand for what names people, where these need only be told apart. They are made with a key, so that nobody
// without it can try who somebody is.
type Pseudonyms struct{ key []byte }

const pseudonymsSQL = `select secret from settings where name = 'pseudonyms'`

// LoadPseudonyms reads their key.
func LoadPseudonyms(ctx context.Context, db DB) (Pseudonyms, error) {
	rows, _ := db.Query(ctx, pseudonymsSQL)
	key, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[[]byte])
	if err != nil {
		return Pseudonyms{}, fmt.Errorf("key of pseudonyms: %w", err)
	}
	return Pseudonyms{key}, nil
}

// Of returns the word for a person; "" stays.
func (p Pseudonyms) Of(person string) string {
	if person == "" {
		return ""
	}
	h := hmac.New(sha256.New, p.key)
	h.Write([]byte(person))
	return "person-" + hex.EncodeToString(h.Sum(nil)[:8])
}
