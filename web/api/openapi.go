package api

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"turnwise/access"
	"turnwise/metric"
)

// openAPI answers GET /openapi.json.
func openAPI(c *call) (any, error) {
	c.header.Set("Cache-Control", "public, max-age=300")
	return newer(document(c.routes, c.URL, c.Version)), nil
}

// Document is the API as OpenAPI 3.0 describes it; /openapi.json is the same in the words of 3.1.
func Document(site, version string) any { return document(table(new(handler)), site, version) }

// document describes the routes.
func document(routes []route, site, version string) object {
	all, paths := schemas{}, object{}
	fault := object{
		"description": "It was refused.",
		"content":     object{"application/problem+json": object{"schema": all.of(reflect.TypeFor[Problem](), "")}},
	}
	var groups []any
	named := map[string]bool{}
	for i := range routes {
		rt := &routes[i]
		if !named[rt.group] {
			named[rt.group] = true
			groups = append(groups, object{"name": rt.group})
		}
		at, _ := paths[rt.path].(object)
		if at == nil {
			at = object{}
			paths[rt.path] = at
		}
		refused := fault
		if rt.raw != nil {
			refused = object{
				"description": "It was refused.",
				"content":     object{"application/problem+json": object{"schema": all.of(reflect.TypeFor[IntakeProblem](), "")}},
			}
		}
		at[strings.ToLower(rt.method)] = rt.operation(all, refused)
	}
	return object{
		"openapi": "3.0.3",
		"info":    object{"title": "Turnwise", "version": version, "description": "Conversation analytics: figures, conversations, reports, and events sent in."},
		"servers": []any{object{"url": site + "/api/v1"}},
		"tags":    groups,
		"paths":   paths,
		"components": object{
			"schemas":         object(all),
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}},
		},
	}
}

// operation describes a route.
func (rt *route) operation(all schemas, fault object) object {
	out := object{"operationId": rt.id, "summary": rt.summary, "tags": []any{rt.group}}
	said := rt.doc
	switch {
	case rt.open():
		out["security"] = []any{}
	default:
		out["security"] = []any{object{"token": []any{}}}
		roles := rt.roles
		if roles == nil {
			roles = rolesWith(rt.right)
		}
		said = strings.TrimSpace(said + " The token needs the role " + strings.Join(roles, " or ") + ".")
	}
	if said != "" {
		out["description"] = said
	}
	var params []any
	for _, p := range rt.params {
		params = append(params, p.describe())
	}
	if rt.filter {
		params = append(params, filterParams(rt.right == access.SeeTranscripts)...)
	}
	for _, name := range rt.headers {
		params = append(params, object{"name": name, "in": "header", "schema": object{"type": "string", "maxLength": longestKey}})
	}
	if params != nil {
		out["parameters"] = params
	}
	if rt.body != nil {
		content := object{}
		for _, kind := range rt.takesKinds() {
			content[kind] = object{"schema": all.of(reflect.TypeOf(rt.body), "")}
		}
		out["requestBody"] = object{"required": true, "content": content}
	}
	answer := object{"description": "Success."}
	switch {
	case rt.answer != nil:
		answer["content"] = object{"application/json": object{"schema": all.of(reflect.TypeOf(rt.answer), "")}}
	case rt.kinds != nil:
		content := object{}
		for _, kind := range rt.kinds {
			content[kind] = object{"schema": object{"type": "string", "format": "binary"}}
		}
		answer["content"] = content
	}
	responses := object{strconv.Itoa(max(rt.status, http.StatusOK)): answer, "default": fault}
	if rt.method == http.MethodGet && rt.answer != nil && !rt.quick {
		responses["304"] = object{"description": "The client has this answer: its ETag is that of If-None-Match."}
	}
	out["responses"] = responses
	return out
}

// open tells a route that needs no token.
func (rt *route) open() bool { return rt.roles == nil && rt.right == "" }

// takesKinds are the media types of the body.
func (rt *route) takesKinds() []string {
	if rt.takesAs != nil {
		return rt.takesAs
	}
	return []string{"application/json"}
}

