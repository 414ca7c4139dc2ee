package compat

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/queries"
)

// Logins that see some assistants alone read schemas of their own, made of the same text as the others but that it reads
// our tables through those of seenSchema: these show the login what is of its assistants, and are barriers: no condition
// that could tell of a row is asked of others. No login reads that schema itself.
const seenSchema = "turnwise_seen"

// mineSQL are the assistants that the login of the connection sees.
const mineSQL = `create view mine as
select array(
	select a.id
	from public.reader_limits l
	join public.assistants a on a.name = any(l.assistants)
	where l.name = session_user) as assistants;
`

// amongMine is the end of a condition on an assistant's id: it is one of them.
const amongMine = "= any((select assistants from mine)::integer[])"

// seenBy is, by a column that a table has, which of its rows a login sees; the first that it has decides.
var seenBy = []struct{ column, rows string }{
	{"assistant_id", "x.assistant_id " + amongMine},
	{"sender_id", "x.sender_id in (select s.id from public.senders s where s.assistant_id " + amongMine + ")"},
}

// seenRows are those of the tables without such a column.
var seenRows = map[string]string{
	"assistants":       "x.id " + amongMine,
	"channels":         named("channel_id"),
	"environments":     named("environment_id"),
	"rollup_state":     "true",
	"goose_db_version": "true",
}

// named are the names of a kind that conversations of a login's assistants have: those that are counted, and the newest.
func named(column string) string {
	const of = "assistant_id " + amongMine
	return "x.id in (select d." + column + " from public.daily_figures d where d." + of + ")\n\tor x.id in (select n." + column +
		" from public.conversations n where n." + of + " order by n.started_at desc limit 5000)"
}

const columnsSQL = `
select table_name::text as table, array_agg(column_name::text order by ordinal_position) as columns
from information_schema.columns
where table_schema = 'public' and table_name = any(@tables::text[])
group by 1
order by 1`

var (
	ourTable = regexp.MustCompile(`\bpublic\.([a-z_]+)`)
	comment  = regexp.MustCompile(`--.*`)
	anyWord  = regexp.MustCompile(`[a-z][a-z0-9_]*`)
)

// MakeWay drops what would hold up a migration, which may change any column: Apply makes it anew.
func MakeWay(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, "drop schema if exists "+seenSchema+" cascade")
	return err
}

// seenTables is the SQL that makes seenSchema.
func seenTables(ctx context.Context, pool *pgxpool.Pool) (string, error) {
	var names []string
	words := map[string]bool{}
	for _, product := range queries.VendorSchemas {
		text, err := source(product, product, bodyOfOne)
		if err != nil {
			return "", err
		}
		text = comment.ReplaceAllString(text, "")
		for _, m := range ourTable.FindAllStringSubmatch(text, -1) {
			names = append(names, m[1])
		}
		for _, word := range anyWord.FindAllString(text, -1) {
			words[word] = true
		}
	}
	slices.Sort(names)
	rows, _ := pool.Query(ctx, columnsSQL, pgx.StrictNamedArgs{"tables": slices.Compact(names)})
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByName[struct {
		Table   string
		Columns []string
	}])
	if err != nil {
		return "", fmt.Errorf("our tables: %w", err)
	}
	var b strings.Builder
	b.WriteString(mineSQL)
	for _, t := range tables {
		which := seenRows[t.Table]
		for _, by := range seenBy {
			if which == "" && slices.Contains(t.Columns, by.column) {
				which = by.rows
			}
		}
		if which == "" {
			return "", fmt.Errorf("nothing says which rows of %s a login sees", t.Table)
		}
		var columns []string
		for _, c := range t.Columns {
			if words[c] { // others may change as they like
				columns = append(columns, "x."+pgx.Identifier{c}.Sanitize())
			}
		}
		fmt.Fprintf(
			&b, "create view %s with (security_barrier) as\nselect %s\nfrom public.%[1]s x\nwhere %[3]s;\n", t.Table, strings.Join(columns, ", "), which,
		)
	}
	return b.String(), nil
}

// ofSeen has a definition read what a login sees. What that is made of stands in it as a comment, so that it is made anew
// when that changes.
func ofSeen(text, seen string) string {
	return ourTable.ReplaceAllString(text, seenSchema+".$1") + "-- " + strings.ReplaceAll(seen, "\n", "\n-- ")
}
