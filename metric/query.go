package metric

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"turnwise/conversation"
)

// Query writes the filter, so that ParseFilter reads the same again. Dates are both included.
func (f Filter) Query() url.Values {
	q := url.Values{}
	for _, p := range f.pairs() {
		q.Add(p[0], p[1])
	}
	return q
}

// Encode returns the query of Query as text, in the same order: pages have thousands of links.
func (f Filter) Encode() string {
	pairs := f.pairs()
	slices.SortStableFunc(pairs, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	n := 0
	for _, p := range pairs {
		n += len(p[0]) + len(p[1]) + 12
	}
	b := make([]byte, 0, n)
	for i, p := range pairs {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(append(append(b, url.QueryEscape(p[0])...), '='), url.QueryEscape(p[1])...)
	}
	return string(b)
}

// defaultDays is the range that a query means which names none.
func (f Filter) defaultDays() int {
	if f.Text != "" {
		return MaxDays
	}
	return DefaultDays
}

// pairs are names and values of the filter's query.
func (f Filter) pairs() [][2]string {
	q := make([][2]string, 0, 8)
	add := func(name, value string) { q = append(q, [2]string{name, value}) }
	switch {
	case f.Range.Moving != "":
		add("range", string(f.Range.Moving))
	case f.Range.Days > 0 && f.Range.Days == f.defaultDays():
	case f.Range.Days > 0:
		add("range", strconv.Itoa(f.Range.Days)+"d")
	case f.Range.Days == 0 && !f.Range.From.IsZero():
		from, until := f.Range.absolute()
		add("from", from)
		add("until", until)
	}
	for i := range Fields {
		Fields[i].write(&f, add)
	}
	return q
}

// absolute writes the ends of an absolute range: the first and the last date, or two times.
func (r Range) absolute() (from, until string) {
	if r.Dates() {
		return r.From.Format(dateLayout), AddDays(r.Until, -1, r.Until.Location()).Format(dateLayout)
	}
	return r.From.Format(time.RFC3339), r.Until.Format(time.RFC3339)
}

// Hidden returns the filter as pairs of names and values for a form's hidden fields, in their order.
func (f Filter) Hidden() (all [][2]string) {
	q := f.Query()
	for _, name := range slices.Sorted(maps.Keys(q)) {
		for _, v := range q[name] {
			all = append(all, [2]string{name, v})
		}
	}
	return all
}

// Cursor is a place in a list of conversations, newest first.
type Cursor struct {
	At    int64 // microseconds since 1970
	ID    conversation.UUID
	Newer bool // the page ends above the place, instead of beginning below it
}

// ParseCursor reads what String wrote; nil for "".
func ParseCursor(s string) (*Cursor, error) {
	if s == "" {
		return nil, nil
	}
	bad := &InputError{"page", "is no place in this list"}
	dir, rest, ok := strings.Cut(s, ".")
	at, id, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || dir != "older" && dir != "newer" {
		return nil, bad
	}
	c := &Cursor{Newer: dir == "newer"}
	var err error
	if c.At, err = strconv.ParseInt(at, 10, 64); err != nil || c.At < 0 || c.At > 1<<53 {
		return nil, bad
	}
	if c.ID, err = conversation.ParseUUID(id); err != nil {
		return nil, bad
	}
	return c, nil
}

// String writes the cursor for a URL.
func (c Cursor) String() string {
	dir := "older"
	if c.Newer {
		dir = "newer"
	}
	return dir + "." + strconv.FormatInt(c.At, 10) + "." + c.ID.String()
}
