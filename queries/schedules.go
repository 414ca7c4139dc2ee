package queries

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/schedule"
)

// Schedule is a report or an export that is sent by itself.
type Schedule struct {
	ID          conversation.UUID
	Name        string
	AccountID   conversation.UUID // whose rights it has
	Page        string            // of charts; or
	Grain       string            // of rows
	Query       string
	Formats     []string
	Schedule    string
	Zone        string
	Destination string // mail, http, folder, s3, chat
	Target      Target
	Sealed      []byte `db:"secret"`
	IfEmpty     string // send, skip, say
	Incremental bool
	NextAt      *time.Time // nil while it is paused
	Revision    int32
	CreatedAt   time.Time
	By          string
	Queued      bool // it runs when a job of the queue asks for it
}

// RecipientGroup are people who get a report for a part of what it is about.
type RecipientGroup struct {
	Assistant   string   `json:"assistant,omitempty"` // "": all of the report's
	Environment string   `json:"environment,omitempty"`
	Channel     string   `json:"channel,omitempty"`
	Recipients  []string `json:"recipients"`
}

// Narrow returns the query of the group's part, or an error where the report's filter leaves that out.
func (g RecipientGroup) Narrow(query string) (string, error) {
	q, err := url.ParseQuery(query)
	if err != nil {
		return "", err
	}
	for _, x := range [][2]string{{"assistant", g.Assistant}, {"environment", g.Environment}, {"channel", g.Channel}} {
		if x[1] == "" {
			continue
		}
		if all := q[x[0]]; len(all) > 0 && !slices.Contains(all, x[1]) || slices.Contains(q[x[0]+".not"], x[1]) {
			return "", &metric.InputError{
				Field: "group", Msg: fmt.Sprintf("the report's filter leaves out the %s %q", x[0], x[1]),
			}
		}
		q.Set(x[0], x[1])
	}
	return q.Encode(), nil
}

// Words says who the group are and what they get.
func (g RecipientGroup) Words() string {
	var words []string
	for _, v := range []string{g.Assistant, g.Environment, g.Channel} {
		if v != "" {
			words = append(words, v)
		}
	}
	return strings.Join(words, ", ")
}

// Everybody are the recipients of a mail, those of groups too.
func (t Target) Everybody() []string {
	all := slices.Clone(t.Recipients)
	for _, g := range t.Groups {
		all = append(all, g.Recipients...)
	}
	return all
}

// Target says where a schedule sends to.
type Target struct {
	Recipients []string         `json:"recipients,omitempty"` // of mail
	Groups     []RecipientGroup `json:"groups,omitempty"`     // further ones
	URL        string           `json:"url,omitempty"`        // of http, the endpoint of s3, or of a chat what of its address is no secret
	Headers    []string         `json:"headers,omitempty"`    // names, whose values are secret
	Folder     string           `json:"folder,omitempty"`
	Bucket     string           `json:"bucket,omitempty"`
	Prefix     string           `json:"prefix,omitempty"`
	Region     string           `json:"region,omitempty"`
	Key        string           `json:"key,omitempty"` // id of the access key, whose secret is secret
}

const scheduleColumns = `
select s.id, s.name, s.account_id, s.page, s.grain, s.query, s.formats, s.schedule, s.zone, s.destination, s.target,
	s.secret, s.if_empty, s.incremental, s.next_at, s.revision, s.created_at, u.name as by, s.queued
from schedules s
join accounts u on u.id = s.account_id
`

const (
	schedulesSQL = scheduleColumns +
		`where @user::uuid is null or s.account_id = @user order by lower(s.name), s.id limit 500`
	scheduleByIDSQL = scheduleColumns + `where s.id = @id`
	dueSchedulesSQL = scheduleColumns +
		`where s.next_at <= @now order by s.next_at, s.id limit 20 for update of s skip locked`
	insertScheduleSQL = `
insert into schedules (id, name, account_id, page, query, grain, formats, schedule, zone, destination, target, secret,
	if_empty, incremental, next_at, created_at)
values (@id, @name, @user, @page, @query, @grain, @formats, @schedule, @zone, @destination, @target, @secret,
	@if_empty, @incremental, @next, @at)`
	updateScheduleSQL = `
update schedules
set name = @name, page = @page, query = @query, grain = @grain, formats = @formats, schedule = @schedule,
	zone = @zone, destination = @destination, target = @target, secret = @secret,
	if_empty = @if_empty, incremental = @incremental, next_at = @next, revision = revision + 1
where id = @id and revision = @revision
returning id`
	nextRunSQL        = `update schedules set next_at = @next where id = @id returning id`
	deleteScheduleSQL = `delete from schedules where id = @id returning id`
	busySQL           = `select exists (select from report_runs where schedule_id = @id
	and (state = 'running' or state = 'waiting' and retry_at is null) and test_for = '')`
	runOwnerSQL = `select s.account_id from report_runs r join schedules s on s.id = r.schedule_id
	where r.id = @id`
	insertRunSQL = `
insert into report_runs (id, schedule_id, due_at, test_for, state, error, created_at, ended_at)
values (@id, @schedule, @due, @test, @state, @error, @now, @ended)
on conflict do nothing`
)

