package report

import (
	"archive/zip"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/conversation"
	"turnwise/queries"
)

// WriteSentiOne writes the messages of the filter's conversations, and those conversations, as the two CSV files in a
// zip that SentiOne Automate sends to warehouses. It returns how many messages there are.
func WriteSentiOne(
	ctx context.Context, pool *pgxpool.Pool, w io.Writer, x Wanted, now time.Time, zone *time.Location,
) (n int64, err error) {
	err = pgx.BeginTxFunc(ctx, pool, snapshot(x.Only != nil), func(tx pgx.Tx) error {
		s := &sentiOne{
			tx: tx, zip: zip.NewWriter(w), wanted: x, now: now, zone: zone, seen: map[string]bool{},
		}
		if n, err = s.messages(ctx); err != nil {
			return err
		}
		if err := s.sessions(ctx); err != nil {
			return err
		}
		return s.zip.Close()
	})
	return n, err
}

// sentiOne writes the two files of which SentiOne's zip consists.
type sentiOne struct {
	tx     pgx.Tx
	zip    *zip.Writer
	wanted Wanted
	now    time.Time
	zone   *time.Location
	seen   map[string]bool // conversations that have messages
}

const sentiOneInstant = "2006-01-02T15:04:05.000Z"

// each writes a file: its head, and what row makes of each row.
func (s *sentiOne) each(
	ctx context.Context, name string, head []string, g queries.Grain, only *queries.Increment,
	row func(to *csv.Writer, at map[string]int, row []any) error,
) error {
	f, err := s.zip.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: s.now})
	if err != nil {
		return err
	}
	out := csv.NewWriter(f)
	out.UseCRLF = true
	if err := out.Write(head); err != nil {
		return err
	}
	hide, err := hider(ctx, s.tx, Wanted{Grain: g, Clear: s.wanted.Clear})
	if err != nil {
		return err
	}
	at := indexes(g)
	if err := queries.Export(
		ctx, s.tx, g, s.wanted.Filter, only, s.now, s.zone,
		eachOf(hide, func(values []any) error { return row(out, at, values) }),
	); err != nil {
		return err
	}
	out.Flush()
	return out.Error()
}

func (s *sentiOne) messages(ctx context.Context) (n int64, err error) {
	head := []string{"conversationId", "authorType", "content", "createdAt", "labels"}
	err = s.each(
		ctx, "Messages.csv", head, queries.ByMessage, s.wanted.Only,
		func(to *csv.Writer, at map[string]int, row []any) error {
			n++
			id, _ := row[at["conversation_id"]].(string)
			s.seen[id] = true
			author, _ := row[at["author"]].(string)
			if author == "note" { // which is no part of what was said
				n--
				return nil
			}
			text, _ := row[at["text"]].(string)
			intent, _ := row[at["intent"]].(string)
			when, _ := row[at["at"]].(time.Time)
			labels := []map[string]string{}
			if intent != "" {
				labels = append(labels, map[string]string{"name": intent, "labelType": "IntentLabel"})
			}
			b, err := json.Marshal(labels)
			if err != nil {
				return err
			}
			return to.Write([]string{
				id, map[string]string{"user": "Human", "assistant": "Bot", "agent": "Agent", "system": "Bot"}[author], Safe(text),
				when.UTC().Format(sentiOneInstant), string(b),
			})
		},
	)
	return n, err
}

func (s *sentiOne) sessions(ctx context.Context) error {
	head := []string{
		"projectId", "conversationId", "author", "sourceType", "createdAt", "metadata.environment", "metadata.version",
	}
	return s.each(
		ctx, "Sessions.csv", head, queries.ByConversation, nil,
		func(to *csv.Writer, at map[string]int, row []any) error {
			text := func(name string) string {
				v, _ := row[at[name]].(string)
				return v
			}
			if !s.seen[text("conversation_id")] {
				return nil
			}
			environment, err := json.Marshal(text("environment"))
			if err != nil {
				return err
			}
			version, err := json.Marshal(text("version"))
			if err != nil {
				return err
			}
			when, _ := row[at["started_at"]].(time.Time)
			return to.Write([]string{
				conversation.NameUUID(text("assistant")).String(), text("conversation_id"),
				Safe(cmp.Or(text("user_id"), text("sender_key"))), Safe(text("channel")),
				when.UTC().Format(sentiOneInstant), string(environment), string(version),
			})
		},
	)
}

// indexes are the places of columns by their names.
func indexes(g queries.Grain) map[string]int {
	all := map[string]int{}
	for i, c := range queries.ExportColumns(g) {
		all[c.Name] = i
	}
	return all
}
