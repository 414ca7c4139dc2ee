package web

import (
	"context"
	"net/http"

	"turnwise/access"
	"turnwise/queries"
	"turnwise/web/api"
)

// programs is the JSON API, for programs with a token.
func (s *server) programs() (routes, tools http.Handler) {
	with := func(r *http.Request, u access.Account) *http.Request {
		if u.ID == (access.Account{}).ID {
			return r
		}
		return r.WithContext(context.WithValue(r.Context(), userKey{}, u))
	}
	cfg := api.Config{
		Pool: s.Pool, Log: s.Log, Zone: s.Zone, URL: s.URL, Version: s.Version, Jobs: s.Jobs, Now: s.Now,
		Origins: s.Origins, Ingest: s.Ingest, Webhooks: s.Webhooks,
		Refused: func(r *http.Request, u access.Account, why string) { s.refuse(with(r, u), why) },
		Read: func(r *http.Request, u access.Account, act queries.AuditAct, id string, rows int) {
			if s.readers.on(r.Context()) {
				s.readers.note(r.Context(), read{
					who: s.actor(with(r, u)), at: s.Now(), act: act, id: id, name: r.URL.Path, query: r.URL.RawQuery,
					rows: int64(rows),
				})
			}
		},
		Called: func(r *http.Request, u access.Account, tool, asked string) {
			s.readers.note(r.Context(), read{
				who: s.actor(with(r, u)), at: s.Now(), act: queries.AuditToolCalled, id: tool, name: tool, asked: asked, rows: -1,
			})
		},
	}
	return s.api.Handler(cfg), s.api.Tools(cfg)
}
