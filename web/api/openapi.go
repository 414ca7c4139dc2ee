package api

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"

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
		params = append(params, filterParams()...)
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
	answer := object{"description": "It is done."}
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
func filterParams() (all []any) {
	one := func(name, doc string) object {
		return object{"name": name, "in": "query", "description": doc, "schema": object{"type": "string"}}
	}
	all = append(
		all, one("range", "Such as 28d or last-month; default: 28d."),
		one("from", "First day, or a time."), one("until", "Last day, which is included, or a time, which is not."),
	)
	for _, x := range metric.Fields {
		p := one(x.Name, strings.TrimSpace("Only conversations: "+strings.ToLower(x.Label)+" "+x.Verb)+".")
		p["schema"] = object{"type": "array", "items": object{"type": "string"}}
		p["explode"], p["style"] = true, "form"
		all = append(all, p)
		if x.Keyed {
			for _, how := range metric.FlowConditions()[1:] {
				k := how.String()
				more := one(x.Name+"."+k, "Only conversations in which this flow was "+strings.ReplaceAll(k, "-", " ")+".")
				more["schema"], more["explode"], more["style"] = p["schema"], true, "form"
				all = append(all, more)
			}
		}
	}
	return all
}
