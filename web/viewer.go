package web

import (
	"context"
	"slices"

	"turnwise/dashboard"
	"turnwise/format"
)

// viewer is who asks.
func (s *server) viewer(ctx context.Context) dashboard.Viewer {
	u, _ := accountOf(ctx)
	return dashboard.Viewer{
		Dates: format.Dates{Zone: s.Zone, Now: s.Now()}, User: u, Rights: u.Rights(), Pool: s.Pool, Grid: s.grid,
	}
}

// limitsOf are the assistants that who asks is limited to; nil: not limited.
func limitsOf(ctx context.Context) []string {
	u, _ := accountOf(ctx)
	return u.Assistants
}

// mayOf tells whether who asks may see something of an assistant; what is of none is for all.
func mayOf(ctx context.Context, assistant string) bool {
	limits := limitsOf(ctx)
	return limits == nil || assistant == "" || slices.Contains(limits, assistant)
}
