package metric

import (
	"encoding/binary"
	"maps"
	"slices"
)

// MarkerCount counts where a marker was found.
type MarkerCount struct {
	Conversations int64         // with at least one place
	Turns         map[int]int64 // places, by how many messages of the user came before
}

// MarkerTally counts markers by the ids of their patterns.
type MarkerTally map[int32]*MarkerCount

func (t MarkerTally) of(pattern int32) *MarkerCount {
	c := t[pattern]
	if c == nil {
		c = &MarkerCount{Turns: map[int]int64{}}
		t[pattern] = c
	}
	return c
}

// Add counts the places in a conversation, by the messages before each.
func (t MarkerTally) Add(pattern int32, turns []int) { t.add(pattern, turns, 1) }

// Take takes back what Add counted.
func (t MarkerTally) Take(pattern int32, turns []int) { t.add(pattern, turns, -1) }

func (t MarkerTally) add(pattern int32, turns []int, times int64) {
	c := t.of(pattern)
	c.Conversations += times
	for _, n := range turns {
		c.Turns[n] += times
	}
}

// Merge adds o.
func (t MarkerTally) Merge(o MarkerTally) {
	for pattern, x := range o {
		t.of(pattern).Merge(x)
	}
}

// Merge adds o.
func (c *MarkerCount) Merge(o *MarkerCount) {
	c.Conversations += o.Conversations
	if c.Turns == nil {
		c.Turns = map[int]int64{}
	}
	for turns, n := range o.Turns {
		c.Turns[turns] += n
	}
}

// Places is how often the marker was found.
func (c *MarkerCount) Places() (n int64) {
	for _, x := range c.Turns {
		n += x
	}
	return n
}

// Preceding is how many messages of the user came before a place: mean, median, least and most; false without places.
func (c *MarkerCount) Preceding() (mean, median float64, least, most int, ok bool) {
	n := c.Places()
	if n == 0 {
		return 0, 0, 0, 0, false
	}
	var all []int
	sum := int64(0)
	for turns, x := range c.Turns {
		if x > 0 {
			all = append(all, turns)
			sum += int64(turns) * x
		}
	}
	slices.Sort(all)
	at := func(place int64) float64 {
		for _, turns := range all {
			if place -= c.Turns[turns]; place < 0 {
				return float64(turns)
			}
		}
		return 0 // there is no such place
	}
	return float64(sum) / float64(n), (at((n-1)/2) + at(n/2)) / 2, all[0], all[len(all)-1], true
}

// markerOf is the section of a marker: its id, its conversations, and places by messages before.
const markerOf = 1

// Pack writes the tally; nothing for an empty one.
func (t MarkerTally) Pack() []byte {
	if len(t) == 0 {
		return nil
	}
	b := []byte{form}
	for _, pattern := range slices.Sorted(maps.Keys(t)) {
		c := t[pattern]
		b = appendSection(b, markerOf, func(b []byte) []byte {
			b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(pattern)), uint64(c.Conversations))
			for _, turns := range slices.Sorted(maps.Keys(c.Turns)) {
				b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(turns)), uint64(c.Turns[turns]))
			}
			return b
		})
	}
	return b
}

// MergePacked adds what Pack wrote.
func (t MarkerTally) MergePacked(b []byte) error {
	r, number := opened(b)
	if number != form {
		return errPacked
	}
	r.sections(func(number int64, s *reader) {
		if number != markerOf {
			return
		}
		c := t.of(int32(s.int()))
		c.Conversations += s.int()
		for s.more() {
			turns := s.int()
			c.Turns[int(turns)] += s.int()
		}
	})
	return r.err
}
