// Package views renders pages from ready values: layouts, pages, partials and components, without I/O.
package views

import (
	"math"
	"strconv"
	"strings"

	"turnwise/format"
)

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
