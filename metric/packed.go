package metric

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"slices"
)

// What is packed is kept for ever where retention deleted what it was counted from, so any later version must read it.
// A packing is the number of its form and then sections: a number, a length, and as many bytes. The numbers of sections
// and conditions never change their meaning; a reader passes over those that it does not know and over what stands
// behind the end that it knows, and what is missing is none. testdata/packed holds one of each form. The first form had
// no sections: it is read by first.go.
const (
	firstForm = 1
	form      = 2
)

// appendSection writes a section; an empty one is left out.
func appendSection(b []byte, number uint64, body func(b []byte) []byte) []byte {
	from := len(b)
	b = body(b)
	n := len(b) - from
	if n == 0 {
		return b
	}
	var head [2 * binary.MaxVarintLen64]byte
	h := binary.AppendUvarint(binary.AppendUvarint(head[:0], number), uint64(n))
	b = append(b, h...)
	copy(b[from+len(h):], b[from:from+n])
	copy(b[from:], h)
	return b
}

// sections calls each for the sections that remain.
func (r *reader) sections(each func(number int64, s *reader)) {
	for len(r.b) > 0 && r.err == nil {
		number := r.int()
		s := reader{b: r.bytes()}
		if r.err == nil {
			each(number, &s)
			r.err = s.err
		}
	}
}

// more tells whether something is left.
func (r *reader) more() bool { return r.err == nil && len(r.b) > 0 }

// opened returns what stands behind the number of the form.
func opened(b []byte) (r *reader, number int64) {
	r = &reader{b: b}
	if number = r.int(); number != firstForm && number != form {
		r.b, r.err = nil, errPacked
	}
	return r, number
}

// appendCounts writes those counts that are not 0, each with its number.
func appendCounts(b []byte, counts, numbers []int64) []byte {
	for i, n := range counts {
		if n != 0 {
			b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(numbers[i])), uint64(n))
		}
	}
	return b
}

// addCounts adds what appendCounts wrote; index finds a number's place.
func (r *reader) addCounts(counts []int64, index map[int64]int) {
	for r.more() {
		number, n := r.int(), r.int()
		if i, ok := index[number]; ok {
			counts[i] += n
		}
	}
}

// indexOf is the way back from numbers to places.
func indexOf(numbers []int64) map[int64]int {
	index := make(map[int64]int, len(numbers))
	for i, n := range numbers {
		index[n] = i
	}
	return index
}

// appendTexts writes counts by text.
func appendTexts(b []byte, counts map[string]int64) []byte {
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		b = binary.AppendUvarint(appendText(b, k), uint64(counts[k]))
	}
	return b
}

// append writes the distribution.
func (l *Latency) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(l.N))
	if l.N == 0 {
		return b
	}
	b = appendFloat(b, l.Sum)
	if l.own == nil {
		b = append(b, 0)
	} else {
		b = appendFloat(appendFloat(appendFloat(append(b, 1), l.own.p50), l.own.p95), l.own.p99)
	}
	all := l.classes
	if l.dense != nil {
		all = nil
		l.each(func(c class) bool {
			all = append(all, c)
			return true
		})
	}
	b = binary.AppendUvarint(b, uint64(len(all)))
	last := int32(0)
	for _, c := range all {
		b = binary.AppendUvarint(b, uint64(c.k-last))
		b = binary.AppendUvarint(b, uint64(c.n))
		last = c.k
	}
	return b
}

// read reads what append wrote.
func (l *Latency) read(r *reader) {
	*l = Latency{N: r.int()}
	if l.N == 0 {
		return
	}
	l.Sum = r.float()
	if r.int() == 1 {
		l.own = &exact{r.float(), r.float(), r.float()}
	}
	n := r.count()
	l.classes = make([]class, 0, n)
	last := int32(0)
	for range n {
		last += r.step(last)
		l.classes = append(l.classes, class{last, r.int()})
	}
}

// merge adds what append wrote, as Merge does.
func (l *Latency) merge(r *reader) {
	if l.N == 0 {
		l.read(r)
		return
	}
	n := r.int()
	if n == 0 {
		return
	}
	l.N += n
	l.Sum += r.float()
	l.own = nil
	if r.int() == 1 {
		r.skip(3 * 8)
	}
	l.spread()
	k := int32(0)
	for of := r.count(); of > 0; of-- {
		k += r.step(k)
		n := r.int()
		if int(k) >= len(l.dense) {
			l.add(class{k, n})
			continue
		}
		l.dense[k] += n
	}
}

// skipLatency passes over what append wrote.
func skipLatency(r *reader) {
	if r.int() == 0 {
		return
	}
	r.skip(8)
	if r.int() == 1 {
		r.skip(3 * 8)
	}
	for of := r.count(); of > 0; of-- {
		r.int()
		r.int()
	}
}

func appendFloat(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
}

// reader reads packed numbers; after the first mistake it yields zeros.
type reader struct {
	b   []byte
	err error
}

var errPacked = errors.New("packed figures are broken")

func (r *reader) int() int64 {
	if len(r.b) > 0 && r.b[0] < 0x80 { // most are small
		v := r.b[0]
		r.b = r.b[1:]
		return int64(v)
	}
	return r.large()
}

func (r *reader) large() int64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.err = nil, errPacked
		return 0
	}
	r.b = r.b[n:]
	return int64(v)
}

// step reads how many classes the next one lies after k.
func (r *reader) step(k int32) int32 {
	v := r.int()
	if v < 0 || v > maxClass-int64(k) {
		r.b, r.err = nil, errPacked
		return 0
	}
	return int32(v)
}

// count reads how many things follow, each of at least one byte.
func (r *reader) count() int {
	n := r.int()
	if n < 0 || n > int64(len(r.b)) {
		r.b, r.err = nil, errPacked
		return 0
	}
	return int(n)
}

func (r *reader) skip(n int) {
	if n < 0 || len(r.b) < n {
		r.b, r.err = nil, errPacked
		return
	}
	r.b = r.b[n:]
}

func (r *reader) float() float64 {
	if len(r.b) < 8 {
		r.b, r.err = nil, errPacked
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(r.b))
	r.b = r.b[8:]
	return v
}

func (r *reader) text() string { return string(r.bytes()) }

// bytes reads a text that is valid as long as what is read.
func (r *reader) bytes() []byte {
	n := r.count()
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
