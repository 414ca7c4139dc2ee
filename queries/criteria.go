package queries

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/jackc/pgx/v5"

	"turnwise/metric"
)

// SuccessCriteria is a version of an assistant's criteria.
type SuccessCriteria struct {
	ID          int64
	AssistantID int32
	Assistant   string
	Rules       metric.Criteria
	CreatedAt   time.Time
	CreatedBy   string
	ActivatedAt *time.Time // nil: a draft
	ActivatedBy string
}

// StoredRules is how rules are kept.
type StoredRules struct {
	Included   []string `json:"included" yaml:"included"`
	Any        bool     `json:"any,omitempty" yaml:"any,omitempty"`
	Started    bool     `json:"started,omitempty" yaml:"started,omitempty"`
	Excluded   []string `json:"excluded,omitempty" yaml:"excluded,omitempty"`
	Satisfied  bool     `json:"satisfied,omitempty" yaml:"satisfied,omitempty"`
	Slot       string   `json:"slot,omitempty" yaml:"slot,omitempty"`
	SlotValue  string   `json:"slot_value,omitempty" yaml:"slot_value,omitempty"`
	Tag        string   `json:"tag,omitempty" yaml:"tag,omitempty"`
	NoTag      string   `json:"no_tag,omitempty" yaml:"no_tag,omitempty"`
	ReturnDays int      `json:"return_days,omitempty" yaml:"return_days,omitempty"`
}

const criteriaColumns = `
select s.id, s.assistant_id, a.name, s.rules, s.created_at, s.created_by, s.activated_at, s.activated_by
from success_criteria s
join assistants a on a.id = s.assistant_id`

const (
	criteriaInForceSQL = `
select distinct on (x.assistant_id) x.*
from (` + criteriaColumns + `
	where s.activated_at is not null
) as x
order by x.assistant_id, x.activated_at desc, x.id desc`
	criteriaByIDSQL = criteriaColumns + ` where s.id = any(@ids::bigint[]) order by s.id`
	criteriaOfSQL   = criteriaColumns +
		` where a.name = @assistant and s.activated_at is not null order by s.activated_at desc, s.id desc limit 200`
	criteriaActivatedSQL = criteriaColumns +
		` where s.activated_at >= @from and s.activated_at < @until order by s.activated_at limit 200`
)

func readCriteria(rows pgx.Rows) ([]SuccessCriteria, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c SuccessCriteria, err error) {
		var rules []byte
		if err = row.Scan(
			&c.ID, &c.AssistantID, &c.Assistant, &rules, &c.CreatedAt, &c.CreatedBy, &c.ActivatedAt, &c.ActivatedBy,
		); err != nil {
			return c, err
		}
		var stored StoredRules
		err = json.Unmarshal(rules, &stored)
		c.Rules = metric.Criteria(stored)
		return c, err
	})
}

// CriteriaInForce returns the criteria in force, of each assistant that has some.
func CriteriaInForce(ctx context.Context, db DB) ([]SuccessCriteria, error) {
	rows, _ := db.Query(ctx, criteriaInForceSQL)
	return readCriteria(rows)
}

// CriteriaOf returns the versions of an assistant's criteria that were in force, the newest first.
func CriteriaOf(ctx context.Context, db DB, assistant string) ([]SuccessCriteria, error) {
	rows, _ := db.Query(ctx, criteriaOfSQL, pgx.StrictNamedArgs{"assistant": assistant})
	return readCriteria(rows)
}

// CriteriaByID returns a version.
func CriteriaByID(ctx context.Context, db DB, id int64) (SuccessCriteria, error) {
	rows, _ := db.Query(ctx, criteriaByIDSQL, pgx.StrictNamedArgs{"ids": []int64{id}})
	all, err := readCriteria(rows)
	if err == nil && len(all) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return SuccessCriteria{}, err
	}
	return all[0], nil
}

// CriteriaActivated returns the versions that came into force in [from, until), oldest first.
func CriteriaActivated(ctx context.Context, db DB, from, until time.Time) ([]SuccessCriteria, error) {
	rows, _ := db.Query(ctx, criteriaActivatedSQL, pgx.StrictNamedArgs{"from": from, "until": until})
	return readCriteria(rows)
}

