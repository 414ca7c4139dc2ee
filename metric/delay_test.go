package metric

import (
	"testing"
	"time"
)

func TestDelays(t *testing.T) {
	var d Delays
	if _, _, ok := d.Percentile(0.5); ok {
		t.Error("no event has a median")
	}
	for _, v := range []time.Duration{
		-time.Hour, 0, 100 * time.Millisecond, 101 * time.Millisecond, 6 * time.Second, 30 * 24 * time.Hour,
	} {
		d.Add(v)
	}
	if want := (Delays{0: 3, 1: 1, 6: 1, 15: 1}); d != want {
		t.Errorf("classes %v, want %v", d, want)
	}
	for _, tt := range []struct {
		p      float64
		want   time.Duration
		longer bool
	}{
		{0, 0, false},
		{0.25, 50 * time.Millisecond, false},             // 1.5 of 3 in the first class
		{0.5, 100 * time.Millisecond, false},             // all 3 of them
		{3.5 / 6, 175 * time.Millisecond, false},         // half of the second class
		{4.5 / 6, 7500 * time.Millisecond, false},        // half of 5 to 10 s
		{5.5 / 6, DelayBounds[len(DelayBounds)-1], true}, // beyond
		{1, DelayBounds[len(DelayBounds)-1], true},
	} {
		got, longer, ok := d.Percentile(tt.p)
		if diff := got - tt.want; !ok || longer != tt.longer || diff < -time.Microsecond || diff > time.Microsecond {
			t.Errorf("p%v: %v, %t, %t; want %v, %t", tt.p*100, got, longer, ok, tt.want, tt.longer)
		}
	}
}
