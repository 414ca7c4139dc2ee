package views

import (
	"testing"
	"time"
)

func TestFormats(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)
	p := Page{Zone: time.FixedZone("there", 3600), Now: now}
	second := now.Add(-3 * time.Second)
	for _, tt := range []struct{ got, want string }{
		{Count(0), "0"},
		{Count(999), "999"},
		{Count(45914), "45,914"},
		{Count(-1234567), "-1,234,567"},
		{Millis(0), "0 ms"},
		{Millis(840.4), "840 ms"},
		{Millis(999.6), "1.0 s"},
		{Millis(2400), "2.4 s"},
		{Millis(48000), "48 s"},
		{Millis(192000), "3 m 12 s"},
		{Span(65 * time.Minute), "1 h 05 m"},
		{Span(76 * time.Hour), "3 d 4 h"},
		{Span(59900 * time.Millisecond), "1 m 00 s"},
		{Span(0), "0 s"},
		{Ago(nil, now), "never"},
		{Ago(&second, now), "3.0 s ago"},
		{Plural(1, "turn", "turns"), "1 turn"},
		{Plural(1200, "turn", "turns"), "1,200 turns"},
		{p.Moment(now.Add(-time.Hour)), "14:00"},
		{p.Moment(now.AddDate(0, 0, -1)), "20 Nov, 15:00"},
		{p.Day(now.AddDate(-1, 0, 0)), "21 Nov 2025"},
		{p.Clock(now), "15:00:00"},
		{OutcomeName("resolved_assumed"), "Resolved, assumed"},
		{OutcomeName("open"), "Open"},
		{RatingName(""), "–"},
		{barWidth(1e9), "60"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestShorten(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want string
	}{{"", ""}, {"grüße", "grüße"}, {"grüßen", "grüße…"}, {"😀😀😀😀😀😀", "😀😀😀😀😀…"}} {
		if got := Shorten(tt.text, 5); got != tt.want {
			t.Errorf("%q becomes %q", tt.text, got)
		}
	}
}
