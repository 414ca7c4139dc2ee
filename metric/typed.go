package metric

import (
	"strconv"
	"strings"
	"time"
)

// ParseTyped reads a range as people type it: 14 days, 3w, yesterday, last month, 2026, 2026-10, oct 2026,
// 2026-10-05, 1 oct 2026, or two of the last ones with .. or "to" between.
func ParseTyped(text string, zone *time.Location) (Range, error) {
	s := strings.Join(strings.Fields(strings.ToLower(text)), " ")
	days := func(from, until time.Time) (Range, error) {
		if !until.After(from) {
			return Range{}, &InputError{"range", "ends before it begins"}
		}
		return Range{From: from, Until: until}, nil
	}
	if s == "today" {
		return Range{Days: 1}, nil
	}
	if moving := Moving(strings.ReplaceAll(s, " ", "-")); moving.known() {
		return Range{Moving: moving}, nil
	}
	if n, ok := typedLength(strings.TrimPrefix(s, "last ")); ok {
		if n < 1 || n > MaxDays {
			return Range{}, &InputError{"range", "is from 1 to " + strconv.Itoa(MaxDays) + " days"}
		}
		return Range{Days: n}, nil
	}
	for _, between := range []string{"..", " to ", " – ", " - "} {
		if a, b, ok := strings.Cut(s, between); ok {
			from, _, ok1 := typedStretch(strings.TrimSpace(a), zone)
			_, until, ok2 := typedStretch(strings.TrimSpace(b), zone)
			if ok1 && ok2 {
				return days(from, until)
			}
		}
	}
	if from, until, ok := typedStretch(s, zone); ok {
		return days(from, until)
	}
	return Range{}, &InputError{
		"range", "is something such as 14 days, last month, 2026-10, or 2026-10-05 to 2026-10-12",
	}
}

// typedLength reads a number of days, weeks, months of 30 or years of 365 days.
func typedLength(s string) (days int, ok bool) {
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyz ")
	n, err := strconv.Atoi(strings.TrimSpace(digits))
	if err != nil || n > MaxDays {
		return 0, false
	}
	unit := strings.TrimSpace(s[len(digits):])
	for length, names := range map[int][]string{
		1: {"d", "day", "days"}, 7: {"w", "week", "weeks"}, 30: {"m", "month", "months"}, 365: {"y", "year", "years"},
	} {
		for _, name := range names {
			if unit == name {
				return n * length, true
			}
		}
	}
	return 0, false
}

// typedStretch reads a day, a month or a year.
func typedStretch(s string, zone *time.Location) (from, until time.Time, ok bool) {
	for _, l := range []struct {
		layout              string
		years, months, days int
	}{
		{"2006-01-02", 0, 0, 1},
		{"2 Jan 2006", 0, 0, 1},
		{"2 January 2006", 0, 0, 1},
		{"2.1.2006", 0, 0, 1},
		{"2006-01", 0, 1, 0},
		{"Jan 2006", 0, 1, 0},
		{"January 2006", 0, 1, 0},
		{"2006", 1, 0, 0},
	} {
		t, err := time.Parse(l.layout, s)
		if err == nil && t.Year() >= 1990 && t.Year() <= 2199 {
			return Midnight(t.Year(), t.Month(), t.Day(), zone), Midnight(
				t.Year()+l.years, t.Month()+time.Month(l.months), t.Day()+l.days, zone,
			), true
		}
	}
	return from, until, false
}
