package metric

import "time"

// Moving is a range that moves with the calendar: a schedule or a saved view that asks for the last month always gets
// the one that is the last.
type Moving string

// The moving ranges.
const (
	Yesterday Moving = "yesterday"
	ThisWeek  Moving = "this-week"
	LastWeek  Moving = "last-week"
	ThisMonth Moving = "this-month"
	LastMonth Moving = "last-month"
	ThisYear  Moving = "this-year"
	LastYear  Moving = "last-year"
)

// movings are how the moving ranges are called, in the order in which they are offered; of what bucket they consist,
// and how many ago.
var movings = []struct {
	Moving
	words  string
	bucket Bucket
	ago    int
}{
	{Yesterday, "Yesterday", ByDay, 1},
	{ThisWeek, "This week", ByWeek, 0},
	{LastWeek, "Last week", ByWeek, 1},
	{ThisMonth, "This month", ByMonth, 0},
	{LastMonth, "Last month", ByMonth, 1},
	{ThisYear, "This year", "", 0},
	{LastYear, "Last year", "", 1},
}

// Movings lists the moving ranges.
func Movings() (all []Moving) {
	for _, m := range movings {
		all = append(all, m.Moving)
	}
	return all
}

// MovingNames are the moving ranges as addresses name them.
func MovingNames() (all []string) {
	for _, m := range Movings() {
		all = append(all, string(m))
	}
	return all
}

// Words is how people call it.
func (m Moving) Words() string {
	for _, x := range movings {
		if x.Moving == m {
			return x.words
		}
	}
	return string(m)
}

func (m Moving) known() bool { return m.Words() != string(m) }

// bounds returns the range's instants n lengths earlier.
func (m Moving) bounds(n int, now time.Time, zone *time.Location) (from, until time.Time) {
	for _, x := range movings {
		if x.Moving != m {
			continue
		}
		n += x.ago
		y, month, d := now.In(zone).Date()
		switch x.bucket {
		case ByDay:
			return Midnight(y, month, d-n, zone), Midnight(y, month, d-n+1, zone)
		case ByWeek:
			week := ByWeek.Start(now, zone)
			return AddDays(week, -7*n, zone), AddDays(week, 7-7*n, zone)
		case ByMonth:
			return Midnight(y, month-time.Month(n), 1, zone), Midnight(y, month-time.Month(n)+1, 1, zone)
		default:
			return Midnight(y-n, 1, 1, zone), Midnight(y-n+1, 1, 1, zone)
		}
	}
	return from, until
}
