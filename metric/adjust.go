package metric

import "math"

// Adjusted compares two rates within strata, such as channels, and weighs the strata alike on both sides: by all
// conversations that the two have there. So a difference that comes from another mix alone vanishes. Strata that only
// one side has are left out; covered is the share of the conversations that remain. ok is false when no stratum is
// left.
func Adjusted[K comparable](a, b map[K]Rate) (d Difference, covered float64, ok bool) {
	var total, kept float64
	for _, side := range []map[K]Rate{a, b} {
		for _, r := range side {
			total += float64(r.Among)
		}
	}
	var variance float64
	for k, x := range a {
		y := b[k]
		if x.Among == 0 || y.Among == 0 {
			continue
		}
		w := float64(x.Among + y.Among)
		p, q := float64(x.Of)/float64(x.Among), float64(y.Of)/float64(y.Among)
		// One success and one failure more keep a stratum of few from looking certain.
		p1, q1 := (float64(x.Of)+1)/(float64(x.Among)+2), (float64(y.Of)+1)/(float64(y.Among)+2)
		kept += w
		d.Value += w * (p - q)
		variance += w * w * (p1*(1-p1)/float64(x.Among) + q1*(1-q1)/float64(y.Among))
	}
	if kept == 0 {
		return Difference{}, 0, false
	}
	d.Value /= kept
	half := z95 * math.Sqrt(variance) / kept
	d.Low, d.High = d.Value-half, d.Value+half
	return d, kept / total, true
}
