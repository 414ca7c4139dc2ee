package queries

import (
	"context"
	"encoding/json"
	"fmt"
	"net/mail"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/mask"
	"turnwise/metric"
)

// Config is all that admins set but for people, tokens and secrets, as it is kept in a file. What is nil is left as it is.
type Config struct {
	Workspace    *Workspace        `yaml:"workspace,omitempty"`
	Masking      *Masking          `yaml:"masking,omitempty"`
	Mail         *MailSettings     `yaml:"mail,omitempty"` // its password is set in Admin
	AuditLogDays *int              `yaml:"audit_log_days,omitempty"`
	Assistants   []AssistantConfig `yaml:"assistants,omitempty"`
	Retention    *[]RetentionYAML  `yaml:"retention,omitempty"` // all rules: others are deleted
}

// AssistantConfig are the settings of an assistant. What is nil is left as it is.
type AssistantConfig struct {
	Name     string                 `yaml:"name"`
	Settings *conversation.Settings `yaml:"settings,omitempty"`
	Success  *storedRules           `yaml:"success,omitempty"` // the criteria in force
}

// RetentionYAML is a rule of retention in a file: days that something is kept, nothing for ever.
type RetentionYAML struct {
	Assistant     string `json:"assistant,omitempty" yaml:"assistant,omitempty"`
	Environment   string `json:"environment,omitempty" yaml:"environment,omitempty"`
	Channel       string `json:"channel,omitempty" yaml:"channel,omitempty"`
	Texts         *int32 `json:"texts,omitempty" yaml:"texts,omitempty"`
	Events        *int32 `json:"events,omitempty" yaml:"events,omitempty"`
	Conversations *int32 `json:"conversations,omitempty" yaml:"conversations,omitempty"`
	Figures       *int32 `json:"figures,omitempty" yaml:"figures,omitempty"`
	Most          int32  `json:"most,omitempty" yaml:"most,omitempty"` // conversations deleted in a run
}

// ConfigChange is something that a file changes.
type ConfigChange struct {
	Act           AuditAct
	What          string
	Before, After any
	do            func(ctx context.Context, tx pgx.Tx) error
}

// ReadConfig returns all that is set.
func ReadConfig(ctx context.Context, db DB) (c Config, err error) {
	w, err := WorkspaceSettings(ctx, db)
	if err != nil {
		return c, err
	}
	masking, err := MaskingRules(ctx, db)
	if err != nil {
		return c, err
	}
	masking.Key = nil
	days, err := AuditDays(ctx, db)
	if err != nil {
		return c, err
	}
	c = Config{Workspace: &w, Masking: &masking, AuditLogDays: &days}
	if has, err := HasMail(ctx, db); err != nil {
		return c, err
	} else if has {
		m, err := Mail(ctx, db)
		if err != nil {
			return c, err
		}
		m.Sealed = nil
		c.Mail = &m
	}
	assistants, err := Assistants(ctx, db)
	if err != nil {
		return c, err
	}
	criteria, err := CriteriaInForce(ctx, db)
	if err != nil {
		return c, err
	}
	for _, a := range assistants {
		x := AssistantConfig{Name: a.Name, Settings: &a.Settings}
		if i := slices.IndexFunc(criteria, func(s SuccessCriteria) bool { return s.AssistantID == a.ID }); i >= 0 {
			rules := storedRules(criteria[i].Rules)
			x.Success = &rules
		}
		c.Assistants = append(c.Assistants, x)
	}
	rules, err := RetentionRules(ctx, db)
	if err != nil {
		return c, err
	}
	c.Retention = &[]RetentionYAML{}
	for _, r := range rules {
		*c.Retention = append(*c.Retention, r.yaml())
	}
	return c, nil
}

func (r RetentionRule) yaml() RetentionYAML {
	return RetentionYAML{r.Assistant, r.Environment, r.Channel, r.TextDays, r.EventDays, r.ConversationDays, r.StatisticsDays, r.Most}
}

// of names what a rule is for.
func (y RetentionYAML) of() string {
	if y.Assistant+y.Environment+y.Channel == "" {
		return "all conversations"
	}
	return strings.Trim(strings.Join([]string{y.Assistant, y.Environment, y.Channel}, " / "), " /")
}

