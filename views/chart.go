package views

import "strings"

// swatchOf returns the class of a series' colour.
func swatchOf(color string) string { return "k" + strings.TrimPrefix(color, "-") }

// drawing is a page with charts.
func (p Page) drawing() Page {
	p.Charts = true
	return p
}
