package metric

import (
	"math"
	"slices"
)

// Latency is a distribution of response times in milliseconds that can be merged: how many fell into each of
// the classes whose bounds grow by one percent. A percentile read from it is off by at most one percent.
type Latency struct {
	N       int64
	Sum     float64
	classes []class // sorted
	dense   []int64 // by class, in their place, once there were many
	own     *exact  // set while nothing was merged
}

// denseFrom is how many classes make it worth to keep them in place.
const denseFrom = 64

type class struct {
	k int32 // above Bound(k-1), up to Bound(k)
	n int64
}

// exact are the percentiles of the values themselves, which a merge cannot keep.
type exact struct{ p50, p95, p99 float64 }

// growth of the bounds from class to class.
const growth = 1.01

// Bound returns the highest number of milliseconds that class k holds.
func Bound(k int) float64 {
	if k >= 0 && k < len(bounds) {
		return bounds[k]
	}
	return math.Pow(growth, float64(k))
}

var bounds = func() (b [maxClass + 1]float64) {
	for k := range b {
		b[k] = math.Pow(growth, float64(k))
	}
	return b
}()

// maxClass holds more milliseconds than any that classOf counts.
const maxClass = 2800

// classOf returns the class that holds ms; what takes no millisecond is in class 0.
func classOf(ms float64) int {
	if !(ms > 1) { // nor what is no number
		return 0
	}
	ms = min(ms, 1e12)
	k := int(math.Ceil(math.Log(ms) / math.Log(growth)))
	for ms > Bound(k) {
		k++
	}
	for k > 0 && ms <= Bound(k-1) {
		k--
	}
	return k
}

// NewLatency returns the distribution of values, which it sorts.
func NewLatency(values []float64) Latency {
	if len(values) == 0 {
		return Latency{}
	}
	slices.Sort(values)
	l := Latency{N: int64(len(values))}
	for _, v := range values {
		l.Sum += v
		k := int32(classOf(v))
		if last := len(l.classes) - 1; last >= 0 && l.classes[last].k == k {
			l.classes[last].n++
		} else {
			l.classes = append(l.classes, class{k, 1})
		}
	}
	l.own = &exact{sortedPercentile(values, 0.5), sortedPercentile(values, 0.95), sortedPercentile(values, 0.99)}
	return l
}

// Merge adds the values of o.
func (l *Latency) Merge(o *Latency) {
	switch {
	case o.N == 0:
		return
	case l.N == 0:
		*l = Latency{N: o.N, Sum: o.Sum, classes: slices.Clone(o.classes), dense: slices.Clone(o.dense), own: o.own}
		return
	}
	l.N += o.N
	l.Sum += o.Sum
	l.own = nil
	if l.dense == nil && o.dense == nil && len(l.classes)+len(o.classes) < denseFrom {
		l.classes = mergeClasses(l.classes, o.classes)
		return
	}
	l.spread()
	for _, c := range o.classes {
		l.add(c)
	}
	if len(o.dense) > len(l.dense) {
		l.dense = append(l.dense, make([]int64, len(o.dense)-len(l.dense))...)
	}
	for k, n := range o.dense {
		l.dense[k] += n
	}
}

// spread keeps the classes in place from now on.
func (l *Latency) spread() {
	if l.dense != nil {
		return
	}
	l.dense = make([]int64, 1000)
	for _, c := range l.classes {
		l.add(c)
	}
	l.classes = nil
}

// add counts into the classes in place.
func (l *Latency) add(c class) {
	if int(c.k) >= len(l.dense) {
		l.dense = append(l.dense, make([]int64, int(c.k)+1-len(l.dense))...)
	}
	l.dense[c.k] += c.n
}

// each calls do for the classes in their order until it returns false.
func (l *Latency) each(do func(class) bool) {
	for _, c := range l.classes {
		if !do(c) {
			return
		}
	}
	for k, n := range l.dense {
		if n != 0 && !do(class{int32(k), n}) {
			return
		}
	}
}

