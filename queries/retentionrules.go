package queries

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// RetentionRule says how long conversations and statistics of an assistant, environment and channel are kept; "" means
// all. For a conversation the most specific rule holds.
type RetentionRule struct {
	ID               conversation.UUID
	Assistant        string
	Environment      string
	Channel          string
	TextDays         *int32 // nil: as long as their events
	EventDays        *int32 // nil: as long as their conversations; not less than TextDays
	ConversationDays *int32 // nil: for ever; not less than the others
	StatisticsDays   *int32 // nil: for ever; not less than ConversationDays, and only without environment and channel
	Most             int32  // conversations deleted in a run
	Revision         int32
	ChangedAt        time.Time
	By               string
}

// Days returns how long the rule keeps something; nil: as long as what holds it.
func (r RetentionRule) Days(of Kept) *int32 {
	return [...]*int32{KeptTexts: r.TextDays, KeptEvents: r.EventDays, KeptConversations: r.ConversationDays}[of]
}

// specific is how specific a rule is: assistants before environments before channels.
func (r RetentionRule) specific() (n int) {
	for i, v := range []string{r.Channel, r.Environment, r.Assistant} {
		if v != "" {
			n += 4 + i
		}
	}
	return n
}

// RetentionRules returns all rules.
func RetentionRules(ctx context.Context, db DB) ([]RetentionRule, error) {
	rows, _ := db.Query(ctx, retentionRulesSQL)
	return pgx.CollectRows(rows, pgx.RowToStructByName[RetentionRule])
}

// AddRetentionRule keeps a rule; ErrConflict when there is one for the same.
func AddRetentionRule(ctx context.Context, db DB, r RetentionRule, by conversation.UUID) error {
	_, err := db.Exec(ctx, insertRetentionSQL, pgx.StrictNamedArgs{
		"id": r.ID, "assistant": r.Assistant, "environment": r.Environment, "channel": r.Channel, "texts": r.TextDays,
		"events": r.EventDays, "conversations": r.ConversationDays, "statistics": r.StatisticsDays, "most": r.Most,
		"now": r.ChangedAt, "by": NullUUID(by),
	})
	return Unique(err)
}

// ChangeRetentionRule changes the durations of a rule, or returns ErrNotFound when somebody else did so meanwhile.
func ChangeRetentionRule(ctx context.Context, db DB, r RetentionRule, by conversation.UUID) error {
	return Changed(ctx, db, updateRetentionSQL, pgx.StrictNamedArgs{
		"id": r.ID, "texts": r.TextDays, "events": r.EventDays, "conversations": r.ConversationDays,
		"statistics": r.StatisticsDays, "most": r.Most, "revision": r.Revision, "now": r.ChangedAt, "by": NullUUID(by),
	})
}

// DeleteRetentionRule deletes a rule.
func DeleteRetentionRule(ctx context.Context, db DB, id conversation.UUID) error {
	return Changed(ctx, db, deleteRetentionSQL, pgx.StrictNamedArgs{"id": id})
}
