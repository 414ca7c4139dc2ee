package api

import (
	"net/http"
	"slices"

	"turnwise/access"
	"turnwise/queries"
)

// table is all of the API.
func table(h *handler) []route {
	return slices.Concat(generalBots(), reports(), catalogue(), intake(h), []route{
		{
			method: "GET", path: "/bots", id: "listBots", group: "Assistants", summary: "Assistants: their ids and names",
			right: access.SeeFigures, answer: BotList{}, handle: bots,
		},
		{
			method: "GET", path: "/openapi.json", id: "getOpenAPI", group: "About", summary: "This document",
			answer: map[string]any{}, handle: openAPI, quick: true,
		},
	})
}

// SentEvents are events as their format writes them: docs/events.md and docs/neutral.md.
type SentEvents struct{}

// Stored is what became of events that were sent.
type Stored struct {
	Accepted   int64      `json:"accepted" doc:"Stored, and new."`
	Duplicates int64      `json:"duplicates" doc:"Stored before."`
	Revised    int64      `json:"revised" doc:"They took the place of stored ones."`
	Rejected   []Rejected `json:"rejected" doc:"Kept under Data health."`
}

// Rejected is an event that could not be stored.
type Rejected struct {
	Index  int    `json:"index" doc:"Its place among those that were sent, from 0 on."`
	Offset *int   `json:"offset,omitempty" doc:"Where in the body it is broken."`
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// IntakeProblem says why events were refused, as RFC 9457 writes it.
type IntakeProblem struct {
	Type     string     `json:"type"`
	Title    string     `json:"title"`
	Status   int        `json:"status"`
	Detail   string     `json:"detail"`
	Rejected []Rejected `json:"rejected,omitempty" doc:"With 400: events that could not be read."`
}

// intake are the addresses to which events are sent. They check tokens and bodies themselves.
func intake(h *handler) []route {
	events := []string{"application/json", "application/x-ndjson"}
	send := func(path, id, summary, doc string, as []string, handler http.Handler) route {
		return route{
			method: "POST", path: "/ingest" + path, id: id, group: "Sending events", summary: summary, doc: doc,
			roles: []string{"ingest"}, body: SentEvents{}, takesAs: as, answer: Stored{}, status: http.StatusAccepted,
			raw: handler,
		}
	}
	all := []route{
		send("/rasa", "sendRasaEvents", "Stores events of Rasa", "One event, an array, one a line, or tracker documents; gzip is taken. Sending again is safe.", events, h.Ingest),
		send("/events", "sendEvents", "Stores neutral events", "One event, an array, one a line, or CloudEvents (application/cloudevents+json, application/cloudevents-batch+json); gzip is taken. Sending again is safe.", events, h.Ingest),
		{
			method: "GET", path: "/ingest/events/schema.json", id: "getEventSchema", group: "Sending events",
			summary: "The JSON Schema of a neutral event", kinds: []string{"application/schema+json"}, raw: h.Ingest,
		},
	}
	if h.Webhooks != nil || h.Pool == nil {
		hook := send("/webhooks/{id}", "receiveWebhook", "Takes what a platform sends to a webhook", "The webhook's own secret proves who sends.", events[:1], h.Webhooks)
		hook.roles, hook.answer, hook.status = nil, nil, 0
		hook.params = []param{{name: "id", kind: uuid, inPath: true}}
		all = append(all, hook)
	}
	return all
}

// BotList is the answer of /bots.
type BotList struct {
	Data []Bot `json:"data"`
}

// Bot is an assistant.
type Bot struct {
	ID      string   `json:"id" format:"uuid"`
	Name    string   `json:"name" doc:"The handle by which events name it."`
	Aliases []string `json:"aliases" doc:"Other names by which its events may come."`
}

// bots answers GET /bots.
func bots(c *call) (any, error) {
	all, err := queries.Bots(c.ctx, c.Pool, c.account.Assistants)
	list := BotList{Data: []Bot{}}
	for _, b := range all {
		list.Data = append(list.Data, Bot{b.ID.String(), b.Name, b.Aliases})
	}
	return list, err
}
