package report

import (
	"archive/zip"
	"context"
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/work"
	"turnwise/views"
)

// authors are who writes messages.
var authors = map[conversation.Author]string{
	conversation.ByUser: "user", conversation.ByBot: "bot", conversation.ByAgent: "agent",
	conversation.BySystem: "system", conversation.AsNote: "note",
}

type personMessage struct {
	ID     conversation.UUID `json:"id"`
	At     time.Time         `json:"at"`
	Author string            `json:"author"`
	Text   string            `json:"text"`
	Rich   json.RawMessage   `json:"rich,omitempty"`
	Intent string            `json:"intent,omitempty"`
}

type personConversation struct {
	ID          conversation.UUID `json:"id"`
	Assistant   string            `json:"assistant"`
	Environment string            `json:"environment"`
	Channel     string            `json:"channel"`
	Version     string            `json:"version"`
	SenderKey   string            `json:"sender_key"`
	UserID      string            `json:"user_id"`
	StartedAt   time.Time         `json:"started_at"`
	LastAt      time.Time         `json:"last_at"`
	Outcome     string            `json:"outcome"`
	CSAT        string            `json:"csat"`
	Flows       []string          `json:"flows"`
	Messages    []personMessage   `json:"messages"`
	Tags        []string          `json:"tags"`
	Notes       []string          `json:"notes"`
	Events      []json.RawMessage `json:"events"`
}

// WritePerson writes all that is stored about a person as a zip: data.json for programs, index.html to read.
func WritePerson(
	ctx context.Context, pool *pgxpool.Pool, w io.Writer, of []queries.Subject, now time.Time, zone *time.Location,
) error {
	all, apart := []personConversation{}, []personApart{}
	if err := pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{
		IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly,
	}, func(tx pgx.Tx) error {
		for _, s := range of {
			ids, err := queries.ConversationsOf(ctx, tx, []int64{s.SenderID})
			if err != nil {
				return err
			}
			for _, id := range ids {
				c, err := conversationOf(ctx, queries.Clear(tx), id, s, now)
				if err != nil {
					return err
				}
				all = append(all, c)
			}
			one, err := apartOf(ctx, queries.Clear(tx), s)
			if err != nil {
				return err
			}
			if one.Traits != nil || len(one.Aliases)+len(one.Events) > 0 {
				apart = append(apart, one)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	out := zip.NewWriter(w)
	f, err := out.Create("data.json")
	if err != nil {
		return err
	}
	to := json.NewEncoder(f)
	to.SetIndent("", "  ")
	to.SetEscapeHTML(false)
	if err := to.Encode(map[string]any{
		"made_at": now.UTC(), "senders": subjects(of), "conversations": all, "beside_conversations": apart,
	}); err != nil {
		return err
	}
	if f, err = out.Create("index.html"); err != nil {
		return err
	}
	m := personModel(of, all, now, zone)
	if err := views.PersonDocument(m).Render(ctx, f); err != nil { //nolint:contextcheck // Render passes it on
		return err
	}
	return out.Close()
}

func subjects(of []queries.Subject) (all []map[string]any) {
	for _, s := range of {
		all = append(all, map[string]any{
			"assistant": s.Assistant, "sender_key": s.SenderKey, "user_id": s.UserID, "conversations": s.Conversations,
			"first": s.First, "last": s.Last,
		})
	}
	return all
}

// personApart is what is known of a sender beside its conversations.
type personApart struct {
	SenderKey string            `json:"sender_key"`
	Traits    json.RawMessage   `json:"traits,omitempty"`
	Aliases   []string          `json:"aliases"`
	Events    []json.RawMessage `json:"events"`
}

func apartOf(ctx context.Context, db queries.Sight, s queries.Subject) (personApart, error) {
	x := personApart{SenderKey: s.SenderKey, Events: []json.RawMessage{}}
	traits, aliases, bundles, err := queries.ApartOf(ctx, db, s.SenderID)
	if err != nil {
		return x, err
	}
	if x.Aliases = aliases; traits != nil && json.Valid([]byte(*traits)) {
		x.Traits = json.RawMessage(*traits)
	}
	for _, b := range bundles {
		for body := range strings.SplitSeq(b, queries.BodySeparator) {
			if json.Valid([]byte(body)) {
				x.Events = append(x.Events, json.RawMessage(body))
			}
		}
	}
	return x, nil
}

// conversationOf reads a whole conversation of a sender.
func conversationOf(
	ctx context.Context, db queries.Sight, id conversation.UUID, s queries.Subject, now time.Time,
) (p personConversation, err error) {
	c, err := queries.Conversation(ctx, db, id, []string{s.Assistant})
	if err != nil {
		return p, err
	}
	p = personConversation{
		ID: c.ID, Assistant: c.Assistant, Environment: c.Environment, Channel: c.Channel, Version: c.Version,
		SenderKey: c.SenderKey, UserID: c.UserID, StartedAt: c.StartedAt.UTC(), LastAt: c.LastAt.UTC(),
		Outcome: queries.OutcomeAt(c.Outcome, c.ClosesAt, now), CSAT: c.CSAT, Flows: c.Flows,
		Messages: []personMessage{}, Tags: []string{}, Notes: []string{}, Events: []json.RawMessage{},
	}
	for window := (queries.Window{Limit: 1000}); ; {
		t, err := queries.LoadTranscript(ctx, db, c, window)
		if err != nil {
			return p, err
		}
		for _, m := range t.Messages {
			row := personMessage{
				ID: m.ID, At: m.At.UTC(), Author: authors[conversation.Author(m.Author)], Text: m.Text,
				Intent: m.Intent,
			}
			if m.Rich != nil && json.Valid([]byte(*m.Rich)) {
				row.Rich = json.RawMessage(*m.Rich)
			}
			p.Messages = append(p.Messages, row)
		}
		if t.Until == 0 {
			break
		}
		window.After = t.Until
	}
	bundles, err := queries.BodiesOf(ctx, db, c)
	if err != nil {
		return p, err
	}
	for _, b := range bundles {
		for body := range strings.SplitSeq(b, queries.BodySeparator) {
			if json.Valid([]byte(body)) {
				p.Events = append(p.Events, json.RawMessage(body))
			}
		}
	}
	work, err := work.WorkOf(
		ctx, db, queries.ConversationKey{SenderID: c.SenderID, ID: c.ID}, c.Events, conversation.UUID{},
	)
	if err != nil {
		return p, err
	}
	for _, t := range work.Tags {
		p.Tags = append(p.Tags, t.Name)
	}
	for _, n := range work.Notes {
		p.Notes = append(p.Notes, n.Text)
	}
	return p, nil
}

func personModel(of []queries.Subject, all []personConversation, now time.Time, zone *time.Location) views.PersonFile {
	m := views.PersonFile{MadeAt: now.In(zone)}
	for _, s := range of {
		m.Senders = append(m.Senders, views.PersonSender{
			Assistant: s.Assistant, Key: s.SenderKey, UserID: s.UserID, Conversations: s.Conversations,
		})
	}
	for _, c := range all {
		x := views.PersonTalk{
			Assistant: c.Assistant, Channel: c.Channel, At: c.StartedAt.In(zone),
			Outcome: metric.OutcomeName(c.Outcome), Tags: strings.Join(c.Tags, ", "), Notes: c.Notes,
		}
		for _, line := range c.Messages {
			x.Lines = append(x.Lines, views.PersonLine{At: line.At.In(zone), Author: line.Author, Text: line.Text})
		}
		m.Talks = append(m.Talks, x)
	}
	return m
}
