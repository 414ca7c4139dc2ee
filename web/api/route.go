package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"turnwise/access"
	"turnwise/analytics"
	"turnwise/conversation"
	"turnwise/metric"
)

// route is one operation: what it takes, who may, what it answers. The router, the checks of parameters and the OpenAPI
// document are made of it.
type route struct {
	method, path string
	id           string // by which generated clients call it
	group        string // under which documents list it
	summary      string
	roles        []string     // the token must have one of these, literally
	right        access.Right // or this right; both empty: no token is needed
	params       []param
	headers      []string              // that it reads beside
	filter       bool                  // the fields of a filter are parameters too
	body         any                   // a value of the type of the body; nil: none
	takesAs      []string              // media types of the body; nil: JSON
	answer       any                   // a value of the type of the answer; nil: a file
	kinds        []string              // media types of a file
	status       int                   // of a good answer; 0: 200
	doc          string                // what the summary does not say
	quick        bool                  // takes no seat among those that count
	raw          http.Handler          // answers by itself, with checks of its own
	check        func(c *call) []Fault // what is wrong with parameters together; nil: nothing can be
	handle       func(c *call) (any, error)
}

// kind is what values a parameter takes.
type kind string

const (
	text    kind = "text"
	word    kind = "word" // one of among
	number  kind = "number"
	uuid    kind = "uuid"
	date    kind = "date" // or a time
	zone    kind = "zone"
	instant kind = "instant"
)

// param is a parameter.
type param struct {
	name        string
	kind        kind
	inPath      bool
	among       []string
	least, most int
	needed      bool
	doc         string
}

// call is a request whose parameters are read.
type call struct {
	*handler
	ctx     context.Context
	r       *http.Request
	id      string // of the request
	token   access.Token
	account access.Account
	given   map[string]bool // parameters that the request has, right or wrong
	values  map[string]string
	numbers map[string]int
	ids     map[string]*conversation.UUID
	zone    *time.Location
	now     time.Time
	header  http.Header // of the answer
	asked   analytics.Question
}

// parse reads the parameters; all faults are told at once.
func (c *call) parse(rt *route) (faults []Fault) {
	c.given = map[string]bool{}
	c.values, c.numbers, c.ids = map[string]string{}, map[string]int{}, map[string]*conversation.UUID{}
	query, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return []Fault{{Parameter: "query", Code: invalid, Detail: "The query is not written as URLs are."}}
	}
	for i := range rt.params {
		p := &rt.params[i]
		all := query[p.name]
		c.given[p.name] = len(all) > 0
		if p.inPath {
			all = []string{chi.URLParam(c.r, p.name)}
		}
		switch {
		case len(all) > 1:
			faults = append(faults, Fault{Parameter: p.name, Code: repeated, Detail: p.name + " may be given once."})
		case len(all) == 1:
			if f := c.read(p, all[0]); f != nil {
				faults = append(faults, *f)
			}
		case p.needed:
			faults = append(faults, Fault{Parameter: p.name, Code: missing, Detail: p.name + " is needed."})
		}
	}
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	slices.Sort(names)
	if rt.filter {
		faults = append(faults, c.filterFaults(query)...)
	}
	for _, name := range names {
		if !rt.takes(name) {
			faults = append(faults, Fault{Parameter: name, Code: unknown, Detail: clip(name) + " is not a parameter of this address."})
		}
	}
	return faults
}

// filterFaults are those of a filter.
func (c *call) filterFaults(query url.Values) (faults []Fault) {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if metric.IsField(name) && metric.Single(name) && len(query[name]) > 1 {
			faults = append(faults, Fault{Parameter: name, Code: repeated, Detail: name + " may be given once."})
		}
	}
	for _, e := range metric.FilterFaults(query, c.zone) {
		faults = append(faults, Fault{Parameter: e.Field, Code: invalid, Detail: e.Error() + "."})
	}
	return faults
}

// takes tells whether a query may name a parameter.
func (rt *route) takes(name string) bool {
	if slices.ContainsFunc(rt.params, func(p param) bool { return p.name == name && !p.inPath }) {
		return true
	}
	return rt.filter && metric.IsField(name)
}

// clip keeps a value that is told back short.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}

// read reads one value.
func (c *call) read(p *param, v string) *Fault {
	bad := func(code, format string, args ...any) *Fault {
		return &Fault{Parameter: p.name, Code: code, Detail: p.name + " " + fmt.Sprintf(format, args...)}
	}
	switch p.kind {
	case word:
		if !slices.Contains(p.among, v) {
			return bad(notInList, "must be one of %s.", strings.Join(p.among, ", "))
		}
	case number:
		n, err := strconv.Atoi(v)
		if !digits(v) {
			return bad(notAnInteger, "must be a whole number.")
		}
		if err != nil || n < p.least || n > p.most {
			if p.most == anyNumber {
				return bad(outOfRange, "must be at least %d.", p.least)
			}
			return bad(outOfRange, "must be between %d and %d.", p.least, p.most)
		}
		c.numbers[p.name] = n
	case uuid:
		id, err := conversation.ParseUUID(v)
		if err != nil || len(v) != len(id.String()) {
			return bad(notAUUID, "must be a UUID.")
		}
		c.ids[p.name] = &id
	case zone:
		at, err := time.LoadLocation(v)
		if err != nil || v == "" || v == "Local" || v[0] < 'A' || v[0] > 'Z' { // as all those names begin
			return bad(notInList, "must be an IANA name of a time zone, such as Europe/Berlin.")
		}
		c.zone = at
	case date:
		if _, _, err := parseDate(v, time.UTC); err != nil {
			return bad(notADate, "must be a date such as 2026-11-21, or a time such as 2026-11-21T09:30:00Z.")
		}
	case instant:
		if _, _, err := parseDate(v, time.UTC); err != nil {
			return bad(notADate, "must be a time such as 2026-11-21T09:30:00Z, or a date.")
		}
	case text:
		if len(v) > 4000 || strings.ContainsRune(v, 0) || strings.ToValidUTF8(v, "") != v {
			return bad(invalid, "is too long or not text.")
		}
	}
	c.values[p.name] = v
	return nil
}

// anyNumber is the upper bound of a number that has none.
const anyNumber = 1 << 31

func digits(s string) bool {
	s = strings.TrimPrefix(s, "-")
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// times are the ways in which ISO 8601 writes times; those without an offset are read in a time zone.
var times = []string{"2006-01-02T15:04:05.999999999", "2006-01-02T15:04"}

// parseDate reads a date, or a time; without an offset it is one of the zone. Dates are told apart.
func parseDate(v string, zone *time.Location) (at time.Time, isDate bool, err error) {
	if day, err := time.Parse(time.DateOnly, v); err == nil {
		return metric.Midnight(day.Year(), day.Month(), day.Day(), zone), true, nil
	}
	v = strings.ToUpper(strings.Replace(v, " ", "+", 1)) // a plus sign that was not escaped in an address
	if at, err = time.Parse(time.RFC3339, v); err == nil {
		return at, false, nil
	}
	for _, layout := range times {
		if at, err = time.ParseInLocation(layout, v, zone); err == nil {
			return at, false, nil
		}
	}
	return at, false, err
}
