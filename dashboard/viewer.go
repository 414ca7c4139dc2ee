package dashboard

import (
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/access"
	"turnwise/format"
	"turnwise/queries/figures"
)

// Viewer is who asks, and with what eyes: every figure, list and document is as the viewer may see it.
type Viewer struct {
	format.Dates // now, and the time zone in which days begin
	User         access.Account
	Rights       access.Rights
	Pool         *pgxpool.Pool
	Grid         figures.Grid // of the rollups
}

// NewViewer returns a user who asks at a moment, without an address of a page.
func NewViewer(pool *pgxpool.Pool, u access.Account, zone *time.Location, now time.Time) Viewer {
	return Viewer{
		Dates: format.Dates{Zone: zone, Now: now}, User: u, Rights: u.Rights(), Pool: pool, Grid: figures.NewGrid(zone),
	}
}
