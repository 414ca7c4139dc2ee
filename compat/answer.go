package compat

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Answer is what a query returns, as text; cells that hold nothing are nil.
type Answer struct {
	Columns []string
	Rows    [][]*string
	More    bool // there are further rows
	Late    bool // it took too long, and has no rows
	Missing bool // the schema is not there
}

// Ask asks a query of a schema for its first rows, without what was said and by whom. It changes nothing, and ends after
// limit.
func Ask(ctx context.Context, pool *pgxpool.Pool, schema, sql string, most int, limit time.Duration) (a Answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		for _, set := range []string{
			"set local search_path = " + pgx.Identifier{schema}.Sanitize(), "set local turnwise.texts = 'off'", "set local jit = off",
			"declare answer no scroll cursor for " + strings.TrimSuffix(strings.TrimSpace(sql), ";"),
		} {
			if _, err := tx.Exec(ctx, set, pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}
		}
		rows, err := tx.Query(ctx, fmt.Sprintf("fetch forward %d from answer", most+1), pgx.QueryExecModeExec, pgx.QueryResultFormats{pgx.TextFormatCode})
		if err != nil {
			return err
		}
		defer rows.Close()
		for _, f := range rows.FieldDescriptions() {
			a.Columns = append(a.Columns, f.Name)
		}
		for rows.Next() {
			if a.More = len(a.Rows) == most; a.More {
				break
			}
			row := make([]*string, len(a.Columns))
			for i, v := range rows.RawValues() {
				if v != nil {
					text := string(v)
					row[i] = &text
				}
			}
			a.Rows = append(a.Rows, row)
		}
		rows.Close()
		return rows.Err()
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "57014" || errors.Is(err, context.DeadlineExceeded) {
		return Answer{Late: true}, nil
	}
	if errors.As(err, &pg) && pg.Code == "42P01" {
		return Answer{Missing: true}, nil
	}
	return a, err
}
