package metric

import (
	"encoding/binary"
	"errors"
	"math"
)

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
