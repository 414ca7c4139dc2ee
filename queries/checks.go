package queries

import (
	"net/mail"
	"slices"
	"strings"

	"turnwise/conversation"
	"turnwise/metric"
)

// Check tells what is wrong with a rule.
func (r RetentionRule) Check() error {
	after := func(a, b *int32) bool { return a != nil && b != nil && *a > *b }
	for name, days := range map[string]*int32{
		"texts": r.TextDays, "events": r.EventDays, "conversations": r.ConversationDays, "figures": r.StatisticsDays,
	} {
		if days != nil && (*days < 1 || *days > 36500) {
			return &metric.InputError{
				Field: name, Msg: "are kept for a number of days from 1 to 36,500; empty: for ever",
			}
		}
	}
	switch {
	case r.Most < 1 || r.Most > 10_000_000:
		return &metric.InputError{Field: "most", Msg: "is a number of conversations from 1 to 10,000,000"}
	case r.EventDays != nil && (r.TextDays == nil || *r.TextDays > *r.EventDays):
		return &metric.InputError{Field: "texts", Msg: "go no later than the events in which they stand"}
	case after(r.EventDays, r.ConversationDays):
		return &metric.InputError{Field: "events", Msg: "go no later than their conversations"}
	case after(r.TextDays, r.ConversationDays):
		return &metric.InputError{Field: "texts", Msg: "go no later than their conversations"}
	case r.StatisticsDays == nil:
	case r.Environment+r.Channel != "":
		return &metric.InputError{Field: "figures", Msg: "are kept by assistant, not by environment or channel"}
	case r.ConversationDays == nil || *r.StatisticsDays < *r.ConversationDays:
		return &metric.InputError{Field: "figures", Msg: "cannot go before the conversations that they count"}
	}
	return nil
}

// Check tells what is wrong with the settings of mail.
func (m MailSettings) Check() error {
	address, bad := mail.ParseAddress(m.From)
	switch {
	case m.Host == "" || len(m.Host) > 253 || strings.ContainsAny(m.Host, " /:@"):
		return &metric.InputError{Field: "server", Msg: "is a name such as smtp.example.org"}
	case m.Port < 1 || m.Port > 65535:
		return &metric.InputError{Field: "port", Msg: "is a number such as 587"}
	case !slices.Contains([]string{"starttls", "tls", "none"}, m.Security):
		return &metric.InputError{Field: "encryption", Msg: "is one of starttls, tls, none"}
	case bad != nil || address.Address != m.From:
		return &metric.InputError{Field: "sender's address", Msg: "is one such as turnwise@example.org"}
	case len(m.Sender) > 100 || len(m.Line) > 300 || len(m.User) > 200:
		return &metric.InputError{Field: "form", Msg: "has texts that are too long"}
	case m.User != "" && m.Security == "none" && !strings.HasPrefix(m.Host, "127.") && m.Host != "localhost":
		return &metric.InputError{Field: "encryption", Msg: "is needed where a password is sent"}
	}
	return nil
}

// CheckSettings tells what is wrong with the settings of an assistant.
func CheckSettings(s conversation.Settings) error {
	if field, why := s.Check(); field != "" {
		return &metric.InputError{Field: field, Msg: why}
	}
	return nil
}

// AuditDaysLeast and AuditDaysMost bound how many days entries of the audit log are kept, unless they are for ever.
const (
	AuditDaysLeast = 30
	AuditDaysMost  = 36500
)
