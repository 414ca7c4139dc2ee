// Package config is all that admins set, as it is kept in a file: read, compared and applied.
package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/marker"
	"turnwise/mask"
	"turnwise/metric"
	"turnwise/queries"
)

// Settings is all that admins set but for people, tokens and secrets, as it is kept in a file. What is nil is left as
// it is.
type Settings struct {
	Workspace    *queries.Workspace    `yaml:"workspace,omitempty"`
	Masking      *queries.Masking      `yaml:"masking,omitempty"`
	Mail         *queries.MailSettings `yaml:"mail,omitempty"` // its password is set in Admin
	AuditLogDays *int                  `yaml:"audit_log_days,omitempty"`
	Assistants   []Assistant           `yaml:"assistants,omitempty"`
	Retention    *[]Retention          `yaml:"retention,omitempty"` // all rules: others are deleted
}

// Assistant are the settings of an assistant. What is nil is left as it is.
type Assistant struct {
	Name     string                 `yaml:"name"`
	Settings *conversation.Settings `yaml:"settings,omitempty"`
	Success  *queries.StoredRules   `yaml:"success,omitempty"` // the criteria in force
	Markers  *string                `yaml:"markers,omitempty"` // Rasa's, as YAML
}

// Retention is a rule of retention in a file: days that something is kept, nothing for ever.
type Retention struct {
	Assistant     string `json:"assistant,omitempty" yaml:"assistant,omitempty"`
	Environment   string `json:"environment,omitempty" yaml:"environment,omitempty"`
	Channel       string `json:"channel,omitempty" yaml:"channel,omitempty"`
	Texts         *int32 `json:"texts,omitempty" yaml:"texts,omitempty"`
	Events        *int32 `json:"events,omitempty" yaml:"events,omitempty"`
	Conversations *int32 `json:"conversations,omitempty" yaml:"conversations,omitempty"`
	Figures       *int32 `json:"figures,omitempty" yaml:"figures,omitempty"`
	Most          int32  `json:"most,omitempty" yaml:"most,omitempty"` // conversations deleted in a run
}

// Change is something that a file changes.
type Change struct {
	Act           queries.AuditAct
	What          string
	Before, After any
	do            func(ctx context.Context, tx pgx.Tx) error
}

// Read returns all that is set.
func Read(ctx context.Context, db queries.DB) (c Settings, err error) {
	w, err := queries.WorkspaceSettings(ctx, db)
	if err != nil {
		return c, err
	}
	masking, err := queries.MaskingRules(ctx, db)
	if err != nil {
		return c, err
	}
	masking.Key = nil
	days, err := queries.AuditDays(ctx, db)
	if err != nil {
		return c, err
	}
	c = Settings{Workspace: &w, Masking: &masking, AuditLogDays: &days}
	if has, err := queries.HasMail(ctx, db); err != nil {
		return c, err
	} else if has {
		m, err := queries.Mail(ctx, db)
		if err != nil {
			return c, err
		}
		m.Sealed = nil
		c.Mail = &m
	}
	assistants, err := queries.Assistants(ctx, db)
	if err != nil {
		return c, err
	}
	criteria, err := queries.CriteriaInForce(ctx, db)
	if err != nil {
		return c, err
	}
	for _, a := range assistants {
		x := Assistant{Name: a.Name, Settings: &a.Settings}
		if i := slices.IndexFunc(
			criteria, func(s queries.SuccessCriteria) bool { return s.AssistantID == a.ID },
		); i >= 0 {
			rules := queries.StoredRules(criteria[i].Rules)
			x.Success = &rules
		}
		patterns, err := queries.Patterns(ctx, db, a.Name)
		if err != nil {
			return c, err
		}
		if file, err := markersOf(patterns); err != nil {
			return c, err
		} else if len(patterns) > 0 {
			x.Markers = &file
		}
		c.Assistants = append(c.Assistants, x)
	}
	rules, err := queries.RetentionRules(ctx, db)
	if err != nil {
		return c, err
	}
	c.Retention = &[]Retention{}
	for _, r := range rules {
		*c.Retention = append(*c.Retention, asYAML(r))
	}
	return c, nil
}

func asYAML(r queries.RetentionRule) Retention {
	return Retention{
		r.Assistant, r.Environment, r.Channel, r.TextDays, r.EventDays, r.ConversationDays, r.StatisticsDays, r.Most,
	}
}

// of names what a rule is for.
func (y Retention) of() string {
	if y.Assistant+y.Environment+y.Channel == "" {
		return "all conversations"
	}
	return strings.Trim(strings.Join([]string{y.Assistant, y.Environment, y.Channel}, " / "), " /")
}

// plan gathers the changes that a configuration asks for.
type plan struct {
	have Settings
	by   conversation.UUID
	name string
	now  time.Time
	all  []Change
}

