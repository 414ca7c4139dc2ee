package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"turnwise/ingest"
	"turnwise/queries"
)

// listen serves each handler at its address; failed gets the first error of any.
func listen(
	ctx context.Context, log *slog.Logger, handlers map[string]http.Handler,
) (servers []*http.Server, failed chan error, err error) {
	failed = make(chan error, len(handlers))
	for address, handler := range handlers {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return servers, nil, fmt.Errorf("listen on %s: %w", address, err)
		}
		server := &http.Server{
			Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 60 * time.Second,
			WriteTimeout: 120 * time.Second,
			IdleTimeout:  120 * time.Second, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(
				log.Handler(), slog.LevelDebug,
			),
		}
		servers = append(servers, server)
		go func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		}()
	}
	return servers, failed, nil
}

// shutdownWait is how long requests under way may take when the server stops. What takes longer, such as a download, is
// broken off.
const shutdownWait = 4 * time.Second

func stopServers(ctx context.Context, log *slog.Logger, servers []*http.Server) {
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWait)
	defer cancel()
	var all sync.WaitGroup
	for _, server := range servers {
		all.Go(func() {
			if err := server.Shutdown(stopping); err != nil {
				log.WarnContext(ctx, "requests were broken off", "error", err)
				_ = server.Close()
			}
		})
	}
	all.Wait()
}

// newRegistry returns the metrics of the process and of its connections to the database.
func newRegistry(pool *pgxpool.Pool) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for name, value := range map[string]func() float64{
		"turnwise_database_connections":      func() float64 { return float64(pool.Stat().TotalConns()) },
		"turnwise_database_connections_used": func() float64 { return float64(pool.Stat().AcquiredConns()) },
		"turnwise_database_connections_max":  func() float64 { return float64(pool.Stat().MaxConns()) },
	} {
		r.MustRegister(
			prometheus.NewGaugeFunc(
				prometheus.GaugeOpts{Name: name, Help: "Connections of ingest to the database."}, value,
			),
		)
	}
	return r
}

// readiness answers whether the process lives and whether it can do its work.
type readiness struct {
	pool     *pgxpool.Pool
	writer   *ingest.Writer // nil: nothing is stored here
	streams  func() []ingest.Status
	begun    atomic.Bool // the streams are there
	stopping atomic.Bool
}

// handler serves /healthz, /readyz and /metrics, and Go's profiles when asked to.
func (p *readiness) handler(registry *prometheus.Registry, profiles bool) http.Handler {
	registry.MustRegister(p)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", p.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	if profiles {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// ready names each check. A broker that fails does not make a server unready, as its pages work; a database
// that takes nothing does.
func (p *readiness) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	status, text := http.StatusOK, "database: ok\n"
	if err := p.pool.Ping(ctx); err != nil {
		status, text = http.StatusServiceUnavailable, "database: does not answer\n"
	} else if current, err := queries.Migrated(ctx, p.pool); err != nil || !current {
		status, text = http.StatusServiceUnavailable, text+"schema: older than this program, or not to be read\n"
	} else {
		text += "schema: ok\n"
		if p.writer != nil && p.writer.Stuck() { // nobody may send anything until this says that it is mended
			if err := queries.Storable(ctx, p.pool); err != nil {
				status, text = http.StatusServiceUnavailable, text+"storing: "+queries.WhyUnstorable(err)+"\n"
			}
		}
	}
	if p.begun.Load() {
		for _, s := range p.streams() {
			text += fmt.Sprintf("source %q: %s", s.Source, s.State)
			if s.Reason != "" {
				text += ": " + s.Reason
			}
			text += "\n"
			if s.State == ingest.Waiting {
				status = http.StatusServiceUnavailable
			}
		}
	}
	if p.stopping.Load() {
		status, text = http.StatusServiceUnavailable, "stopping\n"+text
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprint(w, text)
}

var (
	stateDesc = prometheus.NewDesc(
		"turnwise_source_state",
		"1 for the state that a source is in: connecting, reading, waiting, paused, failed or stopped.",
		[]string{"source", "state"}, nil,
	)
	reconnectsDesc = prometheus.NewDesc(
		"turnwise_source_reconnects_total", "Times that a source was opened again after an error.", []string{"source"},
		nil,
	)
)

// Describe and Collect tell Prometheus the states of the sources.
func (p *readiness) Describe(to chan<- *prometheus.Desc) {
	to <- stateDesc
	to <- reconnectsDesc
}

// Collect is as Describe says.
func (p *readiness) Collect(to chan<- prometheus.Metric) {
	if !p.begun.Load() {
		return
	}
	for _, s := range p.streams() {
		to <- prometheus.MustNewConstMetric(reconnectsDesc, prometheus.CounterValue, float64(s.Reconnects), s.Source)
		for _, state := range []string{
			ingest.Connecting, ingest.Reading, ingest.Waiting, ingest.Paused, ingest.Failed, ingest.Stopped,
		} {
			v := 0.0
			if s.State == state {
				v = 1
			}
			to <- prometheus.MustNewConstMetric(stateDesc, prometheus.GaugeValue, v, s.Source, state)
		}
	}
}
