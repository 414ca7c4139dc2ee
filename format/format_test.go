package format

import (
	"testing"
	"time"

	"turnwise/metric"
)

func TestFormats(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)
	p := Dates{Zone: time.FixedZone("there", 3600), Now: now}
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
		{metric.OutcomeName("resolved_assumed"), "Resolved, assumed"},
		{metric.OutcomeName("open"), "Open"},
		{metric.RatingName(""), "–"},
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

// TestPercent has how rates are written, at the bounds of small numbers.
func TestPercent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		of, among int64
		want      string
	}{
		{0, 0, "–"}, {0, 1, "0%"}, {1, 3, "33%"}, {28, 29, "97%"}, {29, 30, "96.7%"}, {10, 30, "33.3%"}, {30, 30, "100.0%"}, {1, 1000, "0.1%"}, {1, 3000, "0.0%"}, {2999, 3000, "100.0%"}, {2, 3, "67%"},
	} {
		r := metric.Rate{Of: tt.of, Among: tt.among}
		if got := Percent(r); got != tt.want {
			t.Errorf("%d of %d is written %q, want %q", tt.of, tt.among, got, tt.want)
		}
		if r.Few() != (tt.among < 30) {
			t.Errorf("a base of %d is few: %v", tt.among, r.Few())
		}
	}
	for ms, want := range map[float64]string{
		0: "0 ms", 999: "999 ms", 1000: "1.0 s", 1049: "1.0 s", 9960: "10 s", 61000: "1 m 01 s", 0.4: "0 ms",
		3600000: "1 h 00 m",
	} {
		if got := Millis(ms); got != want {
			t.Errorf("%v ms is written %q, want %q", ms, got, want)
		}
	}
}
