package main

import (
	"bufio"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/compat"
)

type schemaCmd struct {
	Dump schemaDumpCmd `cmd:"" help:"Write the tables of another product as SQL for psql, with all of their rows."`
}

type schemaDumpCmd struct {
	Schema string `arg:"" enum:"rasa_pro,rasa_studio,a8,sentione" help:"rasa_pro, rasa_studio, a8 or sentione."`
}

func (d *schemaDumpCmd) Run(c *cli) error {
	return c.with(func(pool *pgxpool.Pool) error {
		w := bufio.NewWriterSize(c.stdout, 1<<20)
		rows, err := compat.Dump(c.ctx, pool, d.Schema, w)
		if err == nil {
			err = w.Flush()
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(c.stderr, "%d rows of %s\n", rows, d.Schema)
		return nil
	})
}
