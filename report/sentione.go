package report

import (
	"archive/zip"
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
	const instant = "2006-01-02T15:04:05.000Z"
	err = pgx.BeginTxFunc(ctx, pool, snapshot(x.Only != nil), func(tx pgx.Tx) error {
		z := zip.NewWriter(w)
		create := func(name string, head ...string) (*csv.Writer, error) {
			f, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: now})
			if err != nil {
				return nil, err
			}
			out := csv.NewWriter(f)
			out.UseCRLF = true
			return out, out.Write(head)
		}
		at := indexes(queries.ByMessage)
		seen := map[string]bool{}
		hideMessage, err := hider(ctx, tx, Wanted{Grain: queries.ByMessage, Clear: x.Clear})
		if err != nil {
			return err
		}
		hideSession, err := hider(ctx, tx, Wanted{Grain: queries.ByConversation, Clear: x.Clear})
		if err != nil {
			return err
		}
		messages, err := create("Messages.csv", "conversationId", "authorType", "content", "createdAt", "labels")
		if err != nil {
			return err
		}
		if err := queries.Export(ctx, tx, queries.ByMessage, x.Filter, x.Only, now, zone, eachOf(hideMessage, func(row []any) error {
			n++
			id, _ := row[at["conversation_id"]].(string)
			seen[id] = true
			author, _ := row[at["author"]].(string)
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
			return messages.Write([]string{
				id, map[string]string{"user": "Human", "assistant": "Bot", "agent": "Agent"}[author], safe(text),
				when.UTC().Format(instant), string(b),
			})
		})); err != nil {
			return err
		}
		if messages.Flush(); messages.Error() != nil {
			return messages.Error()
		}
		at = indexes(queries.ByConversation)
		sessions, err := create(
			"Sessions.csv", "projectId", "conversationId", "author", "sourceType", "createdAt", "metadata.environment",
			"metadata.version",
		)
		if err != nil {
			return err
		}
		if err := queries.Export(ctx, tx, queries.ByConversation, x.Filter, nil, now, zone, eachOf(hideSession, func(row []any) error {
			text := func(name string) string {
				s, _ := row[at[name]].(string)
				return s
			}
			if !seen[text("conversation_id")] {
				return nil
			}
			author := text("user_id")
			if author == "" {
				author = text("sender_key")
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
			return sessions.Write([]string{
				conversation.NameUUID(text("assistant")).String(), text("conversation_id"), safe(author),
				safe(text("channel")), when.UTC().Format(instant), string(environment), string(version),
			})
		})); err != nil {
			return err
		}
		if sessions.Flush(); sessions.Error() != nil {
			return sessions.Error()
		}
		return z.Close()
	})
	return n, err
}

// indexes are the places of columns by their names.
func indexes(g queries.Grain) map[string]int {
	all := map[string]int{}
	for i, c := range queries.ExportColumns(g) {
		all[c.Name] = i
	}
	return all
}
