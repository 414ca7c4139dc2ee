package metric

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// cron is a schedule of five fields: minute, hour, day of the month, month, weekday. A day counts when day and weekday match or,
// where both are given, one of them.
type cron struct {
	text                         string
	minutes, hours, days, months []int
	weekdays                     []int // 1 for Monday to 7
	anyDay, anyWeekday           bool
}

var (
	monthNames   = []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	weekdayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
)

// parseCron reads five fields; ok tells whether they are right.
func parseCron(text string) (c *cron, ok bool) {
	fields := strings.Fields(strings.ToLower(text))
	if len(fields) != 5 {
		return nil, false
	}
	c = &cron{text: strings.Join(fields, " "), anyDay: strings.HasPrefix(fields[2], "*"), anyWeekday: strings.HasPrefix(fields[4], "*")}
	for i, f := range []struct {
		into        *[]int
		least, most int
		names       []string
		first       int
	}{{&c.minutes, 0, 59, nil, 0}, {&c.hours, 0, 23, nil, 0}, {&c.days, 1, 31, nil, 0}, {&c.months, 1, 12, monthNames, 1}, {&c.weekdays, 0, 7, weekdayNames, 0}} {
		if *f.into, ok = cronField(fields[i], f.least, f.most, f.names, f.first); !ok {
			return nil, false
		}
	}
	for i, d := range c.weekdays {
		if d == 0 {
			c.weekdays[i] = 7
		}
	}
	// 30 February never comes.
	if !c.anyDay && c.anyWeekday && !slices.ContainsFunc(c.months, func(m int) bool { return c.days[0] <= time.Date(2024, time.Month(m)+1, 0, 0, 0, 0, 0, time.UTC).Day() }) {
		return nil, false
	}
	return c, true
}

// cronField reads lists, ranges and steps: 1,15 or 9-17 or */10 or mon-fri.
func cronField(text string, least, most int, names []string, first int) (all []int, ok bool) {
	number := func(s string) (int, bool) {
		if i := slices.Index(names, s); i >= 0 {
			return i + first, true
		}
		n, err := strconv.Atoi(s)
		return n, err == nil && n >= least && n <= most
	}
	for part := range strings.SplitSeq(text, ",") {
		span, step, stepped := strings.Cut(part, "/")
		every := 1
		if stepped {
			var err error
			if every, err = strconv.Atoi(step); err != nil || every < 1 || every > most {
				return nil, false
			}
		}
		from, until := least, most
		if span != "*" {
			a, b, isRange := strings.Cut(span, "-")
			if from, ok = number(a); !ok {
				return nil, false
			}
			if until = from; isRange {
				if until, ok = number(b); !ok || until < from {
					return nil, false
				}
			} else if stepped {
				until = most
			}
		}
		for n := from; n <= until; n += every {
			if !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
	}
	slices.Sort(all)
	return all, true
}

func (c *cron) on(date time.Time, weekday int) bool {
	if !slices.Contains(c.months, int(date.Month())) {
		return false
	}
	day, week := slices.Contains(c.days, date.Day()), slices.Contains(c.weekdays, weekday)
	if c.anyDay || c.anyWeekday {
		return day && week
	}
	return day || week
}
