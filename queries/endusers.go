package queries

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/metric"
)

// EndUser is a person with the conversations that a filter asks for.
type EndUser struct {
	Assistant     string
	UserID        string // "" where the platform tells none
	SenderKey     string // of the last of them
	Conversations int64
	FirstAt       time.Time // the person's first conversation ever with the assistant
	LastAt        time.Time // start of the last of them
	Person        int64
}

// When somebody came first is looked up for those who are listed alone.
const endUserColumns = `
select a.name as assistant, c.user_id, s.sender_key, c.conversations, ` + PersonFirstText +
	` as first_at, c.last_at, c.person`

const endUsersFrom = `
from (
	select u.assistant_id, u.person, max(u.user_id) as user_id, (array_agg(u.sender_id order by u.started_at desc,
		u.id desc))[1] as sender_id,
		count(*) as conversations, max(u.started_at) as last_at
	from (select c.assistant_id, c.user_id, c.sender_id, c.started_at, c.id, ` + PersonText +
	` as person from conversations c where `

const endUsersGroup = `) as u
	group by u.assistant_id, u.person`

const endUsersPage = `
	having @before_at::timestamptz is null or (max(u.started_at), u.person) < (@before_at, @before_person::bigint)
	order by last_at desc, u.person desc
	limit @limit`

const endUserJoins = `
) as c
join assistants a on a.id = c.assistant_id
join senders s on s.id = c.sender_id
order by c.last_at desc, c.person desc`

// EndUsers returns at most limit people with conversations of the filter, those who came last first, after the one that
// before names (nil: from the first on).
func EndUsers(
	ctx context.Context, db Sight, f metric.Filter, before *metric.Cursor, limit int, now time.Time,
	zone *time.Location,
) ([]EndUser, error) {
	known, err := LookUp(ctx, db, f, now, zone)
	if err != nil {
		return nil, err
	}
	w := FilterConversations(f, known, now, zone)
	w.Args["limit"], w.Args["before_at"], w.Args["before_person"] = limit, (*time.Time)(nil), int64(0)
	if before != nil {
		at := time.UnixMicro(before.At)
		w.Args["before_at"], w.Args["before_person"] = &at, before.Person()
	}
	rows, _ := db.Query(ctx, endUserColumns+endUsersFrom+w.String()+endUsersGroup+endUsersPage+endUserJoins, w.Args)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[EndUser])
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return list, nil
}

// CountEndUsers counts the people with conversations of the filter.
func CountEndUsers(ctx context.Context, db DB, f metric.Filter, now time.Time, zone *time.Location) (int64, error) {
	known, err := LookUp(ctx, db, f, now, zone)
	if err != nil {
		return 0, err
	}
	w := FilterConversations(f, known, now, zone)
	rows, _ := db.Query(ctx, "select count(distinct ("+PersonText+")) from conversations c where "+w.String(), w.Args)
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
}