const draftCriteriaSQL = `
insert into success_criteria (assistant_id, rules, created_at, created_by)
select id, @rules, @now, @by
from assistants
where name = @assistant
returning id`

// DraftCriteria stores criteria that are not in force yet, and returns their version.
func DraftCriteria(
	ctx context.Context, db DB, assistant string, rules metric.Criteria, by string, now time.Time,
) (int64, error) {
	stored, err := json.Marshal(StoredRules(rules))
	if err != nil {
		return 0, err
	}
	rows, _ := db.Query(ctx, draftCriteriaSQL, pgx.StrictNamedArgs{
		"assistant": assistant, "rules": stored, "by": by, "now": now,
	})
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err == nil && len(ids) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return 0, err
	}
	return ids[0], nil
}

const activateCriteriaSQL = `
update success_criteria
set activated_at = @now, activated_by = @by
where id = @id and activated_at is null
returning assistant_id`

// What has been counted; the rest is marked already.
const markAssistantSQL = `
insert into dirty_hours (hour, assistant_id, shard, generation)
select distinct date_trunc('hour', at, 'UTC'), assistant_id, -1, (select generation from rollup_state)
from rollup_hours
where assistant_id = @assistant
on conflict (hour, assistant_id, shard, generation) do update
set changes = dirty_hours.changes + 1`

// markTaggedSQL marks the hours of conversations whose tags changed, if any criteria in force ask for tags.
const MarkTaggedSQL = `
insert into dirty_hours (hour, assistant_id, shard, generation)
select distinct date_trunc('hour', c.started_at, 'UTC'), c.assistant_id, -1, coalesce((select generation
	from rollup_state), 0)
from unnest(@senders::bigint[], @ids::uuid[]) as k (sender_id, id)
join conversations c on c.sender_id = k.sender_id and c.id = k.id
where exists (select from success_criteria s where s.activated_at is not null
	and (s.rules ? 'tag' or s.rules ? 'no_tag'))
order by 1, 2
on conflict (hour, assistant_id, shard, generation) do update
set changes = dirty_hours.changes + 1`

// ActivateCriteria puts a draft into force: all conversations of its assistant are counted again by it.
func ActivateCriteria(ctx context.Context, tx pgx.Tx, id int64, by string, now time.Time) error {
	// waits for what is being counted
	if _, err := tx.Exec(ctx, `select zone from rollup_state for update`); err != nil {
		return err
	}
	rows, _ := tx.Query(ctx, activateCriteriaSQL, pgx.StrictNamedArgs{"id": id, "by": by, "now": now})
	assistants, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		return err
	}
	if len(assistants) == 0 {
		return ErrConflict
	}
	_, err = tx.Exec(ctx, markAssistantSQL, pgx.StrictNamedArgs{"assistant": assistants[0]})
	return err
}

// runText of criteria asks for a run of one of some flows.
const runOfText = `exists (select from flow_runs r where r.sender_id = c.sender_id and r.conversation_id = c.id
	and r.flow_id = any(`

const tagNamedText = `exists (select from conversation_tags x join tags t on t.id = x.tag_id
	where x.sender_id = c.sender_id and x.conversation_id = c.id and lower(t.name) = lower(`

// byAssistant writes an expression for each assistant that has criteria; each returns its own. key keeps the names of
// parameters apart.
func (w *Where) byAssistant(
	key string, all []SuccessCriteria, each func(r *metric.Criteria, arg func(name string, value any) string) string,
) string {
	if len(all) == 0 {
		return "false"
	}
	var b strings.Builder
	b.WriteString("(case c.assistant_id")
	for i, c := range all {
		arg := func(name string, value any) string {
			name = "criteria_" + key + strconv.Itoa(i) + "_" + name
			w.Args[name] = value
			return "@" + name
		}
		expression := "false"
		when := arg("assistant", c.AssistantID)
		if len(c.Rules.Included) > 0 {
			expression = each(&c.Rules, arg)
		}
		fmt.Fprintf(&b, "\n\twhen %s::integer then %s", when, expression)
	}
	b.WriteString("\n\telse false end)")
	return b.String()
}

