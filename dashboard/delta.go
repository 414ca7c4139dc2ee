package dashboard

import (
	"fmt"
	"math"
	"strings"

	"turnwise/format"
	"turnwise/metric"
)

// Delta is how a figure changed.
type Delta struct {
	Arrow string // "" when there is no clear change
	Text  string // "" for nothing to compare with
	From  string
	Judge string // better, worse or ""
}

func arrow(up bool) string {
	if up {
		return "▲"
	}
	return "▼"
}

func judge(better bool) string {
	if better {
		return "better"
	}
	return "worse"
}

// CountDelta compares counts, of which more is neither good nor bad.
func CountDelta(now, was int64) Delta {
	d := Delta{From: "from " + format.Count(was)}
	switch {
	case was == 0 && now == 0:
		return Delta{}
	case was == 0:
		d.Arrow, d.Text = arrow(true), format.Count(now)
	case now == was:
		d.Text = "no change"
	default:
		d.Arrow, d.Text = arrow(now > was), format.Decimal(math.Abs(float64(now-was))/float64(was)*100, 1)+"%"
	}
	return d
}

// RateDelta compares rates: clear only when the 95 % interval of the difference leaves out zero.
func RateDelta(now, was metric.Rate, lessIsBetter bool) Delta {
	diff, ok := now.Minus(was)
	if !ok {
		return Delta{}
	}
	d := Delta{From: "from " + format.Percent(was)}
	switch {
	case now.Few() || was.Few():
		d.Text = "too few"
	case !diff.Clear():
		d.Text, d.From = "no clear change ±"+format.Decimal((diff.High-diff.Low)/2*100, 1)+" pp", ""
	default:
		up := diff.Value > 0
		d.Arrow, d.Text, d.Judge = arrow(up), format.Decimal(math.Abs(diff.Value)*100, 1)+
			" pp", judge(up != lessIsBetter)
	}
	return d
}

// TimeDelta compares percentiles of response times: clear only when the 95 % interval of the difference leaves out
// zero.
func TimeDelta(now, was *metric.Latency, p float64) Delta {
	a, ok1 := now.Percentile(p)
	b, ok2 := was.Percentile(p)
	if !ok1 || !ok2 {
		return Delta{}
	}
	d := Delta{From: "from " + format.Millis(b)}
	if now.N < metric.FewFrom || was.N < metric.FewFrom {
		d.Text = "too few"
		return d
	}
	if diff, _ := now.Minus(was, p); !diff.Clear() {
		d.Text = "no clear change"
		return d
	}
	d.Arrow, d.Text, d.Judge = arrow(a > b), format.Millis(math.Abs(a-b)), judge(a < b)
	return d
}

// RateDifference writes the difference of two rates with its 95 % interval.
func RateDifference(d metric.Difference, lessIsBetter bool) Delta {
	points := func(v float64) string { return strings.Replace(fmt.Sprintf("%+.1f", v*100), "-", "−", 1) }
	interval := points(d.Low) + " to " + points(d.High) + " pp"
	if !d.Clear() {
		return Delta{Text: "not distinguishable", From: interval}
	}
	up := d.Value > 0
	return Delta{Arrow: arrow(up), Text: points(d.Value) + " pp", From: interval, Judge: judge(up != lessIsBetter)}
}

// TimeDifference writes the difference of a percentile of two distributions with its 95 % interval.
func TimeDifference(now, was *metric.Latency, p float64) Delta {
	diff, ok := now.Minus(was, p)
	if !ok {
		return Delta{}
	}
	interval := signedMillis(diff.Low) + " to " + signedMillis(diff.High)
	switch {
	case now.N < metric.FewFrom || was.N < metric.FewFrom:
		return Delta{Text: "too few", From: interval}
	case !diff.Clear():
		return Delta{Text: "not distinguishable", From: interval}
	}
	return Delta{
		Arrow: arrow(diff.Value > 0), Text: signedMillis(diff.Value), From: interval, Judge: judge(diff.Value < 0),
	}
}

func signedMillis(ms float64) string {
	if ms < 0 {
		return "−" + format.Millis(-ms)
	}
	return "+" + format.Millis(ms)
}
