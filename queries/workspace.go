package queries

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
)

// Workspace is how days are counted and numbers written, for everybody.
type Workspace struct {
	TimeZone   string `json:"time_zone" yaml:"time_zone"`     // of days and times
	WeekBegins string `json:"week_begins" yaml:"week_begins"` // one of WeekDays
	Numbers    string `json:"numbers" yaml:"numbers"`         // one of NumberForms
}

// WeekDays are the days on which a week may begin, NumberForms the ways in which numbers are written.
var (
	WeekDays    = []string{"monday", "sunday", "saturday"}
	NumberForms = []string{"1,234.5", "1.234,5", "1 234,5", "1'234.5"}
)

// Check tells what is wrong.
func (w Workspace) Check() error {
	if _, err := time.LoadLocation(w.TimeZone); err != nil || w.TimeZone == "" || w.TimeZone == "Local" {
		return &metric.InputError{Field: "time zone", Msg: "is one such as Europe/Berlin"}
	}
	if !slices.Contains(WeekDays, w.WeekBegins) {
		return &metric.InputError{Field: "week", Msg: "begins on monday, sunday or saturday"}
	}
	if !slices.Contains(NumberForms, w.Numbers) {
		return &metric.InputError{Field: "numbers", Msg: "are written as 1,234.5 or 1.234,5 or 1 234,5 or 1'234.5"}
	}
	return nil
}

// Day is the day on which weeks begin.
func (w Workspace) Day() time.Weekday {
	return map[string]time.Weekday{
		"sunday": time.Sunday, "saturday": time.Saturday, "monday": time.Monday,
	}[w.WeekBegins]
}

// Signs are what stands between thousands, and before tenths.
func (w Workspace) Signs() (thousands, point string) {
	r := []rune(w.Numbers)
	if thousands = string(r[1]); thousands == " " {
		thousands = "\u202f" // which breaks no line
	}
	return thousands, string(r[5])
}

func defaultWorkspace() Workspace {
	return Workspace{TimeZone: "UTC", WeekBegins: WeekDays[0], Numbers: NumberForms[0]}
}

// UnmarshalYAML reads the settings; those that are not there are as by default.
func (w *Workspace) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Workspace
	*w = defaultWorkspace()
	return unmarshal((*plain)(w))
}

// WorkspaceSettings returns them.
func WorkspaceSettings(ctx context.Context, db DB) (Workspace, error) {
	w := defaultWorkspace()
	err := setting(ctx, db, "workspace", &w)
	return w, err
}

// SetWorkspace keeps them. Servers take them up within seconds.
func SetWorkspace(ctx context.Context, db DB, w Workspace, by conversation.UUID, now time.Time) error {
	return setSetting(ctx, db, "workspace", w, nil, by, now)
}

const (
	allAssistantsSQL = `
select a.id, a.uuid, a.name, a.settings, a.changed_at, coalesce(u.name, '') as by
from assistants a
left join accounts u on u.id = a.changed_by
where not exists (select from assistant_aliases x where x.name = a.name)
order by a.name`
	setAssistantSQL = `
insert into assistants (id, name, settings, changed_at, changed_by)
values (@id, @name, @settings::jsonb, @now, @by)
on conflict (id) do update
set settings = excluded.settings, changed_at = excluded.changed_at, changed_by = excluded.changed_by`
	settingChangesSQL = `
select s.name, s.changed_at as at, coalesce(u.name, '') as by
from settings s
left join accounts u on u.id = s.changed_by
where s.name <> 'pseudonyms'
order by s.name`
)

// Assistant is an assistant with its settings.
type Assistant struct {
	ID        int32
	UUID      conversation.UUID // that a rename keeps
	Name      string
	Settings  conversation.Settings
	ChangedAt *time.Time // nil: they are as by default
	By        string
}

// Assistants returns all assistants by name.
func Assistants(ctx context.Context, db DB) ([]Assistant, error) {
	rows, _ := db.Query(ctx, allAssistantsSQL)
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (a Assistant, err error) {
		var stored []byte
		var uuid [16]byte
		a.Settings = conversation.DefaultSettings()
		if err = row.Scan(&a.ID, &uuid, &a.Name, &stored, &a.ChangedAt, &a.By); err == nil {
			err = json.Unmarshal(stored, &a.Settings)
		}
		a.UUID = uuid
		return a, err
	})
}

// SetAssistant keeps the settings of an assistant, which need not have sent anything yet. Ingest takes them up within
// ten seconds.
func SetAssistant(
	ctx context.Context, db DB, name string, s conversation.Settings, by conversation.UUID, now time.Time,
) error {
	stored, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if _, err := db.Exec(ctx, setAssistantSQL, pgx.StrictNamedArgs{
		"id": conversation.SmallID("assistant", name), "name": name, "settings": stored, "now": now, "by": NullUUID(by),
	}); err != nil {
		return fmt.Errorf("settings of assistant %q: %w", name, err)
	}
	return nil
}

// SettingChange is when a setting was changed last, and by whom.
type SettingChange struct {
	Name string
	At   time.Time
	By   string
}

// SettingChanges lists them.
func SettingChanges(ctx context.Context, db DB) ([]SettingChange, error) {
	rows, _ := db.Query(ctx, settingChangesSQL)
	return pgx.CollectRows(rows, pgx.RowToStructByName[SettingChange])
}
