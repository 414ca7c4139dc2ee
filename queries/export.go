package queries

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
)

// Grain is what a row of an export stands for.
type Grain string

// The grains.
const (
	ByConversation Grain = "conversation"
	ByTurn         Grain = "turn" // all of them, those without a response time too
	ByMessage      Grain = "message"
	ByEvent        Grain = "event"
	ByUser         Grain = "user" // people with conversations of the filter, who came last first
)

// Grains lists those of conversations and what they consist of, the coarsest first.
var Grains = []Grain{ByConversation, ByTurn, ByMessage, ByEvent}

// ColumnKind is what values of an exported column are.
type ColumnKind int

// The kinds. A nil value of any of them means: not known, or there is none.
const (
	TextColumn    ColumnKind = iota // string
	CountColumn                     // int64
	NumberColumn                    // float64
	MillisColumn                    // float64, milliseconds
	SecondsColumn                   // float64, seconds
	InstantColumn                   // time.Time
	FlagColumn                      // bool
	ListColumn                      // []string
)

// ExportColumn is a column of an export.
type ExportColumn struct {
	Name string
	Kind ColumnKind
	text string // in SQL
}

var durableText = `case when ` + resolvedText + ` then not (` + cameBackAlways + `) end`

// whose are columns that every grain has: of which conversation a row is.
var whose = []ExportColumn{
	{"conversation_id", TextColumn, "c.id::text"},
	{"sender_key", TextColumn, "s.sender_key"},
	{"user_id", TextColumn, "c.user_id"},
	{"assistant", TextColumn, "a.name"},
	{"environment", TextColumn, "coalesce(en.name, '')"},
	{"channel", TextColumn, "coalesce(ch.name, '')"},
	{"version", TextColumn, "coalesce(nullif(v.model_name, ''), v.model_id, '')"},
}

var exportColumns = map[Grain][]ExportColumn{
	ByConversation: {
		{"session_id", TextColumn, "c.session_id"},
		{"started_at", InstantColumn, "c.started_at"},
		{"last_at", InstantColumn, "c.last_at"},
		{"ended_at", InstantColumn, "c.ended_at"},
		{"end_reason", TextColumn, "c.end_reason"},
		{"duration_s", SecondsColumn, "extract(epoch from c.active_at - c.started_at)::float8"},
		{"outcome", TextColumn, "case when c.closes_at > @now then 'open' else c.outcome end"},
		{"engaged", FlagColumn, engagedText},
		{"ended", FlagColumn, endedText},
		{"contained", FlagColumn, engagedText + " and " + endedText + " and c.outcome <> 'escalated'"},
		{"escalated", FlagColumn, engagedText + " and c.escalated_at is not null"},
		{"escalated_at", InstantColumn, "c.escalated_at"},
		{"escalation_reason", TextColumn, "c.escalation_reason"},
		{"resolved", FlagColumn, resolvedText},
		{"durable", FlagColumn, durableText},
		{"csat", TextColumn, "c.csat"},
		{"success", FlagColumn, ""}, // by the criteria in force
		{"user_messages", CountColumn, "c.user_messages::bigint"},
		{"bot_messages", CountColumn, "c.bot_messages::bigint"},
		{"agent_messages", CountColumn, "c.agent_messages::bigint"},
		{"turns", CountColumn, "c.turns::bigint"},
		{"events", CountColumn, "c.events::bigint"},
		{"flows", ListColumn, "c.flows"},
		{"last_flow", TextColumn, "c.last_flow"},
		{"responses", CountColumn, "cardinality(c.response_ms)::bigint"},
		{"response_median_ms", MillisColumn, "c.response_median_ms"},
		{"response_mean_ms", MillisColumn, "(select avg(ms) from unnest(c.response_ms) as ms)"},
		{
			"review", TextColumn,
			"case when " + reviewedText + " then 'reviewed' when " + anyStateText +
				" then 'partial' else 'unreviewed' end",
		},
		{
			"rating", CountColumn,
			"(select v.rating::bigint from review_states v where v.sender_id = c.sender_id and " +
				"v.conversation_id = c.id)",
		},
		{
			"tags", ListColumn,
			"array(select t.name from conversation_tags x join tags t on t.id = x.tag_id where x.sender_id = " +
				"c.sender_id and x.conversation_id = c.id order by lower(t.name), t.id)",
		},
		{"first_text", TextColumn, "c.first_text"},
	},
	ByTurn: {
		{"turn", CountColumn, "t.n::bigint"},
		{"at", InstantColumn, "t.at"},
		{
			"text", TextColumn,
			"coalesce((select m.text from messages m where m.sender_id = t.sender_id and m.at = t.at and m.id = " +
				"t.message_id), '')",
		},
		{"intent", TextColumn, "t.intent"},
		{"confidence", NumberColumn, "coalesce(t.confidence_sent, t.confidence::text::float8)"},
		{"fallback", FlagColumn, "t.fallback"},
		{"flow", TextColumn, "t.flow_id"},
		{"action", TextColumn, "t.action"},
		{"by_human", FlagColumn, "t.human"},
		{"response_ms", MillisColumn, "t.response_ms"},
		{"response_source", TextColumn, "t.response_source"},
		{"not_counted", TextColumn, notCountedText},
		{"understanding_ms", MillisColumn, "t.understanding_ms"},
		{"prediction_ms", MillisColumn, "t.prediction_ms"},
	},
	ByMessage: {
		{"message_id", TextColumn, "t.id::text"},
		{"at", InstantColumn, "t.at"},
		{"turn", CountColumn, "t.turn::bigint"},
		{"author", TextColumn, "case t.author when 1 then 'user' when 2 then 'assistant' when 3 then 'agent' when 4 then 'system' else 'note' end"},
		{"text", TextColumn, "t.text"},
		{"rich", TextColumn, "t.rich"},
		{"intent", TextColumn, "t.intent"},
		{"confidence", NumberColumn, "coalesce(t.confidence_sent, t.confidence::text::float8)"},
		{"template", TextColumn, "t.template"},
		{"entities", TextColumn, "t.entities"},
	},
	ByEvent: {
		{"event_id", TextColumn, "t.id::text"},
		{"at", InstantColumn, "t.at"},
		{"turn", CountColumn, "t.turn::bigint"},
		{"type", TextColumn, "t.type"},
		{"name", TextColumn, "t.name"},
		{"flow", TextColumn, "t.flow_id"},
		{"step", TextColumn, "t.step_id"},
		{"agent", TextColumn, "t.agent_id"},
		{"body", TextColumn, `(
			select split_part(p.bodies, chr(30), t.pos + 1)
			from event_payloads p
			where p.sender_id = t.sender_id and p.conversation_id = t.conversation_id and p.part = t.part
				and p.at <= t.at
			limit 1)`},
	},
}

