// Package views renders pages from ready values: layouts, pages, partials and components, without I/O.
package views

import (
	"math"
	"strconv"
	"strings"
	"time"

	"turnwise/format"
)

// Day writes a date, the year only if it is not this one: 21 Nov.
func (p Page) Day(t time.Time) string {
	t = t.In(p.Zone)
	if t.Year() == p.Now.In(p.Zone).Year() {
		return t.Format("2 Jan")
	}
	return t.Format("2 Jan 2006")
}

// Moment writes a date and a time of day, for lists: the time alone today.
func (p Page) Moment(t time.Time) string {
	t = t.In(p.Zone)
	now := p.Now.In(p.Zone)
	if t.Year() == now.Year() && t.YearDay() == now.YearDay() {
		return t.Format("15:04")
	}
	return p.Day(t) + t.Format(", 15:04")
}

// Exact writes a date and a time of day with seconds.
func (p Page) Exact(t time.Time) string { return t.In(p.Zone).Format("2 Jan 2006, 15:04:05") }

// Clock writes the time of day with seconds.
func (p Page) Clock(t time.Time) string { return t.In(p.Zone).Format("15:04:05") }

// dash writes text, or the sign for no value.
func dash(s string) string {
	if s == "" {
		return format.None
	}
	return s
}

// barWidth is the length of a response time's bar of 60: full at four seconds.
func barWidth(ms float64) string {
	return strconv.FormatFloat(math.Min(60, math.Max(1, ms/4000*60)), 'f', 0, 64)
}

// slowMS is the response time from which an answer is shown as slow; Rasa's own inspector turns red there.
const slowMS = 2500

func lower(s string) string { return strings.ToLower(s) }
