package figures

import (
	"time"

	"turnwise/metric"
)

// visits tell which users came, when each first came, and whether they wrote.
type visits struct{}

func (visits) number() int16          { return 5 }
func (visits) asked(q *Question) bool { return q.Users }
func (visits) empty() part            { return new(visitors) }

func (visits) read(r *reading, from time.Time, _ Dimensions, packed []byte) error {
	all, err := metric.Visits(nil).AppendPacked(packed, from)
	r.sum.Users = append(r.sum.Users, metric.VisitsAt{At: r.cellOf(from), Visits: all})
	return err
}

type visitors struct{ metric.Visits }

func (v *visitors) add(c *metric.ConversationFacts) { v.Visits = append(v.Visits, c.Visit) }
func (v *visitors) merge(o part)                    { v.Visits = append(v.Visits, o.(*visitors).Visits...) }
func (v *visitors) pack(from time.Time) []byte      { return v.Pack(from) }

func (v *visitors) unpack(from time.Time, packed []byte) (err error) {
	v.Visits, err = v.AppendPacked(packed, from)
	return err
}

func (v *visitors) answer(r *reading, at time.Time, _ *cell) {
	r.sum.Users = append(r.sum.Users, metric.VisitsAt{At: at, Visits: v.Visits})
}