var endUserFields = []ExportColumn{
	{"assistant", TextColumn, "a.name"},
	{"user_id", TextColumn, "c.user_id"},
	{"sender_key", TextColumn, "s.sender_key"},
	{"conversations", CountColumn, "c.conversations"},
	{"first_at", InstantColumn, PersonFirstText},
	{"last_at", InstantColumn, "c.last_at"},
}

// exportTables are what rows of a grain are read from, beside conversations; exportOrder puts those of one in order.
var (
	exportTables = map[Grain]string{
		ByConversation: "",
		ByTurn:         "\njoin turns t on t.sender_id = c.sender_id and t.conversation_id = c.id",
		ByMessage: "\njoin messages t on t.sender_id = c.sender_id and t.conversation_id = c.id and t.at >= " +
			"c.started_at - interval '1 day' and t.at <= c.last_at + interval '1 day'",
		ByEvent: "\njoin events t on t.sender_id = c.sender_id and t.conversation_id = c.id and t.at >= " +
			"c.started_at - interval '1 day' and t.at <= c.last_at + interval '1 day'",
	}
	exportOrder = map[Grain]string{ByConversation: "", ByTurn: ", t.n", ByMessage: ", t.seq", ByEvent: ", t.seq"}
)

// ExportColumns returns what rows of a grain hold, in this order.
func ExportColumns(g Grain) []ExportColumn {
	if g == ByUser {
		return endUserFields
	}
	return append(whose[:len(whose):len(whose)], exportColumns[g]...)
}

const exportJoins = `
join senders s on s.id = c.sender_id
join assistants a on a.id = c.assistant_id
left join environments en on en.id = c.environment_id
left join channels ch on ch.id = c.channel_id
left join versions v on v.id = c.version_id
`

// notCountedText says why a turn has no response time.
const notCountedText = `case
	when t.response_ms is not null then null
	when t.platform then 'platform'
	when t.human then 'by_human'
	when t.n > 5000 then 'beyond' -- conversation.MaxResponses
	when t.response_source = 'not_timed' then 'not_timed' -- conversation.NotTimed
	when not exists (select from messages m where m.sender_id = t.sender_id and m.conversation_id = t.conversation_id
		and m.at >= t.at and m.turn = t.n and m.author = 2) then 'unanswered'
	else 'impossible' end`

// exportPage is how many rows are fetched at a time.
const exportPage = 1000

// Increment is a run of a schedule that sends only what no run before has sent.
type Increment struct{ Schedule, Run conversation.UUID }

// What makes a row new: a conversation is another once it has more events.
const (
	forgetRowsSQL = `delete from schedule_rows where run_id = @run`
	newRowText    = `not exists (select from schedule_rows x where x.schedule_id = @of_schedule and x.row_id = `
	runRowText    = `exists (select from schedule_rows x where x.schedule_id = @of_schedule and x.run_id = @of_run
	and x.row_id = `
)

// rowIDs are what a row is known by, and which revision of it.
var rowIDs = map[Grain][2]string{ByConversation: {"c.id", "c.events"}, ByMessage: {"t.id", "0"}, ByEvent: {"t.id", "0"}}

// ForgetRows has the rows of a run taken by the next: its files did not arrive.
func ForgetRows(ctx context.Context, db DB, run conversation.UUID) error {
	_, err := db.Exec(ctx, forgetRowsSQL, pgx.StrictNamedArgs{"run": run})
	return err
}

