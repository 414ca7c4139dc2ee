package schedule

import (
	"regexp"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// fields is a schedule of five fields of cron: minute, hour, day of the month, month, weekday. A day counts when day
// and weekday match or, where both are given, one of them.
type fields struct {
	text               string
	spec               *cron.SpecSchedule
	anyDay, anyWeekday bool
}

var (
	parser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	// Sunday may be 7, at the end of a range too.
	untilSunday = regexp.MustCompile(`^(.+)-7$`)
	sunday      = regexp.MustCompile(`^7$`)
)

// parseCron reads five fields; ok tells whether they are right.
func parseCron(text string) (c *fields, ok bool) {
	all := strings.Fields(strings.ToLower(text))
	if len(all) != 5 || strings.Contains(text, "=") { // which would be a time zone
		return nil, false
	}
	c = &fields{
		text: strings.Join(all, " "), anyDay: strings.HasPrefix(all[2], "*"),
		anyWeekday: strings.HasPrefix(all[4], "*"),
	}
	days := strings.Split(all[4], ",")
	for i, d := range days {
		if !strings.Contains(d, "/") {
			days[i] = sunday.ReplaceAllString(untilSunday.ReplaceAllString(d, "$1-6,0"), "0")
		}
	}
	all[4] = strings.Join(days, ",")
	parsed, err := parser.Parse(strings.Join(all, " "))
	if err != nil {
		return nil, false
	}
	c.spec, ok = parsed.(*cron.SpecSchedule)
	return c, ok && c.ever()
}

// ever tells whether a day of the calendar is meant: 30 February never comes.
func (c *fields) ever() bool {
	if c.anyDay || !c.anyWeekday {
		return true
	}
	for day := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() == 2024; day = day.AddDate(0, 0, 1) {
		if c.on(day) {
			return true
		}
	}
	return false
}

func has(set uint64, n int) bool { return set&(1<<uint(n)) != 0 }

// on tells whether the schedule runs on a date.
func (c *fields) on(date time.Time) bool {
	if !has(c.spec.Month, int(date.Month())) {
		return false
	}
	day, week := has(c.spec.Dom, date.Day()), has(c.spec.Dow, int(date.Weekday()))
	if c.anyDay || c.anyWeekday {
		return day && week
	}
	return day || week
}