// add adds a change, where it is one.
func (p *plan) add(
	act queries.AuditAct, what string, before, after any, do func(ctx context.Context, tx pgx.Tx) error,
) {
	if !same(before, after) {
		p.all = append(p.all, Change{act, what, before, after, do})
	}
}

// Plan checks a configuration and returns what it would change.
func Plan(
	ctx context.Context, db queries.DB, want Settings, by conversation.UUID, name string, now time.Time,
) ([]Change, error) {
	have, err := Read(ctx, db)
	if err != nil {
		return nil, err
	}
	p := &plan{have: have, by: by, name: name, now: now}
	if err := p.workspace(want); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, a := range want.Assistants {
		if a.Name == "" || len(a.Name) > 255 || seen[a.Name] {
			return nil, within("assistants", &metric.InputError{
				Field: "name", Msg: fmt.Sprintf("%q is missing, too long, or there twice", a.Name),
			})
		}
		seen[a.Name] = true
		if err := p.assistant(a); err != nil {
			return nil, within("assistant "+a.Name, err)
		}
	}
	if want.Retention == nil {
		return p.all, nil
	}
	changes, err := planRetention(ctx, db, have.Assistants, *want.Retention, by, now)
	return append(p.all, changes...), err
}

// workspace plans what is set for all assistants.
func (p *plan) workspace(want Settings) error {
	if w := want.Workspace; w != nil {
		if err := w.Check(); err != nil {
			return within("workspace", err)
		}
		p.add(
			queries.AuditSettingsChanged, "workspace", *p.have.Workspace, *w,
			func(ctx context.Context, tx pgx.Tx) error { return queries.SetWorkspace(ctx, tx, *w, p.by, p.now) },
		)
	}
	if m := want.Masking; m != nil {
		if _, err := mask.New(m.Rules); err != nil {
			return within("masking", err)
		}
		if err := mask.Measure(m.Rules); err != nil {
			return within("masking", err)
		}
		p.add(
			queries.AuditSettingsChanged, "masking", *p.have.Masking, *m,
			func(ctx context.Context, tx pgx.Tx) error { return queries.SetMasking(ctx, tx, *m, p.by, p.now) },
		)
	}
	if m := want.Mail; m != nil {
		if err := p.mail(*m); err != nil {
			return within("mail", err)
		}
	}
	if n := want.AuditLogDays; n != nil {
		if *n != 0 && *n < queries.AuditDaysLeast || *n > queries.AuditDaysMost {
			return within("audit_log_days", &metric.InputError{
				Field: "days", Msg: "are 0, for ever, or from 30 to 36,500",
			})
		}
		p.add(
			queries.AuditSettingsChanged, "audit log", *p.have.AuditLogDays, *n,
			func(ctx context.Context, tx pgx.Tx) error { return queries.SetAuditDays(ctx, tx, *n, p.by, p.now) },
		)
	}
	return nil
}

// mail plans by which server mail is sent.
func (p *plan) mail(m queries.MailSettings) error {
	if err := m.Check(); err != nil {
		return err
	}
	was := queries.MailSettings{}
	if p.have.Mail != nil {
		was = *p.have.Mail
	}
	p.add(queries.AuditSettingsChanged, "mail", was, m, func(ctx context.Context, tx pgx.Tx) error {
		kept := m
		// the password is for that server
		if old, err := queries.Mail(ctx, tx); err == nil && old.Server() == kept.Server() {
			kept.Sealed = old.Sealed
		}
		return queries.SetMail(ctx, tx, kept, p.by, p.now)
	})
	return nil
}

// assistant plans what is set for one.
func (p *plan) assistant(a Assistant) error {
	was, unheard := Assistant{Settings: new(conversation.DefaultSettings())}, " (nothing is known of it yet)"
	if i := slices.IndexFunc(p.have.Assistants, func(x Assistant) bool { return x.Name == a.Name }); i >= 0 {
		was, unheard = p.have.Assistants[i], ""
	}
	if a.Settings != nil {
		if err := queries.CheckSettings(*a.Settings); err != nil {
			return err
		}
		p.add(
			queries.AuditSettingsChanged, "assistant "+a.Name+unheard, *was.Settings, *a.Settings,
			func(ctx context.Context, tx pgx.Tx) error {
				return queries.SetAssistant(ctx, tx, a.Name, *a.Settings, p.by, p.now)
			},
		)
	}
	if a.Markers != nil {
		if err := p.markers(a.Name, unheard, was.Markers, *a.Markers); err != nil {
			return err
		}
	}
	if a.Success == nil {
		return nil
	}
	rules := metric.Criteria(*a.Success)
	if err := rules.Check(); err != nil {
		return err
	}
	old := queries.StoredRules{}
	if was.Success != nil {
		old = *was.Success
	}
	p.add(queries.AuditCriteriaUsed, a.Name+unheard, old, *a.Success, func(ctx context.Context, tx pgx.Tx) error {
		id, err := queries.DraftCriteria(ctx, tx, a.Name, rules, p.name, p.now)
		if err != nil {
			return err
		}
		return queries.ActivateCriteria(ctx, tx, id, p.name, p.now)
	})
	return nil
}

