package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/compat"
	"turnwise/queries"
)

// documented is how many of the examples of rasa_pro are those that Rasa documents: they stand first.
const documented = 13

// schemas measures the tables of other products: the documented queries against the same queries of plain tables with
// the same rows, the daily figures of a year, and dumps; and asks for plans, in which a look-up must not read all of a
// table.
func (b *bench) schemas(conversations int) error {
	url, drop, err := b.fresh("bench_schemas")
	if err != nil {
		return err
	}
	defer func() { _ = drop() }() // the cluster may go too
	pool, err := queries.Open(b.ctx, url, 8)
	if err != nil {
		return err
	}
	defer pool.Close()
	if _, err := b.fill(pool, conversations, 3000); err != nil {
		return err
	}
	if err := b.rollups(pool); err != nil {
		return err
	}
	if err := compat.Apply(b.ctx, pool); err != nil {
		return err
	}
	if _, err := pool.Exec(b.ctx, "vacuum analyze"); err != nil {
		return err
	}
	if err := b.dumps(pool); err != nil {
		return err
	}
	conn, err := pool.Acquire(b.ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	for _, set := range []string{"jit = off", "from_collapse_limit = 30", "join_collapse_limit = 30"} { // as of the logins
		if _, err := conn.Exec(b.ctx, "set "+set); err != nil {
			return err
		}
	}
	year, err := b.best(conn, "rasa_studio", `select * from "VersionDailyStatistics" where date >= now() - interval '1 year'`)
	if err != nil {
		return err
	}
	b.note("VersionDailyStatistics of a year", year, "ms", "< 100")
	if err := b.lookUps(conn); err != nil {
		return err
	}
	return b.examples(conn)
}

// dumps writes each schema as SQL to nowhere.
func (b *bench) dumps(pool *pgxpool.Pool) error {
	for _, schema := range queries.VendorSchemas {
		begun := time.Now()
		rows, err := compat.Dump(b.ctx, pool, schema, io.Discard)
		if err != nil {
			return err
		}
		b.note("dump of "+schema, float64(rows)/time.Since(begun).Seconds(), "rows/s", ">= 100000")
	}
	return nil
}

// best is the shortest time of a query, in milliseconds.
func (b *bench) best(conn *pgxpool.Conn, schema, sql string) (ms float64, err error) {
	if _, err := conn.Exec(b.ctx, "set search_path = "+schema); err != nil {
		return 0, err
	}
	for i := range b.reps + 2 {
		begun := time.Now()
		rows, err := conn.Query(b.ctx, sql)
		if err != nil {
			return 0, err
		}
		for rows.Next() {
		}
		if err := rows.Err(); err != nil {
			return 0, fmt.Errorf("%s: %w", sql, err)
		}
		if took := float64(time.Since(begun).Microseconds()) / 1000; i == 0 || took < ms {
			ms = took
		}
	}
	return ms, nil
}

// examples asks the documented queries of the views, and of tables with their rows.
func (b *bench) examples(conn *pgxpool.Conn) error {
	tables, err := compat.Tables("rasa_pro")
	if err != nil {
		return err
	}
	if _, err := conn.Exec(b.ctx, "create schema plain"); err != nil {
		return err
	}
	for _, t := range tables {
		if t.Name == "_rasa_raw_event" || t.Name == "alembic_version" {
			continue
		}
		if _, err := conn.Exec(b.ctx, fmt.Sprintf("create table plain.%s as select * from rasa_pro.%[1]s", t.Name)); err != nil {
			return err
		}
		if _, err := conn.Exec(b.ctx, "vacuum analyze plain."+t.Name); err != nil {
			return err
		}
	}
	examples, err := compat.Examples("rasa_pro")
	if err != nil {
		return err
	}
	for _, e := range examples[:documented] {
		ours, err := b.best(conn, "rasa_pro", e.SQL)
		if err != nil {
			return err
		}
		plain, err := b.best(conn, "plain", e.SQL)
		if err != nil {
			return err
		}
		b.note(fmt.Sprintf("%.40s: %.0f ms ÷ plain tables", e.Title, ours), ours/plain, "ratio", "<= 1.5")
	}
	return nil
}

// lookUps counts how many plans of look-ups read all of a table that holds rows of conversations.
func (b *bench) lookUps(conn *pgxpool.Conn) error {
	whole := 0
	for schema, columns := range map[string][]string{
		"rasa_pro": {"session_id", "sender_id", "timestamp", "inserted_at"}, "rasa_studio": {"conversationId", "startDate"},
		"a8": {"chat_id", "time"}, "sentione": {"session_id", "created_at"},
	} {
		tables, err := compat.Tables(schema)
		if err != nil {
			return err
		}
		for _, t := range tables {
			for _, c := range t.Columns {
				for _, column := range columns {
					if c.Name != column {
						continue
					}
					name := pgx.Identifier{c.Name}.Sanitize()
					where := name + " = '31a66194-c5b1-42bb-a727-cf2d941417f1'"
					if strings.HasPrefix(c.Type, "timestamp") {
						where = fmt.Sprintf("%s >= '%s' and %[1]s < '%s'", name, time.Now().AddDate(0, 0, -40).Format(time.DateOnly), time.Now().AddDate(0, 0, -39).Format(time.DateOnly))
					}
					n, err := seqScans(b.ctx, conn, pgx.Identifier{schema, t.Name}.Sanitize(), where)
					if err != nil {
						return err
					}
					if n > 0 {
						fmt.Printf("  %s.%s by %s reads all of a table\n", schema, t.Name, column)
						whole++
					}
				}
			}
		}
	}
	b.note("look-ups by id or day that read all of a table", float64(whole), "plans", "0")
	return nil
}

// seqScans is how many large tables the plan of a query reads as a whole.
func seqScans(ctx context.Context, conn *pgxpool.Conn, table, where string) (n int, err error) {
	rows, _ := conn.Query(ctx, "explain (costs off) select * from "+table+" where "+where)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return 0, fmt.Errorf("%s where %s: %w", table, where, err)
	}
	for _, line := range lines {
		_, of, ok := strings.Cut(line, "Seq Scan on ")
		name, _, _ := strings.Cut(of, " ")
		switch {
		case !ok:
		case strings.HasPrefix(name, "events_"), strings.HasPrefix(name, "messages_"), strings.HasPrefix(name, "event_payloads_"),
			name == "conversations", name == "turns", name == "slots", name == "commands", name == "flow_steps", name == "senders":
			n++
		}
	}
	return n, nil
}