// OwnerOfRun returns whose report a run is, or ErrNotFound.
func OwnerOfRun(ctx context.Context, db DB, id conversation.UUID) (conversation.UUID, error) {
	rows, _ := db.Query(ctx, runOwnerSQL, pgx.StrictNamedArgs{"id": id})
	owner, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[[16]byte])
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrNotFound
	}
	return owner, err
}

// Schedules returns those of a user, or all for nil, by name.
func Schedules(ctx context.Context, db DB, user *conversation.UUID) ([]Schedule, error) {
	var of any
	if user != nil {
		of = *user
	}
	rows, _ := db.Query(ctx, schedulesSQL, pgx.StrictNamedArgs{"user": of})
	return pgx.CollectRows(rows, pgx.RowToStructByName[Schedule])
}

// ScheduleByID returns a schedule, or ErrNotFound.
func ScheduleByID(ctx context.Context, db DB, id conversation.UUID) (Schedule, error) {
	rows, _ := db.Query(ctx, scheduleByIDSQL, pgx.StrictNamedArgs{"id": id})
	return One[Schedule](rows)
}

func (s Schedule) args() (pgx.StrictNamedArgs, error) {
	target, err := json.Marshal(s.Target)
	return pgx.StrictNamedArgs{
		"id": s.ID, "name": s.Name, "page": s.Page, "query": s.Query, "grain": s.Grain, "formats": s.Formats,
		"schedule": s.Schedule, "zone": s.Zone, "destination": s.Destination,
		"target": target, "secret": s.Sealed, "if_empty": s.IfEmpty, "incremental": s.Incremental, "next": s.NextAt,
	}, err
}

// AddSchedule keeps a new schedule.
func AddSchedule(ctx context.Context, db DB, s Schedule) error {
	args, err := s.args()
	if err != nil {
		return err
	}
	args["user"], args["at"] = s.AccountID, s.CreatedAt
	_, err = db.Exec(ctx, insertScheduleSQL, args)
	return err
}

// ChangeSchedule changes one, or returns ErrNotFound when somebody else did so meanwhile.
func ChangeSchedule(ctx context.Context, db DB, s Schedule) error {
	args, err := s.args()
	if err != nil {
		return err
	}
	args["revision"] = s.Revision
	return Changed(ctx, db, updateScheduleSQL, args)
}

// SetNextRun sets when a schedule comes due; nil pauses it.
func SetNextRun(ctx context.Context, db DB, id conversation.UUID, next *time.Time) error {
	return Changed(ctx, db, nextRunSQL, pgx.StrictNamedArgs{"id": id, "next": next})
}

// DeleteSchedule deletes one with its runs.
func DeleteSchedule(ctx context.Context, db DB, id conversation.UUID) error {
	return Changed(ctx, db, deleteScheduleSQL, pgx.StrictNamedArgs{"id": id})
}

// StartDue makes a run of each schedule whose time has come; what was missed while nobody was there is made up once. It
// returns how many there were.
func StartDue(ctx context.Context, tx pgx.Tx, now time.Time) (int, error) {
	rows, _ := tx.Query(ctx, dueSchedulesSQL, pgx.StrictNamedArgs{"now": now})
	due, err := pgx.CollectRows(rows, pgx.RowToStructByName[Schedule])
	if err != nil {
		return 0, fmt.Errorf("due schedules: %w", err)
	}
	for _, s := range due {
		rows, _ := tx.Query(ctx, busySQL, pgx.StrictNamedArgs{"id": s.ID})
		busy, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
		if err != nil {
			return 0, err
		}
		r := ReportRun{ID: NewID(), ScheduleID: s.ID, DueAt: *s.NextAt, State: RunWaiting, CreatedAt: now}
		if busy {
			r.State, r.Error, r.EndedAt = RunSkipped, "the run before was not over", &now
		}
		if err := AddRun(ctx, tx, r); err != nil {
			return 0, err
		}
		zone, err := time.LoadLocation(s.Zone)
		if err != nil {
			return 0, fmt.Errorf("schedule %s: %w", s.ID, err)
		}
		times, err := schedule.Parse(s.Schedule)
		if err != nil {
			return 0, fmt.Errorf("schedule %s: %w", s.ID, err)
		}
		next := times.Next(now, zone)
		if err := SetNextRun(ctx, tx, s.ID, &next); err != nil {
			return 0, err
		}
	}
	return len(due), nil
}

// Part stores a part of a file.
func (c RunClaim) Part(ctx context.Context, db DB, n, part int, body []byte) error {
	return Changed(ctx, db, insertFilePartSQL, pgx.StrictNamedArgs{
		"id": c.ID, "claim": c.claim, "n": n, "part": part, "body": body,
	})
}
