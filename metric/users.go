package metric

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
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

// The section of visits.
const usersVisits = 1

// Pack writes them, of a stretch that begins at that time.
func (v Visits) Pack(at time.Time) []byte {
	v = v.Settle()
	return appendSection([]byte{form}, usersVisits, func(b []byte) []byte {
		for _, x := range v {
			before := (at.Unix() - x.First) << 1
			if x.Wrote {
				before |= 1
			}
			b = binary.AppendVarint(binary.LittleEndian.AppendUint64(b, uint64(x.Person)), before)
		}
		return b
	})
}

// AppendPacked adds what Pack wrote for the same time. They are not settled then.
func (v Visits) AppendPacked(b []byte, at time.Time) (Visits, error) {
	r, number := opened(b)
	if number == firstForm {
		r.count() // of the visits, which reach to the end
		return v.appendAll(r, at)
	}
	var err error
	r.sections(func(number int64, s *reader) {
		if number == usersVisits && err == nil {
			v, err = v.appendAll(s, at)
		}
	})
	if err == nil {
		err = r.err
	}
	return v, err
}

func (v Visits) appendAll(r *reader, at time.Time) (Visits, error) {
	v = slices.Grow(v, len(r.b)/9)
	for r.more() {
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

// CountUsers counts people by the buckets of a range, in time's order, and by the whole weeks in it, of which those
// that are over make cohorts.
func CountUsers(visits []VisitsAt, spans, weeks []Span) Users {
	slices.SortFunc(visits, func(a, b VisitsAt) int { return a.At.Compare(b.At) })
	u := Users{Spans: make([]Active, len(spans)), Cohorts: make([]Cohort, len(weeks))}
	for i, w := range weeks {
		u.Cohorts[i] = Cohort{Week: w, Active: make([]int64, len(weeks)-i)}
	}
	var all int
	for _, v := range visits {
		all += len(v.Visits)
	}
	known := newPeople(all)
	spanStarts, weekStarts, weekEnds := seconds(spans, Span.start), seconds(weeks, Span.start), seconds(weeks, Span.end)
	weekOf := func(at int64, near int) int {
		if near = lastStart(weekStarts, at, near); near >= 0 && at >= weekEnds[near] {
			return -1
		}
		return near
	}
	span, week := 0, 0
	for _, v := range visits {
		at := ceilSeconds(v.At)
		span, week = max(0, lastStart(spanStarts, at, span)), weekOf(at, max(week, 0))
		for _, x := range v.Visits {
			p, cohort := known.of(x.Person), -1
			if len(weeks) > 0 {
				cohort = weekOf(x.First, int((x.First-weekStarts[0])/secondsOfWeek))
			}
			if cohort >= 0 && !p.met {
				p.met = true
				u.Cohorts[cohort].Size++
			}
			if !x.Wrote {
				continue
			}
			if p.span == 0 {
				u.add(x.First >= spanStarts[0])
			}
			if p.span != int32(span)+1 {
				p.span = int32(span) + 1
				u.Spans[span].add(x.First >= spanStarts[span])
			}
			if week >= 0 && cohort >= 0 && week >= cohort && p.week != int16(week)+1 {
				p.week = int16(week) + 1
				u.Cohorts[cohort].Active[week-cohort]++
			}
		}
	}
	return u
}

const secondsOfWeek = 7 * 24 * 60 * 60

// seenPerson is what is known of a person while people are counted.
type seenPerson struct {
	person int64
	span   int32 // in which the person was seen last to write, from 1 on; 0: in none
	week   int16 // likewise
	used   bool
	met    bool // in a conversation of any kind
}

// people finds what is known of each person: a table of fixed size, a quarter of it empty, as a map takes several times
// as long.
type people struct {
	all   []seenPerson
	shift int
}

// newPeople makes a table for at most n people.
func newPeople(n int) people {
	width := bits.Len(uint(n + n/3))
	return people{make([]seenPerson, 1<<width), 64 - width}
}

func (p people) of(person int64) *seenPerson {
	const golden = 0x9e3779b97f4a7c15 // 2^64 over the golden ratio, spreads numbers that follow each other
	for i := uint64(person) * golden >> p.shift; ; i = (i + 1) & uint64(len(p.all)-1) {
		switch at := &p.all[i]; {
		case !at.used:
			at.person, at.used = person, true
			return at
		case at.person == person:
			return at
		}
	}
}

func (s Span) start() time.Time { return s.From }
func (s Span) end() time.Time   { return s.Until }

// seconds returns an end of each span in seconds since 1970, such that whole seconds compare with them as with the ends
// themselves.
func seconds(spans []Span, end func(Span) time.Time) []int64 {
	all := make([]int64, len(spans))
	for i, s := range spans {
		all[i] = ceilSeconds(end(s))
	}
	return all
}

func ceilSeconds(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}

// lastStart returns the last of the starts at a time or before, -1 for none; near is a guess.
func lastStart(starts []int64, at int64, near int) int {
	i := max(-1, min(near, len(starts)-1))
	for i+1 < len(starts) && starts[i+1] <= at {
		i++
	}
	for i >= 0 && starts[i] > at {
		i--
	}
	return i
}

func (a *Active) add(isNew bool) {
	a.All++
	if isNew {
		a.New++
	}
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

// Cohorts counts people by the stretch in which their first conversation ever lies, and in how many of them each had a
// conversation: in the same stretch, the next, and so on. Visits that lie in none of the stretches count nowhere.
func Cohorts(visits []VisitsAt, spans []Span) []Cohort {
	all := make([]Cohort, len(spans))
	for i, s := range spans {
		all[i] = Cohort{Week: s, Active: make([]int64, len(spans)-i)}
	}
	starts, ends := seconds(spans, Span.start), seconds(spans, Span.end)
	of := func(at int64) int {
		i := lastStart(starts, at, 0)
		if i >= 0 && at >= ends[i] {
			return -1
		}
		return i
	}
	type meeting struct {
		person int64
		span   int
	}
	met := map[meeting]bool{}
	for _, v := range visits {
		at := of(max(ceilSeconds(v.At), firstOf(starts)))
		if at < 0 {
			continue
		}
		for _, x := range v.Visits {
			cohort := of(x.First)
			if cohort < 0 || cohort > at || met[meeting{x.Person, at}] {
				continue
			}
			met[meeting{x.Person, at}] = true
			all[cohort].Active[at-cohort]++
		}
	}
	for i := range all {
		all[i].Size = all[i].Active[0]
	}
	return all
}

// firstOf is the first of the starts; a cell may begin before the range does.
func firstOf(starts []int64) int64 {
	if len(starts) == 0 {
		return 0
	}
	return starts[0]
}
