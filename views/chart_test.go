package views

import (
	"testing"

	"turnwise/format"
	"turnwise/metric"
)

// TestEarly holds that an unfinished bucket of which little is known neither draws a line nor sets the axis, and that others do.
func TestEarly(t *testing.T) {
	t.Parallel()
	rate := func(of, among int64) Value {
		return RateValue(metric.Rate{Of: of, Among: among}, "", "", "conversations")
	}
	for _, tt := range []struct {
		name       string
		value      Value
		unfinished bool
		unit       Unit
		drawn      bool
	}{
		{"one conversation today", rate(0, 1), true, Percents, false},
		{"29 today", rate(20, 29), true, Percents, false},
		{"30 today", rate(20, 30), true, Percents, true},
		{"one conversation on a day that is over", rate(0, 1), false, Percents, true},
		{"two turns today", Value{V: 571, Of: 2}, true, Times, false},
		{"30 turns today", Value{V: 571, Of: 30}, true, Times, true},
		{"a count", CountValue(1, ""), true, Counts, true},
	} {
		c := Chart{Kind: Lines, Unit: tt.unit, X: []Tick{{}, {Unfinished: tt.unfinished}}, Series: []Series{{Name: "s", Values: []Value{rate(80, 100), tt.value}}}}
		if got := c.spec().Series[0].Values[1] != nil; got != tt.drawn {
			t.Errorf("%s: drawn %v, want %v", tt.name, got, tt.drawn)
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
		if got := format.Percent(r); got != tt.want {
			t.Errorf("%d of %d is written %q, want %q", tt.of, tt.among, got, tt.want)
		}
		if r.Few() != (tt.among < 30) {
			t.Errorf("a base of %d is few: %v", tt.among, r.Few())
		}
	}
	for ms, want := range map[float64]string{0: "0 ms", 999: "999 ms", 1000: "1.0 s", 1049: "1.0 s", 9960: "10 s", 61000: "1 m 01 s", 0.4: "0 ms", 3600000: "1 h 00 m"} {
		if got := format.Millis(ms); got != want {
			t.Errorf("%v ms is written %q, want %q", ms, got, want)
		}
	}
}