// NoteIncrement keeps the rows that an increment consists of: those of a filter, of conversations that are over, that
// no other has.
func NoteIncrement(
	ctx context.Context, db DB, g Grain, f metric.Filter, i Increment, now time.Time, zone *time.Location,
) error {
	known, err := LookUp(ctx, db, f, now, zone)
	if err != nil {
		return err
	}
	w := FilterConversations(f, known, now, zone)
	id, ok := rowIDs[g]
	if !ok {
		return &metric.InputError{Field: "grain", Msg: "turns cannot be sent by increments"}
	}
	w.at("c.closes_at <= @now", now)
	w.Args["of_schedule"], w.Args["of_run"] = i.Schedule, i.Run
	same := id[0] + " and x.revision = " + id[1] + ")"
	if _, err := db.Exec(
		ctx,
		"insert into schedule_rows (schedule_id, row_id, revision, run_id)\nselect @of_schedule::uuid, "+id[0]+", "+
			id[1]+", @of_run::uuid\nfrom conversations c"+exportTables[g]+"\nwhere "+w.String()+"\n\tand "+newRowText+
			same,
		w.Args,
	); err != nil {
		return fmt.Errorf("note new rows: %w", err)
	}
	return nil
}

// noted narrows to the rows of an increment.
func (w *Where) noted(g Grain, i Increment) error {
	id, ok := rowIDs[g]
	if !ok {
		return &metric.InputError{Field: "grain", Msg: "turns cannot be sent by increments"}
	}
	w.Args["of_schedule"], w.Args["of_run"] = i.Schedule, i.Run
	w.And(runRowText+id[0]+" and x.revision = "+id[1]+")", "", nil)
	return nil
}

// Export calls page for the rows of the filter's conversations, the newest first, with values in the columns' order. It
// reads within the transaction, which should be one of a single snapshot. With an increment
// only the rows that were noted for it count.
func Export(
	ctx context.Context, tx pgx.Tx, g Grain, f metric.Filter, only *Increment, now time.Time, zone *time.Location,
	page func(rows [][]any) error,
) error {
	known, err := LookUp(ctx, tx, f, now, zone)
	if err != nil {
		return err
	}
	if known.Criteria == nil {
		if known.Criteria, err = CriteriaInForce(ctx, tx); err != nil {
			return err
		}
	}
	var w *Where
	var condition string
	if g == ByTurn {
		var turns *Where
		if w, turns, err = turnsOf(ctx, tx, f, now, zone); err != nil {
			return err
		}
		if len(turns.conditions) > 0 {
			condition = " and " + turns.String()
		}
	} else {
		w = FilterConversations(f, known, now, zone)
	}
	if only != nil {
		if err := w.noted(g, *only); err != nil {
			return err
		}
	}
	columns := ExportColumns(g)
	text := "declare export no scroll cursor for\nselect "
	if g == ByUser {
		for i, c := range columns {
			if i > 0 {
				text += ", "
			}
			text += c.text
		}
		text += endUsersFrom + w.String() + endUsersGroup + endUserJoins
		return fetchExport(ctx, tx, text, w.Args, columns, page)
	}
	for i, c := range columns {
		if i > 0 {
			text += ", "
		}
		if c.Name == "success" {
			c.text = "case when " + w.judged("now", known.Criteria) + " then " + w.success("now", known.Criteria) +
				" end"
		}
		text += c.text
	}
	if g == ByConversation {
		w.Args["now"] = now
	}
	text += "\nfrom conversations c" + exportTables[g] + exportJoins + "where " + w.String() + condition +
		"\norder by c.started_at desc, c.id desc" + exportOrder[g]
	return fetchExport(ctx, tx, text, w.Args, columns, page)
}

// fetchExport calls page for the rows of a cursor, so many at a time.
func fetchExport(
	ctx context.Context, tx pgx.Tx, text string, args pgx.StrictNamedArgs, columns []ExportColumn,
	page func(rows [][]any) error,
) error {
	if _, err := tx.Exec(ctx, text, pgx.QueryExecModeDescribeExec, args); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	for {
		var all [][]any
		// what it yields differs from one export to the next
		rows, _ := tx.Query(ctx, "fetch 1000 from export", pgx.QueryExecModeDescribeExec)
		for rows.Next() {
			row, err := rows.Values()
			if err != nil {
				rows.Close()
				return err
			}
			all = append(all, plain(row, columns))
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("export: %w", err)
		}
		if err := page(all); err != nil {
			return err
		}
		if len(all) < exportPage {
			_, err := tx.Exec(ctx, "close export")
			return err
		}
	}
}

// plain gives lists their type; the others have it.
func plain(row []any, columns []ExportColumn) []any {
	for i, c := range columns {
		if all, ok := row[i].([]any); ok && c.Kind == ListColumn {
			list := make([]string, len(all))
			for j, v := range all {
				list[j], _ = v.(string)
			}
			row[i] = list
		}
	}
	return row
}
