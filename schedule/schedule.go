// Package schedule reads when something is done again and again, in words or as cron has it, and says when that is
// next.
package schedule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"turnwise/metric"
)

// Times say at which local time something is done, on which days.
type Times struct {
	Weekdays []int // 1 for Monday to 7, in order; none for every day
	Day      int   // of the month, 1 to 28; 0 for none
	Nth      Nth   // the day of the month that is the first or last of its kind; "" for none
	Hour     int
	Minute   int
	cron     *fields // instead of all that
}

// Nth is a day of each month in words: "first" or "last", and "day", "weekday" (Monday to Friday) or a day's name.
type Nth string

var dayNames = []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}

// Parse reads words such as "Mondays 08:00", "mon, thu 7:30", "daily 06:00", "weekdays 9:00" or "monthly on 1 08:00".
func Parse(text string) (s Times, err error) {
	bad := &metric.InputError{
		Field: "schedule",
		Msg:   `is words such as "Mondays 08:00", "daily 6:30", "weekdays 9:00", "monthly on 1 08:00", "first weekday of the month 7:30", or five fields of cron`,
	}
	if c, ok := parseCron(text); ok {
		return Times{cron: c}, nil
	}
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })
	if len(words) < 2 {
		return s, bad
	}
	hour, minute, ok := strings.Cut(words[len(words)-1], ":")
	h, err1 := strconv.Atoi(hour)
	m, err2 := strconv.Atoi(minute)
	if !ok || err1 != nil || err2 != nil || h < 0 || h > 23 || m < 0 || m > 59 || len(minute) != 2 {
		return s, bad
	}
	s.Hour, s.Minute = h, m
	switch days := words[:len(words)-1]; {
	case len(days) == 1 && (days[0] == "daily" || days[0] == "day"):
	case len(days) == 1 && days[0] == "weekdays":
		s.Weekdays = []int{1, 2, 3, 4, 5}
	case days[0] == "first" || days[0] == "last":
		if len(days) < 2 || len(days) > 6 || len(days) > 2 && strings.Join(days[2:], " ") != "of the month" &&
			strings.Join(days[2:], " ") != "of the month at" && strings.Join(days[2:], " ") != "of month" {
			return s, bad
		}
		kind := days[1]
		if kind != "day" && kind != "weekday" && !slices.Contains(dayNames, kind) {
			return s, bad
		}
		s.Nth = Nth(days[0] + " " + kind)
	case days[0] == "monthly":
		s.Day = 1
		if last := days[len(days)-1]; last != "monthly" {
			if s.Day, err = strconv.Atoi(last); err != nil || s.Day < 1 || s.Day > 28 {
				return s, bad
			}
		}
	default:
		for _, d := range days {
			if d == "and" || d == "at" {
				continue
			}
			i := slices.IndexFunc(dayNames, func(name string) bool {
				return len(d) >= 3 && strings.HasPrefix(name+"s", d)
			})
			if i < 0 {
				return s, bad
			}
			if !slices.Contains(s.Weekdays, i+1) {
				s.Weekdays = append(s.Weekdays, i+1)
			}
		}
		slices.Sort(s.Weekdays)
	}
	return s, nil
}

// String writes the schedule, so that Parse reads the same again.
func (s Times) String() string {
	at := fmt.Sprintf("%02d:%02d", s.Hour, s.Minute)
	switch {
	case s.cron != nil:
		return s.cron.text
	case s.Nth != "":
		return string(s.Nth) + " of the month " + at
	case s.Day > 0:
		return fmt.Sprintf("monthly on %d %s", s.Day, at)
	case len(s.Weekdays) == 0:
		return "daily " + at
	case slices.Equal(s.Weekdays, []int{1, 2, 3, 4, 5}):
		return "weekdays " + at
	}
	names := make([]string, len(s.Weekdays))
	for i, d := range s.Weekdays {
		names[i] = strings.ToUpper(dayNames[d-1][:1]) + dayNames[d-1][1:] + "s"
	}
	return strings.Join(names, ", ") + " " + at
}

// Next returns the first time after t. A local time that a change of the clocks leaves out comes when the clocks are
// changed; one that comes twice counts the first time.
func (s Times) Next(t time.Time, zone *time.Location) time.Time {
	y, m, d := t.In(zone).Date()
	for i := 0; ; i++ {
		if s.cron != nil {
			date := time.Date(y, m, d+i, 0, 0, 0, 0, time.UTC)
			if !s.cron.on(date) {
				continue
			}
			for hour := range 24 {
				for minute := range 60 {
					if !has(s.cron.spec.Hour, hour) || !has(s.cron.spec.Minute, minute) {
						continue
					}
					if at := localTime(y, m, d+i, hour, minute, zone); at.After(t) {
						return at
					}
				}
			}
			continue
		}
		at := localTime(y, m, d+i, s.Hour, s.Minute, zone)
		date := time.Date(y, m, d+i, 0, 0, 0, 0, time.UTC)
		weekday := (int(date.Weekday())+6)%7 + 1
		if !at.After(t) || s.Nth != "" && !s.Nth.is(date) || s.Day > 0 && date.Day() != s.Day || len(s.Weekdays) > 0 &&
			!slices.Contains(s.Weekdays, weekday) {
			continue
		}
		return at
	}
}

// busyWeeks is how far ahead Busiest looks: all weekdays and ends of months, and a change of the clocks hardly matters.
const busyWeeks = 5

// Busiest returns how often a schedule runs in 24 hours at most, and the least time between two runs; 0 runs when it
// runs in the weeks after t once or never.
func Busiest(s Times, t time.Time, zone *time.Location) (runs int, least time.Duration) {
	least = busyWeeks * 7 * 24 * time.Hour
	var window []time.Time
	n := 0
	// as many tell all of one that runs so often
	for at, end := s.Next(t, zone), t.Add(least); at.Before(end) && n < 25*60; at = s.Next(at, zone) {
		n++
		if last := len(window); last > 0 {
			least = min(least, at.Sub(window[last-1]))
		}
		window = append(window, at)
		for at.Sub(window[0]) >= 24*time.Hour {
			window = window[1:]
		}
		runs = max(runs, len(window))
	}
	return runs, least
}

// is tells whether a date is that day of its month.
func (n Nth) is(date time.Time) bool {
	which, kind, _ := strings.Cut(string(n), " ")
	match := func(d time.Time) bool {
		w := (int(d.Weekday()) + 6) % 7
		return kind == "day" || kind == "weekday" && w < 5 || kind == dayNames[w]
	}
	if !match(date) {
		return false
	}
	step := -1
	if which == "last" {
		step = 1
	}
	for d := date.AddDate(0, 0, step); d.Month() == date.Month(); d = d.AddDate(0, 0, step) {
		if match(d) {
			return false
		}
	}
	return true
}

// localTime returns the first instant at which clocks show that time, or are moved beyond it.
func localTime(y int, m time.Month, d, hour, minute int, zone *time.Location) time.Time {
	wall := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute
	shown := func(t time.Time) time.Duration {
		h, m, s := t.Clock()
		return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second
	}
	start, next := metric.Midnight(y, m, d, zone), metric.Midnight(y, m, d+1, zone)
	for t := start; t.Before(next); {
		_, end := t.ZoneBounds()
		if end.IsZero() || end.After(next) {
			end = next
		}
		if at := t.Add(max(0, wall-shown(t))); at.Before(end) {
			return at
		}
		t = end.In(zone)
	}
	return next
}
