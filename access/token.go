package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"turnwise/conversation"
	"turnwise/metric"
)

// Token lets a program send events, or read.
type Token struct {
	ID          conversation.UUID
	Prefix      string
	Hash        []byte // SHA-256 of the whole token
	Name        string
	Role        string   // ingest, analytics_viewer, analytics_admin or admin: the mightiest of Roles
	Roles       []string // all that it has; nil: Role alone
	Assistants  []string // of which it may send or read; nil: all
	Assistant   string   // of ingest: for events that name none
	Always      bool     // all its events are Assistant's, whatever they name
	Environment string
	MostEvents  *int32 // that it may send in a minute; nil: any number
	MostBytes   *int64 // likewise, before compression
	CreatedAt   time.Time
	CreatedBy   string
	ExpiresAt   *time.Time // nil: never
	LastUsedAt  *time.Time
	RevokedAt   *time.Time
}

// InForce tells whether the token may be used.
func (t Token) InForce(now time.Time) bool {
	return t.RevokedAt == nil && (t.ExpiresAt == nil || t.ExpiresAt.After(now))
}

// Drawn returns the token checked, with a new secret, which is not kept; days is how long it is in force, 0 for ever.
func (t Token) Drawn(days int) (drawn Token, secret string, err error) {
	slices.Sort(t.Assistants)
	t.Assistants = slices.Compact(t.Assistants)
	if len(t.Roles) == 0 {
		t.Roles = []string{t.Role}
	}
	slices.SortFunc(t.Roles, func(a, b string) int { return might(a) - might(b) })
	t.Roles = slices.Compact(t.Roles)
	t.Role = t.Roles[len(t.Roles)-1]
	if t.Role != "ingest" {
		t.Assistant, t.Environment = "", ""
	}
	if err := t.check(days); err != nil {
		return t, "", err
	}
	if days > 0 {
		at := t.CreatedAt.AddDate(0, 0, days)
		t.ExpiresAt = &at
	}
	t.Prefix = "tw_" + strings.ToLower(rand.Text()[:8])
	secret = t.Prefix + "." + rand.Text()
	sum := sha256.Sum256([]byte(secret))
	t.Hash = sum[:]
	return t, secret, nil
}

// might orders roles: a later one may do all that an earlier one may, but for ingest, which reads nothing.
func might(role string) int { return slices.Index(TokenRoles, role) }

// Has tells whether the token has one of the roles, literally: that one role may do what another may does not count.
func (t Token) Has(roles ...string) bool {
	return slices.ContainsFunc(roles, func(r string) bool { return slices.Contains(t.Roles, r) })
}

func (t Token) check(days int) error {
	switch {
	case t.Name == "" || len(t.Name) > 200:
		return &metric.InputError{Field: "name", Msg: "is needed, and at most 200 characters long"}
	case slices.ContainsFunc(t.Roles, func(r string) bool { return !slices.Contains(TokenRoles, r) }):
		return &metric.InputError{Field: "role", Msg: "is one of " + strings.Join(TokenRoles, ", ")}
	case len(t.Roles) > 1 && slices.Contains(t.Roles, "ingest"):
		return &metric.InputError{Field: "role", Msg: "ingest stands alone: use another token to read"}
	case t.Role == "ingest" && (t.Assistant == "" || len(t.Assistant) > 200):
		return &metric.InputError{Field: "assistant", Msg: "is needed, and at most 200 characters long"}
	case t.Role == "admin" && len(t.Assistants) > 0:
		return &metric.InputError{Field: "assistants", Msg: "an admin's token reads all of them; limit another role"}
	case len(t.Environment) > 100:
		return &metric.InputError{Field: "environment", Msg: "is longer than 100 characters"}
	case t.Role == "ingest" && len(t.Assistants) > 0 && !slices.Contains(t.Assistants, t.Assistant):
		return &metric.InputError{Field: "assistant", Msg: "is not one of those that the token is limited to"}
	case t.MostEvents != nil && *t.MostEvents < 1, t.MostBytes != nil && *t.MostBytes < 1:
		return &metric.InputError{Field: "a minute", Msg: "takes a number from 1 on; empty: any number"}
	case t.Role != "ingest" && (t.MostEvents != nil || t.MostBytes != nil):
		return &metric.InputError{Field: "a minute", Msg: "is for tokens that send"}
	case days < 0 || days > 3650:
		return &metric.InputError{Field: "days", Msg: "is a number from 1 to 3,650; empty: for ever"}
	}
	return nil
}

// Audit is what the audit log tells of a token that is in force for that many days.
func (t Token) Audit(days int) map[string]any {
	d := map[string]any{"role": strings.Join(t.Roles, ", ")}
	if t.Role == "ingest" {
		d["assistant"], d["environment"] = t.Assistant, t.Environment
		if t.Always {
			d["always"] = true
		}
		if t.MostEvents != nil {
			d["events_a_minute"] = *t.MostEvents
		}
		if t.MostBytes != nil {
			d["bytes_a_minute"] = *t.MostBytes
		}
	}
	if len(t.Assistants) > 0 {
		d["only"] = t.Assistants
	}
	if days > 0 {
		d["days"] = days
	}
	return d
}

// Prefix is by which a token is looked up whose secret a program shows; ok is false for what no token can be.
func Prefix(secret string) (prefix string, ok bool) {
	prefix, _, ok = strings.Cut(secret, ".")
	return prefix, ok && len(secret) <= 200 && utf8.ValidString(prefix) && !strings.ContainsRune(prefix, 0)
}

// Is tells whether a secret is the token's.
func (t Token) Is(secret string) bool {
	sum := sha256.Sum256([]byte(secret))
	return subtle.ConstantTimeCompare(sum[:], t.Hash) == 1
}

// Account is who reads with the token.
func (t Token) Account() Account {
	return Account{
		ID: t.ID, Email: "token " + t.Name, Name: "token " + t.Name, Role: t.Role, Assistants: t.Assistants, IsToken: true,
	}
}