// markersOf is the file that the markers of an assistant make.
func markersOf(patterns []queries.Pattern) (string, error) {
	var active []marker.Definition
	for _, p := range patterns {
		if p.Active {
			active = append(active, p.Definition)
		}
	}
	return marker.File(active)
}

// markers plans those of an assistant.
func (p *plan) markers(name, unheard string, was *string, want string) error {
	all, err := marker.Parse([]byte(want))
	if err != nil {
		return within("markers of "+name, &metric.InputError{Field: "markers", Msg: err.Error()})
	}
	if want, err = marker.File(all); err != nil {
		return err
	}
	if was == nil {
		was = new(string)
	}
	p.add(queries.AuditMarkersChanged, name+unheard, *was, want, func(ctx context.Context, tx pgx.Tx) error {
		_, err := queries.SetPatterns(ctx, tx, name, all, p.by, p.now)
		if errors.Is(err, queries.ErrConflict) {
			err = within("markers of "+name, &metric.InputError{
				Field: "markers", Msg: "cannot change while stored conversations are recalculated; apply the file again when that is done",
			})
		}
		return err
	})
	return nil
}

// planRetention compares the rules of retention.
func planRetention(
	ctx context.Context, db queries.DB, known []Assistant, want []Retention, by conversation.UUID, now time.Time,
) (all []Change, err error) {
	have, err := queries.RetentionRules(ctx, db)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, y := range want {
		if y.Most == 0 {
			y.Most = 100_000
		}
		r := queries.RetentionRule{
			ID: queries.NewID(), Assistant: y.Assistant, Environment: y.Environment, Channel: y.Channel,
			TextDays: y.Texts, EventDays: y.Events, ConversationDays: y.Conversations, StatisticsDays: y.Figures,
			Most: y.Most, ChangedAt: now,
		}
		key := y.Assistant + "\x00" + y.Environment + "\x00" + y.Channel
		if seen[key] {
			return nil, within("retention of "+y.of(), &metric.InputError{Field: "rule", Msg: "is there twice"})
		}
		seen[key] = true
		if err := r.Check(); err != nil {
			return nil, within("retention of "+y.of(), err)
		}
		i := slices.IndexFunc(have, func(o queries.RetentionRule) bool {
			return o.Assistant == y.Assistant && o.Environment == y.Environment && o.Channel == y.Channel
		})
		unheard := " (nothing is known of the assistant yet)"
		if y.Assistant == "" || slices.ContainsFunc(known, func(a Assistant) bool { return a.Name == y.Assistant }) {
			unheard = ""
		}
		switch {
		case i < 0:
			all = append(all, Change{
				queries.AuditRetentionChanged, y.of() + unheard, nil, y,
				func(ctx context.Context, tx pgx.Tx) error { return queries.AddRetentionRule(ctx, tx, r, by) },
			})
		case !reflect.DeepEqual(asYAML(have[i]), y):
			r.ID, r.Revision = have[i].ID, have[i].Revision
			all = append(all, Change{
				queries.AuditRetentionChanged, y.of(), asYAML(have[i]), y,
				func(ctx context.Context, tx pgx.Tx) error { return queries.ChangeRetentionRule(ctx, tx, r, by) },
			})
		}
	}
	for _, r := range have {
		if !seen[r.Assistant+"\x00"+r.Environment+"\x00"+r.Channel] {
			all = append(all, Change{
				queries.AuditRetentionChanged, asYAML(r).of(), asYAML(r), nil,
				func(ctx context.Context, tx pgx.Tx) error { return queries.DeleteRetentionRule(ctx, tx, r.ID) },
			})
		}
	}
	return all, nil
}

// Words say what changes.
func (c Change) Words() string {
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
	if c.Act == queries.AuditCriteriaUsed {
		what = "success of " + what
	}
	if c.Act == queries.AuditRetentionChanged {
		what = "retention of " + what
	}
	return what + ": " + text(c.Before) + " → " + text(c.After)
}

// Apply makes the change and writes it down.
func (c Change) Apply(ctx context.Context, tx pgx.Tx, who queries.Actor, now time.Time) error {
	if err := c.do(ctx, tx); err != nil {
		return fmt.Errorf("%s: %w", c.What, err)
	}
	return queries.Record(ctx, tx, who, now, c.Act, "", c.What, c.Before, c.After)
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
