package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"turnwise/metric"
	"turnwise/queries"
)

// Problem says why a request was refused, as RFC 9457 writes it.
type Problem struct {
	Type          string   `json:"type" format:"uri"`
	Title         string   `json:"title"`
	Status        int      `json:"status"`
	Detail        string   `json:"detail"`
	Instance      string   `json:"instance"`
	RequestID     string   `json:"request_id" doc:"By which the server's log names the request."`
	RequiredRoles []string `json:"required_roles,omitempty" doc:"With 403: the token needs one of them."`
	Errors        []Fault  `json:"errors,omitempty" doc:"With 400: all that is wrong."`

	retry int // seconds; 0: not told
	cause error
}

// Fault is one thing that is wrong with a request.
type Fault struct {
	Parameter string `json:"parameter,omitempty"`
	Pointer   string `json:"pointer,omitempty" doc:"JSON Pointer into the body."`
	Code      string `json:"code" enum:"missing,not-a-date,not-an-integer,not-a-uuid,not-in-list,out-of-range,range-too-long,start-not-before-end,unknown,repeated,conflict,invalid"`
	Detail    string `json:"detail"`
}

func (p *Problem) Error() string { return p.Detail }

// The codes of faults.
const (
	missing        = "missing"
	notADate       = "not-a-date"
	notAnInteger   = "not-an-integer"
	notAUUID       = "not-a-uuid"
	notInList      = "not-in-list"
	outOfRange     = "out-of-range"
	rangeTooLong   = "range-too-long"
	startNotBefore = "start-not-before-end"
	unknown        = "unknown"
	repeated       = "repeated"
	conflict       = "conflict"
	invalid        = "invalid"
)

// titles are those of problems by how their types end.
var titles = map[string]string{
	"invalid-parameter": "Invalid parameter", "unknown-parameter": "Unknown parameter",
	"conflicting-parameters": "Conflicting parameters", "invalid-body": "Invalid body", "unauthorized": "Unauthorized",
	"forbidden": "Forbidden", "not-found": "Not found", "method-not-allowed": "Method not allowed",
	"conflict": "Conflict", "rate-limited": "Too many requests", "unavailable": "Unavailable",
	"internal": "Internal error",
}

// faulty makes a problem of all that is wrong with parameters or body.
func faulty(all []Fault) *Problem {
	kind := "invalid-parameter"
	each := func(code string) bool {
		return !slices.ContainsFunc(all, func(f Fault) bool { return f.Code != code })
	}
	switch {
	case all[0].Pointer != "" || all[0].Parameter == "":
		kind = "invalid-body"
	case each(unknown):
		kind = "unknown-parameter"
	case each(conflict):
		kind = "conflicting-parameters"
	}
	what := "parameter is"
	if kind == "invalid-body" {
		what = "member of the body is"
	}
	if len(all) > 1 {
		what = map[string]string{"parameter is": "parameters are"}[what]
		what = cmp.Or(what, "members of the body are")
	}
	return &Problem{
		Type: kind, Status: http.StatusBadRequest, Errors: all, Detail: strconv.Itoa(len(all)) + " " + what + " not valid.",
	}
}

// problemOf says what an error is for who asked.
func problemOf(err error) *Problem {
	var p *Problem
	var input *metric.InputError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &input):
		return faulty([]Fault{{Parameter: input.Field, Code: invalid, Detail: input.Error() + "."}})
	case errors.Is(err, queries.ErrNotFound):
		return &Problem{Type: "not-found", Status: http.StatusNotFound, Detail: "There is nothing here, or not for this token."}
	case errors.Is(err, queries.ErrConflict):
		return &Problem{Type: "conflict", Status: http.StatusConflict, Detail: "Somebody did the same just before."}
	case errors.Is(err, context.DeadlineExceeded):
		return &Problem{
			Type: "unavailable", Status: http.StatusServiceUnavailable, retry: 30, cause: err,
			Detail: "Counting this took longer than 20 seconds. Ask for a shorter range or with fewer filters.",
		}
	case queries.BadValue(err):
		return &Problem{
			Type: "invalid-parameter", Status: http.StatusBadRequest, cause: err,
			Detail: "Something in what was asked cannot be looked up.",
		}
	case queries.Temporary(err):
		return &Problem{
			Type: "unavailable", Status: http.StatusServiceUnavailable, retry: 5, cause: err,
			Detail: "The database does not answer at the moment.",
		}
	}
	return &Problem{
		Type: "internal", Status: http.StatusInternalServerError, cause: err,
		Detail: "Something went wrong here. The server's log says what, under the request_id.",
	}
}

// write answers with the problem.
func (p *Problem) write(w http.ResponseWriter, r *http.Request, site, id string) {
	out := *p
	out.Type, out.Title = site+"/api/v1/problems/"+p.Type, titles[p.Type]
	out.Instance, out.RequestID = r.URL.Path, id
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retry))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	b, err := json.Marshal(out)
	if err != nil { // of strings and numbers
		panic(err)
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(b, '\n')) // the client may be gone
}
