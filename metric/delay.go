package metric

import (
	"slices"
	"time"
)

// DelayBounds are the upper bounds of the classes in which the delay of events, from the moment they tell to
// their commit, is counted; one more class holds what took longer.
var DelayBounds = [...]time.Duration{
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond,
	5 * time.Second,
	10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour,
	24 * time.Hour, 7 * 24 * time.Hour,
}

// Delays counts events by class of delay.
type Delays [len(DelayBounds) + 1]int64

// Add counts an event; a negative delay, of a sender whose clock is ahead, counts as none.
func (d *Delays) Add(delay time.Duration) {
	i, _ := slices.BinarySearch(DelayBounds[:], delay)
	d[i]++
}

// Percentile estimates the delay that the share p, from 0 to 1, of the events did not exceed, taking the events
// of a class as evenly spread; longer says that it lies beyond the last bound, which is returned. ok is false
// when there is no event.
func (d *Delays) Percentile(p float64) (delay time.Duration, longer, ok bool) {
	var n int64
	for _, c := range d {
		n += c
	}
	if n == 0 {
		return 0, false, false
	}
	rank, seen := p*float64(n), 0.0
	low := time.Duration(0)
	for i, bound := range DelayBounds {
		c := float64(d[i])
		if c > 0 && seen+c >= rank {
			return low + time.Duration((rank-seen)/c*float64(bound-low)), false, true
		}
		seen += c
		low = bound
	}
	return low, true, true
}