// lastSlotText begins the question for the last value of a slot.
const lastSlotText = "(select s.value from slots s where s.sender_id = c.sender_id and s.conversation_id = c.id " +
	"and s.name = "

// judged returns an expression that tells whether any of the criteria, each of another assistant, judge a conversation.
func (w *Where) judged(key string, all []SuccessCriteria) string {
	return w.byAssistant(key+"judged", all, func(r *metric.Criteria, arg func(string, any) string) string {
		text := runOfText + arg("in", r.Included) + "::text[]) and r.starts > 0)"
		if r.Slot != "" { // a value that retention removed says nothing
			text += " and not (c.removed > 0 and " + lastSlotText + arg("slot", r.Slot) +
				"::text order by s.seq desc limit 1) = '')"
		}
		return text
	})
}

// success returns an expression that tells whether a judged conversation is a success.
func (w *Where) success(key string, all []SuccessCriteria) string {
	return w.byAssistant(key+"success", all, func(r *metric.Criteria, arg func(string, any) string) string {
		included, done := arg("in", r.Included)+"::text[])", "r.status = 'completed'"
		if r.Started {
			done = "r.starts > 0"
		}
		must := []string{runOfText + included + " and " + done + ")"}
		if !r.Any {
			must[0] = "(select count(distinct r.flow_id) from flow_runs r where r.sender_id = c.sender_id and " +
				"r.conversation_id = c.id and r.flow_id = any(" + included +
				" and " + done + ") = " + arg("count", distinct(r.Included)) + "::bigint"
		}
		if len(r.Excluded) > 0 {
			must = append(must, "not "+runOfText+arg("out", r.Excluded)+"::text[]) and r.starts > 0)")
		}
		if r.Satisfied {
			must = append(must, "c.csat = 'SATISFIED'")
		}
		if r.Slot != "" {
			value := arg("values", slotValues(r.SlotValue)) + "::text[]"
			must = append(
				must,
				"coalesce("+lastSlotText+arg("slot", r.Slot)+"::text order by s.seq desc limit 1) = any("+value+
					"), false)",
			)
		}
		if r.Tag != "" {
			must = append(must, tagNamedText+arg("tag", r.Tag)+"::text))")
		}
		if r.NoTag != "" {
			must = append(must, "not "+tagNamedText+arg("no_tag", r.NoTag)+"::text))")
		}
		if r.ReturnDays > 0 {
			must = append(
				must, "not ("+strings.ReplaceAll(cameBackText, "@days", arg("days", r.ReturnDays)+"::integer")+")",
			)
		}
		return strings.Join(must, "\n\t\tand ")
	})
}

// slotValues are the ways in which a value may stand as JSON: as it is, as a text, and as a text in ASCII alone, which
// Python writes.
func slotValues(v string) []string {
	text, _ := json.Marshal(v) // a string
	var ascii strings.Builder
	for _, r := range string(text) {
		switch {
		case r < 0x80:
			ascii.WriteRune(r)
		case r < 0x10000:
			fmt.Fprintf(&ascii, "\\u%04x", r)
		default:
			a, b := utf16.EncodeRune(r)
			fmt.Fprintf(&ascii, "\\u%04x\\u%04x", a, b)
		}
	}
	return []string{v, string(text), ascii.String()}
}

func distinct(names []string) int64 {
	seen := map[string]bool{}
	for _, n := range names {
		seen[n] = true
	}
	return int64(len(seen))
}

// verdict narrows by what criteria say.
func (w *Where) verdict(key string, all []SuccessCriteria, v metric.Verdict) {
	switch v {
	case metric.Success:
		w.And(w.judged(key, all)+" and "+w.success(key, all), "", nil)
	case metric.Failure:
		w.And(w.judged(key, all)+" and not "+w.success(key, all), "", nil)
	case metric.EitherVerdict:
		w.And(w.judged(key, all), "", nil)
	case metric.NotJudged:
		w.And("not "+w.judged(key, all), "", nil)
	}
}
