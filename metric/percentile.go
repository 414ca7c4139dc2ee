// Package metric holds the question side of Turnwise: filters, ranges, measures, rates and percentiles. It is pure.
package metric

import (
	"math"
	"slices"
)

// Percentile returns the continuous percentile p (0…1, linear between ranks) of values; ok is false for no
// values. The order of values does not matter and stays.
func Percentile(values []float64, p float64) (v float64, ok bool) {
	if len(values) == 0 {
		return 0, false
	}
	return sortedPercentile(slices.Sorted(slices.Values(values)), p), true
}

func sortedPercentile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	low := math.Floor(at)
	i := int(low)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-low)*(sorted[i+1]-sorted[i])
}

// Facet names one value that conversations are filtered by. What is too long for an index entry cannot come:
// names are cut when they are decoded.
func Facet(prefix, value string) string { return prefix + ":" + value }
