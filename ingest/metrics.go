package ingest

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/store"
)

// Metrics counts what ingest does, for Prometheus. A nil one counts nothing.
type Metrics struct {
	events      *prometheus.CounterVec
	delay       *prometheus.HistogramVec
	commit      prometheus.Histogram
	failures    *prometheus.CounterVec
	redelivered *prometheus.CounterVec
	lag         *prometheus.GaugeVec
	newest      *prometheus.GaugeVec
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	bounds := make([]float64, len(metric.DelayBounds))
	for i, b := range metric.DelayBounds {
		bounds[i] = b.Seconds()
	}
	m := &Metrics{
		events: prometheus.NewCounterVec(
			prometheus.CounterOpts{
				Name: "turnwise_events_total",
				Help: "Events by what became of them: stored, duplicate, revised or rejected.",
			},
			[]string{"source", "result"},
		),
		delay: prometheus.NewHistogramVec(
			prometheus.HistogramOpts{
				Name: "turnwise_event_delay_seconds", Help: "Time from an event to its commit.", Buckets: bounds,
			},
			[]string{"source"},
		),
		commit: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "turnwise_batch_seconds", Help: "Time that a batch takes in the database.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 14),
		}),
		failures: prometheus.NewCounterVec(
			prometheus.CounterOpts{
				Name: "turnwise_failures_total", Help: "Tries to store that failed and were repeated.",
			},
			[]string{"source"},
		),
		redelivered: prometheus.NewCounterVec(
			prometheus.CounterOpts{
				Name: "turnwise_redelivered_total", Help: "Messages that the broker says it delivered before.",
			},
			[]string{"source"},
		),
		lag: prometheus.NewGaugeVec(
			prometheus.GaugeOpts{Name: "turnwise_source_lag", Help: "Messages that wait in a partition or queue."},
			[]string{"source", "stream", "part"},
		),
		newest: prometheus.NewGaugeVec(
			prometheus.GaugeOpts{
				Name: "turnwise_source_last_event_timestamp_seconds",
				Help: "When the newest event that was stored happened.",
			},
			[]string{"source"},
		),
	}
	r.MustRegister(m.events, m.delay, m.commit, m.failures, m.redelivered, m.lag, m.newest)
	return m
}

func (m *Metrics) count(source string, c Counts) {
	if m == nil {
		return
	}
	for result, n := range map[string]int64{
		"stored": c.Stored, "duplicate": c.Duplicates, "revised": c.Revised, "rejected": c.Rejected,
	} {
		if n > 0 {
			m.events.WithLabelValues(source, result).Add(float64(n))
		}
	}
}

// stored takes the delays of a batch, by class: an event counts as taking as long as its class allows.
func (m *Metrics) stored(source string, minute store.Minute, took time.Duration) {
	if m == nil {
		return
	}
	m.commit.Observe(took.Seconds())
	if minute.Stored == 0 {
		return
	}
	m.newest.WithLabelValues(source).Set(float64(minute.NewestAt) / 1e6)
	h := m.delay.WithLabelValues(source)
	for class, n := range minute.Delays {
		seconds := 2 * metric.DelayBounds[len(metric.DelayBounds)-1].Seconds()
		if class < len(metric.DelayBounds) {
			seconds = metric.DelayBounds[class].Seconds()
		}
		for range n {
			h.Observe(seconds)
		}
	}
}

func (m *Metrics) failed(source string) {
	if m != nil {
		m.failures.WithLabelValues(source).Inc()
	}
}

func (m *Metrics) again(source string, n int64) {
	if m != nil && n > 0 {
		m.redelivered.WithLabelValues(source).Add(float64(n))
	}
}

func (m *Metrics) positions(source string, all []queries.Position) {
	if m == nil {
		return
	}
	m.lag.DeletePartialMatch(prometheus.Labels{"source": source})
	for _, p := range all {
		m.lag.WithLabelValues(source, p.Stream, strconv.Itoa(int(p.Part))).Set(float64(p.Lag))
	}
}
