// Package dashboard answers questions: what is asked, the figures with their units, and what pages and documents show
// of them.
package dashboard

import (
	"turnwise/format"
	"turnwise/metric"
)

// Value is a figure, with the list that it opens.
type Value struct {
	V    float64
	Unit Unit
	None bool   // nothing to divide by, or nothing measured
	Word string // what it is, where it is no number
	Link string // "" for nobody's eyes
	N    int64  // how many the list holds
	Base string // of a rate, in words; "" for a count
	Of   int64  // the base's number
	From string // link to the base
	Few  bool   // too few to trust
	Soft bool   // not final yet, as people may still come back
}

// Note is what stands beside a figure, with the list that it opens.
type Note struct {
	Text string
	Link string // "" for none
	N    int64  // how many the list holds
}

// Text writes the value for people.
func (v Value) Text() string {
	switch {
	case v.Unit == Words:
		return v.Word
	case v.None:
		return format.None
	case v.Unit == Percents:
		return format.Share(v.V, v.Few)
	case v.Unit == Times:
		return format.Millis(v.V)
	case v.Unit == Decimals:
		return format.Decimal(v.V, 2)
	}
	return format.Count(int64(v.V))
}

// Unknown is what there is no value of.
func Unknown() Value { return Value{None: true} }

// Duration is a length of time, in milliseconds.
func Duration(ms float64, link string, n int64) Value {
	return Value{V: ms, Unit: Times, Link: link, N: n}
}

// Unit is how values are written.
type Unit string

// The units.
const (
	Counts   Unit = "count"
	Percents Unit = "percent" // shares from 0 to 1
	Times    Unit = "ms"      // milliseconds
	Decimals Unit = "decimal"
	Words    Unit = "words"
)

// Count is a count of conversations.
func Count(n int64, link string) Value {
	return Value{V: float64(n), Unit: Counts, Link: link, N: n}
}

// Rate is a rate with the links to those it counts and to its base.
func Rate(r metric.Rate, of, among, base string) Value {
	v, ok := r.Value()
	if !ok {
		return Value{None: true, Unit: Percents, Base: base, From: among}
	}
	return Value{V: v, Unit: Percents, Link: of, N: r.Of, Base: base, Of: r.Among, From: among, Few: r.Few()}
}
