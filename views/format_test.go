package views

import (
	"testing"
	"time"

	"turnwise/format"
)

func TestFormats(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)
	p := Page{Zone: time.FixedZone("there", 3600), Now: now}
	second := now.Add(-3 * time.Second)
	for _, tt := range []struct{ got, want string }{
		{format.Count(0), "0"},
		{format.Count(999), "999"},
		{format.Count(45914), "45,914"},
		{format.Count(-1234567), "-1,234,567"},
		{format.Millis(0), "0 ms"},
		{format.Millis(840.4), "840 ms"},
		{format.Millis(999.6), "1.0 s"},
		{format.Millis(2400), "2.4 s"},
		{format.Millis(48000), "48 s"},
		{format.Millis(192000), "3 m 12 s"},
		{format.Span(65 * time.Minute), "1 h 05 m"},
		{format.Span(76 * time.Hour), "3 d 4 h"},
		{format.Span(59900 * time.Millisecond), "1 m 00 s"},
		{format.Span(0), "0 s"},
		{format.Ago(nil, now), "never"},
		{format.Ago(&second, now), "3.0 s ago"},
		{format.Plural(1, "turn", "turns"), "1 turn"},
		{format.Plural(1200, "turn", "turns"), "1,200 turns"},
		{p.Moment(now.Add(-time.Hour)), "14:00"},
		{p.Moment(now.AddDate(0, 0, -1)), "20 Nov, 15:00"},
		{p.Day(now.AddDate(-1, 0, 0)), "21 Nov 2025"},
		{p.Clock(now), "15:00:00"},
		{format.OutcomeName("resolved_assumed"), "Resolved, assumed"},
		{format.OutcomeName("open"), "Open"},
		{format.RatingName(""), "–"},
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
		if got := format.Shorten(tt.text, 5); got != tt.want {
			t.Errorf("%q becomes %q", tt.text, got)
		}
	}
}
