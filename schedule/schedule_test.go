package schedule

import (
	"testing"
	"time"
)

func TestSchedule(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Mondays 08:00": "Mondays 08:00", "thu, mon 7:30": "Mondays, Thursdays 07:30", "daily 6:05": "daily 06:05", "Weekdays 9:00": "weekdays 09:00",
		"monthly on 15 08:00": "monthly on 15 08:00", "sun and wed at 23:59": "Wednesdays, Sundays 23:59", "monthly 8:00": "monthly on 1 08:00",
		"first weekday of the month 07:30": "first weekday of the month 07:30", "Last Friday of the month at 17:00": "last friday of the month 17:00", "last day 23:00": "last day of the month 23:00",
		"0 3 * * *": "0 3 * * *", "*/15 9-17 * * MON-FRI": "*/15 9-17 * * mon-fri", "0 0 13 * 5": "0 0 13 * 5", "0 8 * * 7": "0 8 * * 7", "0 8 * * 5-7": "0 8 * * 5-7",
	} {
		s, err := Parse(text)
		if err != nil || s.String() != want {
			t.Errorf("%q: %s, %v", text, s, err)
		}
		if again, err := Parse(s.String()); err != nil || again.String() != want {
			t.Errorf("%q is not read again: %s, %v", want, again, err)
		}
	}
	for _, text := range []string{
		"", "08:00", "mondays", "mondays 24:00", "mondays 8:5", "moonday 08:00", "monthly on 31 08:00", "m 08:00",
		"first weekdays 8:00", "first weekday of march 8:00", "60 3 * * *", "0 3 * *", "0 3 31 2 *", "0 3 * * mon-sun",
		"*/0 3 * * *", "@daily", "TZ=UTC 0 3 * * *", "CRON_TZ=UTC 3 * * *", "0 3 * * 8",
	} {
		if s, err := Parse(text); err == nil {
			t.Errorf("%q is read as %s", text, s)
		}
	}
	berlin, _ := time.LoadLocation("Europe/Berlin")
	howe, _ := time.LoadLocation("Australia/Lord_Howe")
	for _, x := range []struct {
		schedule, after, want string
		zone                  *time.Location
	}{
		// the night before, clocks went forward
		{"Sundays 08:00", "2026-03-22T12:00:00+01:00", "2026-03-29T08:00:00+02:00", berlin},
		{"Sundays 08:00", "2026-03-29T08:00:00+02:00", "2026-04-05T08:00:00+02:00", berlin},
		{"Sundays 08:00", "2026-10-18T08:00:00+02:00", "2026-10-25T08:00:00+01:00", berlin},
		{"daily 02:30", "2026-03-28T12:00:00+01:00", "2026-03-29T03:00:00+02:00", berlin}, // is left out
		{"daily 02:30", "2026-10-24T12:00:00+02:00", "2026-10-25T02:30:00+02:00", berlin}, // comes twice
		{"daily 02:30", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00", berlin},
		{"daily 02:15", "2026-10-03T12:00:00+10:30", "2026-10-04T02:30:00+11:00", howe},
		{"monthly on 28 06:00", "2026-01-28T06:00:00Z", "2026-02-28T06:00:00Z", time.UTC},
		// the 1st is a Saturday
		{"first weekday of the month 07:30", "2026-07-15T00:00:00+02:00", "2026-08-03T07:30:00+02:00", berlin},
		{"first weekday of the month 07:30", "2026-08-03T07:30:00+02:00", "2026-09-01T07:30:00+02:00", berlin},
		{"last day of the month 23:00", "2028-02-01T00:00:00Z", "2028-02-29T23:00:00Z", time.UTC},
		{"last friday of the month 17:00", "2026-11-01T00:00:00Z", "2026-11-27T17:00:00Z", time.UTC},
		{"30 2 * * *", "2026-03-28T12:00:00+01:00", "2026-03-29T03:00:00+02:00", berlin},
		{"*/15 9-17 * * mon-fri", "2026-11-20T17:45:00Z", "2026-11-23T09:00:00Z", time.UTC},
		{"0 0 13 * 5", "2026-11-01T00:00:00Z", "2026-11-06T00:00:00Z", time.UTC}, // either
		{"0 8 */2 * *", "2026-11-21T09:00:00Z", "2026-11-23T08:00:00Z", time.UTC},
		{"0 8 * * */2", "2026-11-21T09:00:00Z", "2026-11-22T08:00:00Z", time.UTC}, // sunday, tuesday, …
		{"0 6 29 2 *", "2026-03-01T00:00:00Z", "2028-02-29T06:00:00Z", time.UTC},
		{"0 8 * * 7", "2026-11-20T09:00:00Z", "2026-11-22T08:00:00Z", time.UTC},
		{"0 8 * * 6-7", "2026-11-21T09:00:00Z", "2026-11-22T08:00:00Z", time.UTC},
		{"weekdays 09:00", "2026-11-20T09:00:00Z", "2026-11-23T09:00:00Z", time.UTC},
	} {
		s, err := Parse(x.schedule)
		if err != nil {
			t.Fatal(err)
		}
		after, _ := time.Parse(time.RFC3339, x.after)
		if got := s.Next(after, x.zone).In(x.zone).Format(time.RFC3339); got != x.want {
			t.Errorf("%s after %s: %s, want %s", x.schedule, x.after, got, x.want)
		}
	}
}