// Check tells what is wrong with a rule.
func (r RetentionRule) Check() error {
	after := func(a, b *int32) bool { return a != nil && b != nil && *a > *b }
	for name, days := range map[string]*int32{"texts": r.TextDays, "events": r.EventDays, "conversations": r.ConversationDays, "figures": r.StatisticsDays} {
		if days != nil && (*days < 1 || *days > 36500) {
			return &metric.InputError{Field: name, Msg: "are kept for a number of days from 1 to 36,500; empty: for ever"}
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

// PlanConfig checks a configuration and returns what it would change.
func PlanConfig(ctx context.Context, db DB, want Config, by conversation.UUID, name string, now time.Time) (all []ConfigChange, err error) {
	have, err := ReadConfig(ctx, db)
	if err != nil {
		return nil, err
	}
	add := func(act AuditAct, what string, before, after any, do func(ctx context.Context, tx pgx.Tx) error) {
		if !same(before, after) {
			all = append(all, ConfigChange{act, what, before, after, do})
		}
	}
	if w := want.Workspace; w != nil {
		if err := w.Check(); err != nil {
			return nil, within("workspace", err)
		}
		add(AuditSettingsChanged, "workspace", *have.Workspace, *w, func(ctx context.Context, tx pgx.Tx) error { return SetWorkspace(ctx, tx, *w, by, now) })
	}
	if m := want.Masking; m != nil {
		if _, err := mask.New(m.Rules); err != nil {
			return nil, within("masking", err)
		}
		if err := mask.Measure(m.Rules); err != nil {
			return nil, within("masking", err)
		}
		add(AuditSettingsChanged, "masking", *have.Masking, *m, func(ctx context.Context, tx pgx.Tx) error { return SetMasking(ctx, tx, *m, by, now) })
	}
	if m := want.Mail; m != nil {
		if err := m.Check(); err != nil {
			return nil, within("mail", err)
		}
		was := MailSettings{}
		if have.Mail != nil {
			was = *have.Mail
		}
		add(AuditSettingsChanged, "mail", was, *m, func(ctx context.Context, tx pgx.Tx) error {
			kept := *m
			if old, err := Mail(ctx, tx); err == nil && old.Place() == kept.Place() { // the password is for that server
				kept.Sealed = old.Sealed
			}
			return SetMail(ctx, tx, kept, by, now)
		})
	}
	if n := want.AuditLogDays; n != nil {
		if *n != 0 && *n < AuditDaysLeast || *n > AuditDaysMost {
			return nil, within("audit_log_days", &metric.InputError{Field: "days", Msg: "are 0, for ever, or from 30 to 36,500"})
		}
		add(AuditSettingsChanged, "audit log", *have.AuditLogDays, *n, func(ctx context.Context, tx pgx.Tx) error { return SetAuditDays(ctx, tx, *n, by, now) })
	}
	seen := map[string]bool{}
	for _, a := range want.Assistants {
		if a.Name == "" || len(a.Name) > 255 || seen[a.Name] {
			return nil, within("assistants", &metric.InputError{Field: "name", Msg: fmt.Sprintf("%q is missing, too long, or there twice", a.Name)})
		}
		seen[a.Name] = true
		was, unheard := AssistantConfig{Settings: new(conversation.DefaultSettings())}, " (nothing is known of it yet)"
		if i := slices.IndexFunc(have.Assistants, func(x AssistantConfig) bool { return x.Name == a.Name }); i >= 0 {
			was, unheard = have.Assistants[i], ""
		}
		if a.Settings != nil {
			if err := CheckSettings(*a.Settings); err != nil {
				return nil, within("assistant "+a.Name, err)
			}
			add(AuditSettingsChanged, "assistant "+a.Name+unheard, *was.Settings, *a.Settings, func(ctx context.Context, tx pgx.Tx) error {
				return SetAssistant(ctx, tx, a.Name, *a.Settings, by, now)
			})
		}
		if a.Success != nil {
			rules := metric.Criteria(*a.Success)
			if err := rules.Check(); err != nil {
				return nil, within("assistant "+a.Name, err)
			}
			old := storedRules{}
			if was.Success != nil {
				old = *was.Success
			}
			add(AuditCriteriaUsed, a.Name+unheard, old, *a.Success, func(ctx context.Context, tx pgx.Tx) error {
				id, err := DraftCriteria(ctx, tx, a.Name, rules, name, now)
				if err != nil {
					return err
				}
				return ActivateCriteria(ctx, tx, id, name, now)
			})
		}
	}
	if want.Retention == nil {
		return all, nil
	}
	changes, err := planRetention(ctx, db, have.Assistants, *want.Retention, by, now)
	return append(all, changes...), err
}

// planRetention compares the rules of retention.
func planRetention(ctx context.Context, db DB, known []AssistantConfig, want []RetentionYAML, by conversation.UUID, now time.Time) (all []ConfigChange, err error) {
	have, err := RetentionRules(ctx, db)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, y := range want {
		if y.Most == 0 {
			y.Most = 100_000
		}
		r := RetentionRule{ID: NewID(), Assistant: y.Assistant, Environment: y.Environment, Channel: y.Channel, TextDays: y.Texts, EventDays: y.Events, ConversationDays: y.Conversations, StatisticsDays: y.Figures, Most: y.Most, ChangedAt: now}
		key := y.Assistant + "\x00" + y.Environment + "\x00" + y.Channel
		if seen[key] {
			return nil, within("retention of "+y.of(), &metric.InputError{Field: "rule", Msg: "is there twice"})
		}
		seen[key] = true
		if err := r.Check(); err != nil {
			return nil, within("retention of "+y.of(), err)
		}
		i := slices.IndexFunc(have, func(o RetentionRule) bool {
			return o.Assistant == y.Assistant && o.Environment == y.Environment && o.Channel == y.Channel
		})
		unheard := " (nothing is known of the assistant yet)"
		if y.Assistant == "" || slices.ContainsFunc(known, func(a AssistantConfig) bool { return a.Name == y.Assistant }) {
			unheard = ""
		}
		switch {
		case i < 0:
			all = append(all, ConfigChange{AuditRetentionChanged, y.of() + unheard, nil, y, func(ctx context.Context, tx pgx.Tx) error { return AddRetentionRule(ctx, tx, r, by) }})
		case !reflect.DeepEqual(have[i].yaml(), y):
			r.ID, r.Revision = have[i].ID, have[i].Revision
			all = append(all, ConfigChange{AuditRetentionChanged, y.of(), have[i].yaml(), y, func(ctx context.Context, tx pgx.Tx) error { return ChangeRetentionRule(ctx, tx, r, by) }})
		}
	}
	for _, r := range have {
		if !seen[r.Assistant+"\x00"+r.Environment+"\x00"+r.Channel] {
			all = append(all, ConfigChange{AuditRetentionChanged, r.yaml().of(), r.yaml(), nil, func(ctx context.Context, tx pgx.Tx) error { return DeleteRetentionRule(ctx, tx, r.ID) }})
		}
	}
	return all, nil
}

// Words say what changes.
func (c ConfigChange) Words() string {
	text := func(v any) string {
		if v == nil {
			return "nothing"
		}
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(b)
	}
	what := c.What
	if c.Act == AuditCriteriaUsed {
		what = "success of " + what
	}
	if c.Act == AuditRetentionChanged {
		what = "retention of " + what
	}
	return what + ": " + text(c.Before) + " → " + text(c.After)
}

// Apply makes the change and writes it down.
func (c ConfigChange) Apply(ctx context.Context, tx pgx.Tx, who Actor, now time.Time) error {
	if err := c.do(ctx, tx); err != nil {
		return fmt.Errorf("%s: %w", c.What, err)
	}
	return Record(ctx, tx, who, now, c.Act, "", c.What, c.Before, c.After)
}

// same compares settings by what they say: an empty list is as none.
func same(a, b any) bool {
	x, err := json.Marshal(a)
	if err != nil {
		return false
	}
	y, err := json.Marshal(b)
	return err == nil && strings.ReplaceAll(string(x), "[]", "null") == strings.ReplaceAll(string(y), "[]", "null")
}

func within(what string, err error) error { return fmt.Errorf("%s: %w", what, err) }
