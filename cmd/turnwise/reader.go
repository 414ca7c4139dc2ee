package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/queries"
)

type readerCmd struct {
	Create readerCreateCmd `cmd:"" help:"Make a login that reads facts and figures, and print its password, this once; or bring one up to date after an upgrade."`
	List   readerListCmd   `cmd:"" help:"List the logins."`
	Drop   readerDropCmd   `cmd:"" help:"End a login."`
}

type readerCreateCmd struct {
	Name   string   `arg:"" help:"Name of the login."`
	Schema string   `help:"Schema that it reads in place of Turnwise's own tables: rasa_pro, rasa_studio, a8 or sentione." enum:",rasa_pro,rasa_studio,a8,sentione" default:"" placeholder:"SCHEMA"`
	Only   []string `name:"assistant" sep:"none" help:"With --schema: the only assistants that it sees; repeat for more." placeholder:"NAME"`
	Texts  bool     `help:"It also reads what was said, and by whom."`
}

func (r *readerCreateCmd) Run(c *cli) error {
	return c.with(func(pool *pgxpool.Pool) error {
		password, made := rand.Text(), false
		err := c.keeping(c.ctx, pool, func(pool *pgxpool.Pool) error {
			return c.audited(pool, func(tx pgx.Tx) (d deed, err error) {
				made, err = queries.SetReader(c.ctx, tx, queries.Reader{Name: r.Name, Schema: r.Schema, Texts: r.Texts, Assistants: r.Only}, password)
				return deed{act: queries.AuditReaderMade, name: r.Name, after: map[string]any{"schema": r.Schema, "texts": r.Texts, "assistants": r.Only}}, err
			})
		})
		if errors.Is(err, queries.ErrNotFound) {
			return fmt.Errorf("the schema %s is not there: the log of turnwise serve says why it could not be made", r.Schema)
		}
		if err != nil {
			return fmt.Errorf("reader %s: %w", r.Name, err)
		}
		what := "reads facts and figures"
		if r.Schema != "" {
			what = "reads the tables of the schema " + r.Schema
		}
		if len(r.Only) > 0 {
			what += ", of " + strings.Join(r.Only, ", ") + " alone"
		}
		if r.Texts {
			what += ", what was said, and by whom"
		}
		fmt.Fprintf(c.stdout, "%s %s.\n", r.Name, what)
		if made {
			fmt.Fprintln(c.stdout, "password:", password)
		}
		return nil
	})
}

type readerListCmd struct{}

func (readerListCmd) Run(c *cli) error {
	return c.with(func(pool *pgxpool.Pool) error {
		all, err := queries.Readers(c.ctx, pool)
		for _, r := range all {
			line := r.Name
			if r.Schema != "" {
				line += "  schema " + r.Schema
			}
			if len(r.Assistants) > 0 {
				line += "  of " + strings.Join(r.Assistants, ", ")
			}
			if r.Texts {
				line += "  texts"
			}
			fmt.Fprintln(c.stdout, line)
		}
		return err
	})
}

type readerDropCmd struct {
	Name string `arg:"" help:"Name of the login, as list shows it."`
}

func (r *readerDropCmd) Run(c *cli) error {
	return c.with(func(pool *pgxpool.Pool) error {
		err := c.keeping(c.ctx, pool, func(pool *pgxpool.Pool) error {
			return c.audited(pool, func(tx pgx.Tx) (deed, error) {
				return deed{act: queries.AuditReaderDropped, name: r.Name}, queries.DropReader(c.ctx, tx, r.Name)
			})
		})
		if errors.Is(err, queries.ErrNotFound) {
			return fmt.Errorf("there is no reader %s", r.Name)
		}
		if err != nil {
			return fmt.Errorf("reader %s: %w", r.Name, err)
		}
		return nil
	})
}
