package jobs

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/queries"
)

// server tells the others that this process does jobs, and begins again what one left that was killed. River by itself
// would wait as long as the longest of them may take, and meanwhile let in no other of a kind of which there is one at
// a time.
type server struct {
	id, version string
	pool        *pgxpool.Pool
	log         *slog.Logger
	outdated    chan error // gets queries.ErrOutdated when the process must end
}

// live goes on until the context ends.
func (s *server) live(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	since := time.Now() // when this process could last not reach the database, and so perhaps the others neither
	for last := since; ; {
		beating, cancel := context.WithTimeout(ctx, beatEvery)
		err := queries.Heartbeat(beating, s.pool, s.id, s.version)
		now := time.Now()
		if err != nil || now.Sub(last) > 2*beatEvery {
			since = now
		}
		last = now
		if err == nil && now.Sub(since) > deadAfter {
			var n int64
			if n, err = queries.RescueJobs(beating, s.pool, deadAfter); n > 0 {
				s.log.WarnContext(ctx, "jobs of a server that ended are begun again", "jobs", n)
			}
		}
		cancel()
		if errors.Is(err, queries.ErrOutdated) {
			s.outdated <- err
			return
		}
		if err != nil && ctx.Err() == nil {
			s.log.DebugContext(ctx, "the server could not tell that it is alive", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// end tells that the process ended.
func (s *server) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatEvery)
	defer cancel()
	if err := queries.EndServer(ctx, s.pool, s.id); err != nil {
		s.log.DebugContext(ctx, "the server could not tell that it ended", "error", err)
	}
}
