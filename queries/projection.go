package queries

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

const lockShardsSQL = `select shard from ingest_shards where shard = any(@shards::smallint[])
	order by shard for no key update`

// A lock that is not to be had in a minute is the database's trouble; work that takes longer is the batch's.
const LockTimeoutSQL = `set local lock_timeout = '60s'`

const projectionsSQL = `select sender_id, newest_time, bodies_removed_until, state from projections
	where sender_id = any(@ids::bigint[])`

// State is the stored state of a sender's fold.
type State struct {
	Newest             float64 // time of the newest event, seconds
	BodiesRemovedUntil int64   // time up to which bodies of events are gone, microseconds; 0 for none
	Bytes              []byte
}

const erasedSQL = `select sender_id, (extract(epoch from until) * 1000000)::bigint as until from erased
	where sender_id = any(@ids::bigint[])`

// LockShards locks the virtual shards, in their order, until the transaction ends, and returns the states of the
// senders among ids that have one; and until when, in microseconds, events of those are not stored any more who were
// erased.
func LockShards(
	ctx context.Context, tx pgx.Tx, shards []int16, ids []int64,
) (states map[int64]State, erased map[int64]int64, err error) {
	var q pgx.Batch
	q.Queue(LockTimeoutSQL)
	q.Queue(lockShardsSQL, pgx.StrictNamedArgs{"shards": shards})
	q.Queue(projectionsSQL, pgx.StrictNamedArgs{"ids": ids})
	q.Queue(erasedSQL, pgx.StrictNamedArgs{"ids": ids})
	res := tx.SendBatch(ctx, &q)
	defer res.Close()
	for range 2 {
		if _, err := res.Exec(); err != nil {
			return nil, nil, fmt.Errorf("lock shards: %w", err)
		}
	}
	rows, _ := res.Query()
	states = make(map[int64]State, len(ids))
	var id int64
	var newest float64
	var sealed int64
	var state []byte
	if _, err := pgx.ForEachRow(rows, []any{&id, &newest, &sealed, &state}, func() error {
		states[id] = State{newest, sealed, append([]byte(nil), state...)}
		return nil
	}); err != nil {
		return nil, nil, fmt.Errorf("load projections: %w", err)
	}
	rows, _ = res.Query()
	erased = map[int64]int64{}
	var until int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &until}, func() error {
		erased[id] = until
		return nil
	}); err != nil {
		return nil, nil, fmt.Errorf("load who was erased: %w", err)
	}
	return states, erased, res.Close()
}

// once: most databases have none

// ConversationKey names a conversation.
type ConversationKey struct {
	SenderID int64
	ID       conversation.UUID
}

// KeyColumns are the keys of conversations as columns.
func KeyColumns(all []ConversationKey) (senders []int64, ids [][16]byte) {
	senders, ids = make([]int64, len(all)), make([][16]byte, len(all))
	for i, p := range all {
		senders[i], ids[i] = p.SenderID, p.ID
	}
	return senders, ids
}
