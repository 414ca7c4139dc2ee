package metric

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sort"
	"time"
)

// Visit is that a person had conversations in a stretch of time.
type Visit struct {
	Person int64 // made from the assistant and the user's id or, where the platform tells none, the sender
	First  int64 // when the person's first conversation ever with the assistant began, in seconds since 1970
	Wrote  bool  // in at least one of the conversations
}

// Visits are those of one stretch of time. Once settled they are ordered by person, each of whom has one.
type Visits []Visit

// Settle orders them and makes one of several of a person.
func (v Visits) Settle() Visits {
	slices.SortFunc(v, func(a, b Visit) int { return cmp.Compare(a.Person, b.Person) })
	out := v[:0]
	for _, x := range v {
		if n := len(out); n > 0 && out[n-1].Person == x.Person {
			out[n-1].First, out[n-1].Wrote = min(out[n-1].First, x.First), out[n-1].Wrote || x.Wrote
			continue
		}
		out = append(out, x)
	}
	return out
}

// Pack writes them, of a stretch that begins at that time.
func (v Visits) Pack(at time.Time) []byte {
	v = v.Settle()
	b := binary.AppendUvarint([]byte{tallyVersion}, uint64(len(v)))
	for _, x := range v {
		before := (at.Unix() - x.First) << 1
		if x.Wrote {
			before |= 1
		}
		b = binary.AppendVarint(binary.LittleEndian.AppendUint64(b, uint64(x.Person)), before)
	}
	return b
}

// AppendPacked adds what Pack wrote for the same time. They are not settled then.
func (v Visits) AppendPacked(b []byte, at time.Time) (Visits, error) {
	r := &reader{b: b}
	if r.int() != tallyVersion {
		return v, errPacked
	}
	n := r.count()
	v = slices.Grow(v, n)
	for range n {
		if len(r.b) < 8 {
			return v, errPacked
		}
		x := Visit{Person: int64(binary.LittleEndian.Uint64(r.b))}
		before, width := binary.Varint(r.b[8:])
		if width <= 0 {
			return v, errPacked
		}
		r.b = r.b[8+width:]
		x.First, x.Wrote = at.Unix()-before>>1, before&1 == 1
		v = append(v, x)
	}
	return v, r.err
}

// Active is how many people wrote, and how many of them had their first conversation ever in the same stretch.
type Active struct{ All, New int64 }

// Returning are those who had been there before.
func (a Active) Returning() int64 { return a.All - a.New }

// Cohort are the people whose first conversation ever lies in a week.
type Cohort struct {
	Week   Span
	Size   int64   // with a conversation in the range, of the filter
	Active []int64 // who wrote in this week, in the next, …
}

// Users are people counted over a range.
type Users struct {
	Active
	Spans   []Active // by bucket; who comes in several counts in each
	Cohorts []Cohort
}

// VisitsAt are the visits of a stretch that begins at a time.
type VisitsAt struct {
	At time.Time
	Visits
}

// CountUsers counts people by the buckets of a range, in time's order, and by the whole weeks in it, of which those that are over
// make cohorts.
func CountUsers(visits []VisitsAt, spans, weeks []Span) Users {
	slices.SortFunc(visits, func(a, b VisitsAt) int { return a.At.Compare(b.At) })
	u := Users{Spans: make([]Active, len(spans)), Cohorts: make([]Cohort, len(weeks))}
	for i, w := range weeks {
		u.Cohorts[i] = Cohort{Week: w, Active: make([]int64, len(weeks)-i)}
	}
	type person struct {
		span, week int // in which the person was seen last to write
		met        bool
	}
	var all int
	for _, v := range visits {
		all += len(v.Visits)
	}
	index := make(map[int64]int, all/2)
	people := make([]person, 0, all/2)
	for _, v := range visits {
		span, week := max(0, indexOf(spans, v.At)), indexOf(weeks, v.At)
		if week >= 0 && !v.At.Before(weeks[week].Until) {
			week = -1
		}
		for _, x := range v.Visits {
			i, ok := index[x.Person]
			if !ok {
				i = len(people)
				index[x.Person] = i
				people = append(people, person{span: -1, week: -1})
			}
			p, first := &people[i], time.Unix(x.First, 0)
			cohort := indexOf(weeks, first)
			if cohort >= 0 && !first.Before(weeks[cohort].Until) {
				cohort = -1
			}
			if cohort >= 0 && !p.met {
				p.met = true
				u.Cohorts[cohort].Size++
			}
			if !x.Wrote {
				continue
			}
			if p.span < 0 {
				u.add(!first.Before(spans[0].From))
			}
			if p.span != span {
				p.span = span
				u.Spans[span].add(!first.Before(spans[span].From))
			}
			if week >= 0 && cohort >= 0 && week >= cohort && p.week != week {
				p.week = week
				u.Cohorts[cohort].Active[week-cohort]++
			}
		}
	}
	return u
}

func (a *Active) add(isNew bool) {
	a.All++
	if isNew {
		a.New++
	}
}

// indexOf returns the last span that begins at t or before; -1 for none.
func indexOf(spans []Span, t time.Time) int {
	return sort.Search(len(spans), func(i int) bool { return spans[i].From.After(t) }) - 1
}

// WholeWeeks returns the weeks that lie in [from, until) and are over.
func WholeWeeks(from, until, now time.Time, zone *time.Location) (all []Span) {
	for _, s := range ByWeek.Spans(from, until, zone) {
		whole := Span{ByWeek.Start(s.From, zone), ByWeek.next(ByWeek.Start(s.From, zone), zone)}
		if whole.From.Equal(s.From) && whole.Until.Equal(s.Until) && !whole.Unfinished(now) {
			all = append(all, whole)
		}
	}
	return all
}

// UserCursor is a place in a list of people: after the one who came last at that time, in microseconds since 1970.
func UserCursor(at, person int64) Cursor {
	c := Cursor{At: at}
	binary.BigEndian.PutUint64(c.ID[:], uint64(person))
	return c
}

// Person returns the person of UserCursor.
func (c Cursor) Person() int64 { return int64(binary.BigEndian.Uint64(c.ID[:8])) }
