package queries

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
)

// MailSettings say how mail leaves. The password stands sealed beside them.
type MailSettings struct {
	Host     string `json:"host" yaml:"host"`
	Port     int    `json:"port" yaml:"port"`
	Security string `json:"security" yaml:"security"` // starttls, tls or none
	User     string `json:"user" yaml:"user"`
	From     string `json:"from" yaml:"from"` // address
	Sender   string `json:"sender" yaml:"sender"`
	Line     string `json:"line" yaml:"line"` // at the end of every mail
	Sealed   []byte `json:"-" yaml:"-"`       // password
}

// Place is what the password is sealed for.
func (m MailSettings) Server() string { return fmt.Sprintf("smtp://%s@%s:%d", m.User, m.Host, m.Port) }

const (
	settingSQL    = `select value, secret from settings where name = @name`
	setSettingSQL = `
insert into settings (name, value, secret, changed_at, changed_by)
values (@name, @value::jsonb, @secret, @now, @by)
on conflict (name) do update
set value = excluded.value, secret = excluded.secret, changed_at = excluded.changed_at, changed_by = excluded.changed_by`
)

// Mail returns the settings of mail; ErrNotFound while there are none.
func Mail(ctx context.Context, db DB) (m MailSettings, err error) {
	rows, _ := db.Query(ctx, settingSQL, pgx.StrictNamedArgs{"name": "mail"})
	var value []byte
	found := false
	if _, err := pgx.ForEachRow(rows, []any{&value, &m.Sealed}, func() error {
		found = true
		return json.Unmarshal(value, &m)
	}); err != nil {
		return m, fmt.Errorf("mail settings: %w", err)
	}
	if !found {
		return m, ErrNotFound
	}
	return m, nil
}

// SetMail keeps the settings of mail.
func SetMail(ctx context.Context, db DB, m MailSettings, by conversation.UUID, now time.Time) error {
	return setSetting(ctx, db, "mail", m, m.Sealed, by, now)
}

func setSetting(
	ctx context.Context, db DB, name string, v any, sealed []byte, by conversation.UUID, now time.Time,
) error {
	value, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = db.Exec(ctx, setSettingSQL, pgx.StrictNamedArgs{
		"name": name, "value": value, "secret": sealed, "now": now, "by": NullUUID(by),
	})
	return err
}

// setting reads a setting into what holds the defaults.
func setting(ctx context.Context, db DB, name string, into any) error {
	rows, _ := db.Query(ctx, settingSQL, pgx.StrictNamedArgs{"name": name})
	var value, sealed []byte
	if _, err := pgx.ForEachRow(
		rows, []any{&value, &sealed}, func() error { return json.Unmarshal(value, into) },
	); err != nil {
		return fmt.Errorf("setting %s: %w", name, err)
	}
	return nil
}

// AuditSettings are those of the audit log.
type AuditSettings struct {
	Days    int  `json:"days"`               // that entries are kept; 0: for ever
	NoReads bool `json:"no_reads,omitempty"` // who reads is not written down
}

// auditDays is how long entries of the audit log are kept unless it is set.
const auditDays = 730

// LoadAuditSettings returns how the audit log is kept.
func LoadAuditSettings(ctx context.Context, db DB) (AuditSettings, error) {
	s := AuditSettings{Days: auditDays}
	err := setting(ctx, db, "audit", &s)
	return s, err
}

// AuditDays is how many days entries of the audit log are kept; 0 for ever.
func AuditDays(ctx context.Context, db DB) (int, error) {
	s, err := LoadAuditSettings(ctx, db)
	return s.Days, err
}

// SetAudit changes how the audit log is kept.
func SetAudit(ctx context.Context, db DB, s AuditSettings, by conversation.UUID, now time.Time) error {
	return setSetting(ctx, db, "audit", s, nil, by, now)
}

// SetAuditDays changes how long it is kept.
func SetAuditDays(ctx context.Context, db DB, days int, by conversation.UUID, now time.Time) error {
	s, err := LoadAuditSettings(ctx, db)
	if err != nil {
		return err
	}
	s.Days = days
	return SetAudit(ctx, db, s, by, now)
}

// HasMail tells whether mail can leave.
func HasMail(ctx context.Context, db DB) (bool, error) {
	_, err := Mail(ctx, db)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