// describe describes a parameter.
func (p *param) describe() object {
	schema := object{"type": "string"}
	switch p.kind {
	case word:
		var all []any
		for _, v := range p.among {
			all = append(all, v)
		}
		schema["enum"] = all
	case number:
		schema["type"], schema["minimum"] = "integer", p.least
		if p.most != anyNumber {
			schema["maximum"] = p.most
		}
	case uuid:
		schema["format"] = "uuid"
	default:
	}
	out := object{"name": p.name, "in": "query", "schema": schema}
	if p.inPath {
		out["in"], out["required"] = "path", true
	} else if p.needed {
		out["required"] = true
	}
	if p.doc != "" {
		out["description"] = p.doc
	}
	return out
}

// filterParams are the fields of a filter, each of which may be given several times.
func filterParams(lists bool) (all []any) {
	one := func(name, doc string) object {
		return object{"name": name, "in": "query", "description": doc, "schema": object{"type": "string"}}
	}
	all = append(
		all, one("range", "Days, such as 28d, or one of "+strings.Join(metric.MovingNames(), ", ")+"; default: 28d, for searches all time."),
		one("from", "First day, or a time; with until."), one("until", "Last day, which is included, or a time, which is not; with from."),
	)
	for _, x := range metric.Fields {
		if x.Lists && !lists {
			continue
		}
		p := one(x.Name, fieldDocs[x.Name])
		item := object{"type": "string"}
		if x.Among != nil {
			var enum []any
			for _, v := range x.Among {
				enum = append(enum, v)
			}
			item["enum"] = enum
		}
		if p["schema"] = item; x.Many {
			p["schema"], p["explode"], p["style"] = object{"type": "array", "items": item}, true, "form"
		}
		all = append(all, p)
		if x.Keyed {
			for _, how := range metric.FlowConditions()[1:] {
				k := how.String()
				more := one(x.Name+"."+k, "Only conversations in which this flow was "+strings.ReplaceAll(k, "-", " ")+".")
				more["schema"], more["explode"], more["style"] = object{"type": "array", "items": object{"type": "string"}}, true, "form"
				all = append(all, more)
			}
		}
	}
	return all
}

// fieldDocs say what the fields of a filter take.
var fieldDocs = map[string]string{
	"assistant": "Name or id of an assistant, as /bots lists them.", "assistant.not": "Leave out this assistant.",
	"environment": "Name of an environment; (not told): none was reported.", "environment.not": "Leave out this environment.",
	"channel": "Name of a channel; (not told): none was reported.", "channel.not": "Leave out this channel.",
	"version": "Name of a release; (not told): none was reported.", "version.not": "Leave out this release.",
	"outcome": "Outcome of the conversation.", "csat": "Rating of the conversation.",
	"escalated": "Whether it was handed to a human agent.", "review": "Review state.",
	"tag": "It has this tag.", "tag.not": "It does not have this tag.", "reviewer": "Id of an account that marked it as reviewed.",
	"flow": "It came to this flow.", "is": "It meets this condition; several: all of them.",
	"criteria": "A version of success criteria and a verdict, such as 3.success.", "path": "A path through flows, as links of the pages have it.",
	"intent": "It has a turn with this intent.", "turn.flow": "It has a turn in this flow.",
	"turn.action": "It has a turn answered by this action.", "part": "It has a turn for which this part of the response time was reported.",
	"over": "That part took more than so many milliseconds.", "turn": "It has such a turn.",
	"command": "The model gave this command; several: all of them.", "cannot-handle": "The reason that the command cannot handle gave.",
	"marker": "This marker was found; several: all of them.", "marker.not": "None of these markers was found.",
	"reason": "Reason of the escalation.", "weekday": "It began on this weekday: 1 is Monday, 7 is Sunday.",
	"hour": "It began in this hour of the day, 0 to 23.", "users": "Users whose first conversation lies in the range, or before it.",
	"person": "Id of a user, the user_id of /conversations.", "only": "Id of a conversation; several: any of them.",
	"met":    "Users whose first conversation lies between two dates, such as 2026-11-02..2026-11-08.",
	"slower": "It has a response slower than so many milliseconds.", "faster": "It has a response no slower than so many milliseconds.",
	"marked": "A reviewer left this.", "rated": "A reviewer rated it, 1 to 5.", "queue": "Id of a review queue.",
	"q":  "Words that were said: a search, in all time unless there is a range.",
	"id": "Id of a conversation, a sender or a user of the platform; in all time.",
}
