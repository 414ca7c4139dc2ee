package queries

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/marker"
)

// Pattern is a marker that is, or was, looked for in the conversations of an assistant.
type Pattern struct {
	ID        int32
	Assistant string
	marker.Definition
	Version              int32
	Active               bool
	CreatedAt, UpdatedAt time.Time
	Found                bool // somewhere
}

const (
	patternsSQL = `
select p.id, a.name as assistant, p.name, p.description, p.config, p.version, p.active, p.created_at, p.updated_at,
	exists (select from markers m where m.pattern_id = p.id and m.counts_at <= now()) as found
from patterns p
join assistants a on a.id = p.assistant_id
where @assistant = '' or a.name = @assistant
order by a.name, p.name`
	// The assistant need not have sent anything yet.
	ensureAssistantSQL = `insert into assistants (id, name, settings) values (@id, @name, '{}') on conflict do nothing`
	addPatternSQL      = `
insert into patterns (assistant_id, name, description, config, created_at, updated_at, changed_by)
values (@assistant, @name, @description, @config, @now, @now, @by)
on conflict (assistant_id, name) do update
set description = excluded.description, config = excluded.config, active = true,
	version = patterns.version + case when patterns.active and patterns.config = excluded.config then 0 else 1 end,
	updated_at = excluded.updated_at, changed_by = excluded.changed_by`
	// What was found by another definition is no longer told of it.
	renewPatternSQL = `update patterns set id = default where id = @id`
	endPatternSQL   = `update patterns set active = false, version = version + 1, updated_at = @now, changed_by = @by
where id = @id`
	endPatternsSQL = `update patterns set active = false, version = version + 1, updated_at = @now
where assistant_id = @assistant and active`
	patternsFollowSQL = `update patterns p set assistant_id = @to_id where assistant_id = @from_id and not exists (select
	from patterns x where x.assistant_id = @to_id and x.name = p.name)`
)

// Patterns returns the markers of an assistant ("" for all), those that are no longer looked for included.
func Patterns(ctx context.Context, db DB, assistant string) ([]Pattern, error) {
	rows, _ := db.Query(ctx, patternsSQL, pgx.StrictNamedArgs{"assistant": assistant})
	return pgx.CollectRows(rows, pgx.RowToStructByName[Pattern])
}

// PatternsChanged is what an upload of markers came to.
type PatternsChanged struct {
	Added   []string `json:"added"`
	Changed []string `json:"changed"` // what they look for
	Ended   []string `json:"ended"`   // that the upload does not have: they are looked for no more
	Kept    int      `json:"kept"`
	File    string   `json:"file"` // all that is looked for now

	Run *conversation.UUID `json:"-"` // that looks stored conversations through; nil where there is no need
}

// Words say it.
func (c PatternsChanged) Words() string {
	return fmt.Sprintf("%d added, %d changed, %d ended, %d as they were", len(c.Added), len(c.Changed), len(c.Ended), c.Kept)
}

// SetPatterns makes markers those of an assistant, and ends the others that it had. Where some look for something else
// than before, stored conversations are to be folded again; ErrConflict while that is under way.
func SetPatterns(
	ctx context.Context, tx pgx.Tx, assistant string, all []marker.Definition, by conversation.UUID, now time.Time,
) (done PatternsChanged, err error) {
	if err := marker.Check(all); err != nil {
		return done, err
	}
	have, err := Patterns(ctx, tx, assistant)
	if err != nil {
		return done, err
	}
	if done.File, err = marker.File(all); err != nil {
		return done, err
	}
	id := conversation.SmallID("assistant", assistant)
	if _, err := tx.Exec(ctx, ensureAssistantSQL, pgx.StrictNamedArgs{"id": id, "name": assistant}); err != nil {
		return done, err
	}
	for _, d := range all {
		i := slices.IndexFunc(have, func(p Pattern) bool { return p.Name == d.Name })
		switch {
		case i < 0 || !have[i].Active && have[i].Config == d.Config:
			done.Added = append(done.Added, d.Name)
		case have[i].Config != d.Config:
			done.Changed = append(done.Changed, d.Name)
			if _, err := tx.Exec(ctx, renewPatternSQL, pgx.StrictNamedArgs{"id": have[i].ID}); err != nil {
				return done, fmt.Errorf("marker %q: %w", d.Name, err)
			}
		default:
			if done.Kept++; have[i].Description == d.Description {
				continue
			}
		}
		if _, err := tx.Exec(ctx, addPatternSQL, pgx.StrictNamedArgs{
			"assistant": id, "name": d.Name, "description": d.Description, "config": d.Config, "now": now, "by": NullUUID(by),
		}); err != nil {
			return done, fmt.Errorf("marker %q: %w", d.Name, err)
		}
	}
	for _, p := range have {
		if !p.Active || slices.ContainsFunc(all, func(d marker.Definition) bool { return d.Name == p.Name }) {
			continue
		}
		if _, err := tx.Exec(ctx, endPatternSQL, pgx.StrictNamedArgs{"id": p.ID, "now": now, "by": NullUUID(by)}); err != nil {
			return done, fmt.Errorf("marker %q: %w", p.Name, err)
		}
		done.Ended = append(done.Ended, p.Name)
	}
	if len(done.Added)+len(done.Changed) == 0 {
		return done, nil
	}
	done.Run = new(NewID())
	return done, StartFold(ctx, tx, FoldRun{
		ID: *done.Run, Kind: FoldToRebuild, Assistant: assistant, AccountID: &by, CreatedAt: now,
	}, nil)
}

// MarkedSession is a conversation with the places of each marker in it, as messages of the user before them.
type MarkedSession struct {
	Sender string
	Index  int // among the sender's, from 0
	Turns  map[int32][]int
}

const markedSessionsSQL = `
select s.sender_key, row_number() over (partition by c.sender_id order by c.started_at, c.first_time, c.id) - 1,
	coalesce(m.patterns, '{}'), coalesce(m.turns, '{}')
from conversations c
join senders s on s.id = c.sender_id
left join lateral (
	select array_agg(x.pattern_id order by x.pattern_id, x.seq) as patterns,
		array_agg(x.turns order by x.pattern_id, x.seq) as turns
	from markers x
	where x.sender_id = c.sender_id and x.conversation_id = c.id and x.counts_at <= @now) as m on true
where c.assistant_id = @assistant and not c.test
order by s.sender_key, c.sender_id, 2`

// MarkedSessions calls each for all conversations of an assistant, those of a sender in their order.
func MarkedSessions(
	ctx context.Context, db DB, assistant string, now time.Time, each func(MarkedSession) error,
) error {
	var s MarkedSession
	var patterns []int32
	var turns []int
	rows, _ := db.Query(ctx, markedSessionsSQL, pgx.StrictNamedArgs{
		"assistant": conversation.SmallID("assistant", assistant), "now": now,
	})
	_, err := pgx.ForEachRow(rows, []any{&s.Sender, &s.Index, &patterns, &turns}, func() error {
		s.Turns = map[int32][]int{}
		for i, p := range patterns {
			s.Turns[p] = append(s.Turns[p], turns[i])
		}
		return each(s)
	})
	return err
}
