package dashboard

import (
	"context"
	"time"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/mask"
	"turnwise/queries"
)

// Opened is a conversation as who asks sees it.
type Opened struct {
	queries.ConversationFacts
	DB       queries.Sight
	Masker   *mask.Masker // nil: in the clear
	Revealed *time.Time   // until when it is revealed; nil: it is not
	Named    bool         // its end user is shown
}

// Key is where the conversation is stored.
func (c Opened) Key() queries.ConversationKey {
	return queries.ConversationKey{SenderID: c.SenderID, ID: c.ID}
}

// Open returns a conversation that who asks may see; queries.ErrNotFound for others as for what is not there.
func (v Viewer) Open(ctx context.Context, id conversation.UUID) (c Opened, err error) {
	c.DB, c.Named = queries.Clear(v.Pool), true
	if c.ConversationFacts, err = queries.Conversation(ctx, c.DB, id, v.User.Assistants); err != nil {
		return c, err
	}
	m, err := queries.DisplayMask(ctx, v.Pool)
	if err != nil || m == nil {
		return c, err
	}
	if v.Rights[access.SeePersonal] {
		if c.Revealed, err = queries.RevealedUntil(ctx, v.Pool, c.Key(), v.User.ID, v.Now); err != nil || c.Revealed != nil {
			return c, err
		}
	}
	told, err := queries.ToldIn(ctx, v.Pool, m, []conversation.UUID{id})
	if err != nil {
		return c, err
	}
	c.Masker = m.With(told[id])
	c.DB = queries.Masked(v.Pool, c.Masker)
	user, sender := c.UserID, c.SenderKey
	if c.ConversationFacts, err = queries.Conversation(ctx, c.DB, id, v.User.Assistants); err != nil { // each text masked
		return c, err
	}
	maskParts(c.Masker, c.Details)
	c.Named = c.UserID == user && (user != "" || c.SenderKey == sender)
	return c, nil
}

// Transcript masks what is masked by its name, beside what the database masks by its form.
func (c Opened) Transcript(t *queries.Transcript) {
	if c.Masker == nil {
		return
	}
	for i := range t.Slots {
		t.Slots[i].Value = c.Masker.Slot(t.Slots[i].Name, t.Slots[i].Value)
	}
	for i := range t.Commands {
		k := &t.Commands[i]
		k.Value, k.Detail = c.Masker.Slot(k.Slot, k.Value), c.Masker.Parts(k.Detail)
	}
	for i := range t.Messages {
		e := &t.Messages[i]
		e.Text, e.Entities = c.Masker.Entities(e.Text, e.Entities)
		maskParts(c.Masker, e.Details)
	}
	for _, x := range t.Live.Told {
		maskParts(c.Masker, x.Details)
	}
	for _, x := range t.Live.Activities {
		maskParts(c.Masker, x.Properties)
	}
}

// maskParts masks a JSON text in place in which slots are told by name.
func maskParts(m *mask.Masker, text *string) {
	if text != nil {
		*text = m.Parts(*text)
	}
}
