package dashboard

import "turnwise/metric"

// Card is a headline figure.
type Card struct {
	Name    string
	Formula string
	Value   Value
	Rate    *metric.Rate // of a rate: small ones show their interval
	Beside  string
	Base    Note
	Delta   Delta
}

// Breakdown is a table of the same figures by something.
type Breakdown struct {
	Title string
	Head  []string
	Rows  []BreakdownRow
	Cut   Cut
}

// BreakdownRow is one value with its figures.
type BreakdownRow struct {
	Name, Link string
	N          int64
	Values     []Value
}

// Cut says that a table shows the first of its rows alone.
type Cut struct {
	Shown, Rows int
	All         string // address of the page with all of them; "": nothing is cut
}

// Reason is why conversations were escalated.
type Reason struct {
	Name  string
	Count Value
	Share metric.Rate
}
