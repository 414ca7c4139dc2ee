package metric

import "math"

// Measure is a share of conversations: those that meet Of among those that meet Among.
type Measure struct {
	Name      string
	Of, Among Condition
	Formula   string // in words
	LessIs    bool   // better
}

// The measures, the same on every page, list, export and mail.
var (
	Engagement = Measure{
		"Engaged", Engaged, All, "conversations in which the user wrote ÷ all conversations", false,
	}
	Containment = Measure{
		"Containment", Contained, Ended, "engaged, ended and not escalated ÷ engaged and ended", false,
	}
	Resolution   = Measure{"Resolution", Resolved, Ended, "resolved, confirmed or assumed ÷ engaged and ended", false}
	DurableShare = Measure{
		"Durable resolution", Durable, Ended,
		"resolved, and the same person did not come back within 7 days ÷ engaged and ended", false,
	}
	EscalationRate = Measure{"Escalation", Escalated, Engaged, "handed to a person ÷ engaged", true}
	Abandonment    = Measure{
		"Abandoned", Abandoned, Ended, "ended after a question, a fallback or an error ÷ engaged and ended", true,
	}
	CSAT         = Measure{"CSAT", Satisfied, Rated, "satisfied ÷ satisfied and not satisfied", false}
	ResponseRate = Measure{"Response rate", Rated, Asked, "rated ÷ asked for a rating", false}
)

// Of returns the measure's rate among the conversations counted.
func (t *Tally) Rate(m Measure) Rate { return Rate{t.Count(m.Of), t.Count(m.Among)} }

// Rate is a share with its base.
type Rate struct{ Of, Among int64 }

// FewFrom is the base from which a rate is no longer called small.
const FewFrom = 30

// Value returns the share; ok is false when there is nothing to divide by.
func (r Rate) Value() (v float64, ok bool) {
	if r.Among == 0 {
		return 0, false
	}
	return float64(r.Of) / float64(r.Among), true
}

// Few tells a rate whose base is small.
func (r Rate) Few() bool { return r.Among < FewFrom }

// z95 is the quantile of the normal distribution for an interval of 95 %.
const z95 = 1.959963984540054

// Interval returns the 95 % Wilson interval of the rate; 0 to 1 for no base.
func (r Rate) Interval() (low, high float64) {
	if r.Among == 0 {
		return 0, 1
	}
	n, p := float64(r.Among), float64(r.Of)/float64(r.Among)
	mid := (p + z95*z95/(2*n)) / (1 + z95*z95/n)
	half := z95 / (1 + z95*z95/n) * math.Sqrt(p*(1-p)/n+z95*z95/(4*n*n))
	return math.Max(0, mid-half), math.Min(1, mid+half)
}

// Difference is that of two rates, with its 95 % interval.
type Difference struct{ Value, Low, High float64 }

// Minus returns r − o by Newcombe's method; ok is false when either has no base.
func (r Rate) Minus(o Rate) (d Difference, ok bool) {
	a, ok1 := r.Value()
	b, ok2 := o.Value()
	if !ok1 || !ok2 {
		return d, false
	}
	la, ha := r.Interval()
	lb, hb := o.Interval()
	d.Value = a - b
	d.Low = d.Value - math.Hypot(a-la, hb-b)
	d.High = d.Value + math.Hypot(ha-a, b-lb)
	return d, true
}

// Clear tells whether the interval leaves out zero: the two can be told apart.
func (d Difference) Clear() bool { return d.Low > 0 || d.High < 0 }