func mergeClasses(a, b []class) []class {
	merged := make([]class, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].k < b[0].k:
			merged, a = append(merged, a[0]), a[1:]
		case a[0].k > b[0].k:
			merged, b = append(merged, b[0]), b[1:]
		default:
			merged = append(merged, class{a[0].k, a[0].n + b[0].n})
			a, b = a[1:], b[1:]
		}
	}
	return append(append(merged, a...), b...)
}

// Mean returns the average; ok is false when there is no value.
func (l *Latency) Mean() (ms float64, ok bool) {
	if l.N == 0 {
		return 0, false
	}
	return l.Sum / float64(l.N), true
}

// Percentile returns the continuous percentile p (0…1, linear between ranks): the values' own for 0.5, 0.95 and
// 0.99 of a distribution that was not merged, else an estimate. ok is false when there is no value.
func (l *Latency) Percentile(p float64) (ms float64, ok bool) {
	if l.N == 0 {
		return 0, false
	}
	if l.own != nil {
		switch p {
		case 0.5:
			return l.own.p50, true
		case 0.95:
			return l.own.p95, true
		case 0.99:
			return l.own.p99, true
		}
	}
	at := p * float64(l.N-1)
	low := math.Floor(at)
	v := l.value(int64(low))
	if w := at - low; w > 0 {
		v += w * (l.value(int64(low)+1) - v)
	}
	return v, true
}

// Interval returns the 95 % interval of a percentile, by the spread of ranks; ok is false when there is no value.
func (l *Latency) Interval(p float64) (low, high float64, ok bool) {
	if l.N == 0 {
		return 0, 0, false
	}
	half := z95 * math.Sqrt(p*(1-p)/float64(l.N))
	low, _ = l.Percentile(math.Max(0, p-half))
	high, _ = l.Percentile(math.Min(1, p+half))
	return low, high, true
}

// Minus returns how much later a percentile lies than in o, with its 95 % interval: the two intervals' distances put
// together as Newcombe does for rates. ok is false when either has no value.
func (l *Latency) Minus(o *Latency, p float64) (d Difference, ok bool) {
	a, ok1 := l.Percentile(p)
	b, ok2 := o.Percentile(p)
	if !ok1 || !ok2 {
		return d, false
	}
	la, ha, _ := l.Interval(p)
	lb, hb, _ := o.Interval(p)
	d.Value = a - b
	d.Low = d.Value - math.Hypot(a-la, hb-b)
	d.High = d.Value + math.Hypot(ha-a, b-lb)
	return d, true
}

// value estimates the value of a rank, from 0: those of a class are taken as evenly spread.
func (l *Latency) value(rank int64) (v float64) {
	l.each(func(c class) bool {
		if rank >= c.n {
			rank -= c.n
			v = Bound(int(c.k))
			return true
		}
		low := 0.0
		if c.k > 0 {
			low = Bound(int(c.k) - 1)
		}
		v = low + (Bound(int(c.k))-low)*(float64(rank)+0.5)/float64(c.n)
		return false
	})
	return v
}

// Above returns the bound of the class in which ms lies, and how many values lie above that bound: exactly those
// that are greater than it.
func (l *Latency) Above(ms float64) (bound float64, n int64) {
	k := int32(classOf(ms))
	l.each(func(c class) bool {
		if c.k > k {
			n += c.n
		}
		return true
	})
	return Bound(int(k)), n
}

// Within returns how many values lie in (low, high], both rounded to the nearest class's bound.
func (l *Latency) Within(low, high float64) (n int64) {
	from, to := nearest(low), nearest(high)
	l.each(func(c class) bool {
		if int(c.k) > from && int(c.k) <= to {
			n += c.n
		}
		return true
	})
	return n
}

// nearest returns the class whose bound is nearest to ms; -1 for 0.
func nearest(ms float64) int {
	if ms <= 0 {
		return -1
	}
	return max(0, int(math.Round(math.Log(ms)/math.Log(growth))))
}

// NearBound returns the bound of a class that is nearest to ms, which is off by at most half a percent.
func NearBound(ms float64) float64 {
	k := nearest(ms)
	if k < 0 {
		return 0
	}
	return Bound(k)
}
