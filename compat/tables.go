package compat

import (
	"fmt"
	"slices"
	"strings"
)

// Table is a documented table.
type Table struct {
	Name, Meaning string
	Like          string // another table, whose rows it shows by this name; "" for most
	Columns       []Column
}

// Column is a documented column.
type Column struct {
	Name    string
	Type    string // as PostgreSQL writes it
	Null    bool   // it may hold none
	Meaning string
}

// Tables are the tables of a schema, as its .columns file lists them.
func Tables(schema string) ([]Table, error) {
	text, err := files.ReadFile(schema + ".columns")
	if err != nil {
		return nil, err
	}
	var all []Table
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		column, ok := strings.CutPrefix(line, "\t")
		if !ok {
			name, meaning, ok := strings.Cut(line, ": ")
			if !ok {
				return nil, fmt.Errorf("%s: %q is no table", schema, line)
			}
			t := Table{Name: name, Meaning: meaning}
			if name, like, ok := strings.Cut(name, " like "); ok {
				i := slices.IndexFunc(all, func(x Table) bool { return x.Name == like })
				if i < 0 {
					return nil, fmt.Errorf("%s: %q is like no table", schema, line)
				}
				t.Name, t.Like, t.Columns = name, like, slices.Clone(all[i].Columns)
			}
			all = append(all, t)
			continue
		}
		parts := strings.SplitN(column, " | ", 3)
		if len(parts) != 3 || len(all) == 0 {
			return nil, fmt.Errorf("%s: %q is no column", schema, line)
		}
		typ, null := strings.CutSuffix(parts[1], "?")
		t := &all[len(all)-1]
		t.Columns = append(t.Columns, Column{Name: parts[0], Type: typ, Null: null, Meaning: parts[2]})
	}
	return all, nil
}

// Example is a question that people ask of a schema, and its SQL.
type Example struct{ Title, SQL string }

// Examples are those of a schema.
func Examples(schema string) ([]Example, error) {
	text, err := files.ReadFile("examples/" + schema + ".sql")
	if err != nil {
		return nil, err
	}
	var all []Example
	for part := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		first, sql, _ := strings.Cut(part, "\n")
		title, ok := strings.CutPrefix(first, "-- ")
		if !ok || sql == "" {
			return nil, fmt.Errorf("%s: %q is no example", schema, part)
		}
		all = append(all, Example{Title: title, SQL: sql})
	}
	return all, nil
}
