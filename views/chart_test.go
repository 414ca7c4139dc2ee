package views

import (
	"testing"

	"turnwise/dashboard"
	"turnwise/metric"
)

// TestEarly holds that an unfinished bucket of which little is known neither draws a line nor sets the axis, and that others do.
func TestEarly(t *testing.T) {
	t.Parallel()
	rate := func(of, among int64) dashboard.Value {
		return dashboard.Rate(metric.Rate{Of: of, Among: among}, "", "", "conversations")
	}
	for _, tt := range []struct {
		name       string
		value      dashboard.Value
		unfinished bool
		unit       dashboard.Unit
		drawn      bool
	}{
		{"one conversation today", rate(0, 1), true, dashboard.Percents, false},
		{"29 today", rate(20, 29), true, dashboard.Percents, false},
		{"30 today", rate(20, 30), true, dashboard.Percents, true},
		{"one conversation on a day that is over", rate(0, 1), false, dashboard.Percents, true},
		{"two turns today", dashboard.Value{V: 571, Of: 2}, true, dashboard.Times, false},
		{"30 turns today", dashboard.Value{V: 571, Of: 30}, true, dashboard.Times, true},
		{"a count", dashboard.Count(1, ""), true, dashboard.Counts, true},
	} {
		c := dashboard.Chart{Kind: dashboard.Lines, Unit: tt.unit, X: []dashboard.Tick{{}, {Unfinished: tt.unfinished}}, Series: []dashboard.Series{{Name: "s", Values: []dashboard.Value{rate(80, 100), tt.value}}}}
		if got := ChartSpec(&c).(spec).Series[0].Values[1] != nil; got != tt.drawn {
			t.Errorf("%s: drawn %v, want %v", tt.name, got, tt.drawn)
		}
	}
}
