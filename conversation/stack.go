package conversation

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Stack is a dialogue stack: frames from the bottom up, each a JSON object.
type Stack []any

// PatchOp is one operation of an RFC 6902 patch. Value is decoded JSON, its numbers json.Number.
type PatchOp struct {
	Op    string
	Path  string
	From  string
	Value any
}

var errPatch = errors.New("the patch does not fit the stack")

// Bounds of what patches make: what is larger is taken as one that does not fit, so that a stack that only grows, and
// hostile patches that copy it into itself, stay harmless.
const (
	MaxPatchOps   = 1000
	maxStackNodes = 1000
	maxStackBytes = 64 << 10 // of its texts
	maxStackDepth = 50
)

// Top returns the flow and step of the top frame, empty for an empty stack.
func (s Stack) Top() (flow, step string) {
	if len(s) == 0 {
		return "", ""
	}
	frame, _ := s[len(s)-1].(map[string]any)
	flow, _ = frame["flow_id"].(string)
	step, _ = frame["step_id"].(string)
	return flow, step
}

// structural are the fields of a frame that say where the dialogue is; others may hold what somebody said.
var structural = []string{"flow_id", "step_id", "frame_id", "frame_type", "type", "collect", "utter"}

// forget empties all texts of the frames but those that are structural. What there is stays, so that patches fit.
func (s Stack) forget() {
	var empty func(v any) any
	empty = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for k, x := range v {
				if _, text := x.(string); !text || !slices.Contains(structural, k) {
					v[k] = empty(x)
				}
			}
		case []any:
			for i, x := range v {
				v[i] = empty(x)
			}
		case string:
			return ""
		case json.Number:
			return json.Number("0")
		}
		return v
	}
	empty([]any(s))
}

// weight is how large a stack is, or at most where it is not exact. To measure a stack for each patch would cost more
// than to apply it.
type weight struct {
	extent
	exact bool
}

func weigh(s Stack) weight   { return weight{measure([]any(s), 0), true} }
func (w weight) known() bool { return w.nodes > 0 }

// apply returns the stack after a patch, and its weight; s itself, of the weight at, is not changed. No patch at all is
// one that does not fit.
func (s Stack) apply(patch []PatchOp, at weight) (Stack, weight, error) {
	if patch == nil || len(patch) > MaxPatchOps {
		return nil, at, errPatch
	}
	var doc any = []any(s)
	for _, op := range patch {
		if op.Op == "add" && frame(op.Path) {
			if _, ok := doc.([]any); ok && at.exact && at.plus(measure(op.Value, 1)).large() {
				return nil, at, errPatch
			}
		}
		var err error
		if doc, err = op.apply(doc); err != nil {
			return nil, at, err
		}
		switch op.Op {
		case "add", "replace":
			at.extent = at.plus(measure(op.Value, strings.Count(op.Path, "/")))
			at.exact = at.exact && op.Op == "add" && frame(op.Path)
		case "remove":
			at.exact = false
		case "copy", "move":
			v, _ := get(doc, op.Path) // in an array it may be another by now; then all is measured
			at.extent, at.exact = at.plus(measure(v, strings.Count(op.Path, "/"))), false
			if strings.HasSuffix(op.Path, "/-") {
				at.nodes = maxStackNodes + 1
			}
		}
		if !frame(op.Path) {
			at.bytes += len(op.Path) // the name of a member may be new
		}
		if at.large() {
			if at = (weight{measure(doc, 0), true}); at.large() {
				return nil, at, errPatch
			}
		}
	}
	frames, ok := doc.([]any)
	if !ok {
		return nil, at, errPatch
	}
	return frames, at, nil
}

// frame tells whether a path names a frame of the stack as a whole: one that is added there replaces none.
func frame(path string) bool { return strings.LastIndexByte(path, '/') == 0 && len(path) > 1 }

func (op PatchOp) apply(doc any) (any, error) {
	switch op.Op {
	case "add":
		return edit(doc, op.Path, op.Value, true)
	case "replace":
		if _, ok := get(doc, op.Path); !ok {
			return nil, errPatch
		}
		return edit(doc, op.Path, op.Value, false)
	case "remove":
		return remove(doc, op.Path)
	case "copy", "move":
		v, ok := get(doc, op.From)
		if !ok {
			return nil, errPatch
		}
		if op.Op == "move" {
			var err error
			if doc, err = remove(doc, op.From); err != nil {
				return nil, err
			}
		}
		return edit(doc, op.Path, v, true)
	case "test":
		if v, ok := get(doc, op.Path); ok && reflect.DeepEqual(v, op.Value) {
			return doc, nil
		}
	}
	return nil, errPatch
}

// tokens splits a JSON Pointer; ok is false for one that does not begin with a slash.
func tokens(path string) (parts []string, ok bool) {
	if path == "" {
		return nil, true
	}
	if path[0] != '/' {
		return nil, false
	}
	parts = strings.Split(path[1:], "/")
	if strings.Contains(path, "~") {
		for i, p := range parts {
			parts[i] = strings.ReplaceAll(strings.ReplaceAll(p, "~1", "/"), "~0", "~")
		}
	}
	return parts, true
}

// index reads an array index in [0, most].
func index(token string, most int) (int, bool) {
	n, err := strconv.Atoi(token)
	return n, err == nil && n >= 0 && n <= most && strconv.Itoa(n) == token
}

func get(doc any, path string) (any, bool) {
	parts, ok := tokens(path)
	if !ok {
		return nil, false
	}
	for _, p := range parts {
		switch d := doc.(type) {
		case []any:
			i, ok := index(p, len(d)-1)
			if !ok {
				return nil, false
			}
			doc = d[i]
		case map[string]any:
			if doc, ok = d[p]; !ok {
				return nil, false
			}
		default:
			return nil, false
		}
	}
	return doc, true
}

// edit sets the value at path; insert makes room for it in an array.
func edit(doc any, path string, value any, insert bool) (any, error) {
	parts, ok := tokens(path)
	if !ok {
		return nil, errPatch
	}
	return change(doc, parts, func(parent any, token string) (any, error) {
		switch d := parent.(type) {
		case []any:
			if insert && token == "-" {
				return append(slices.Clip(d), value), nil
			}
			if insert {
				if i, ok := index(token, len(d)); ok {
					return slices.Insert(slices.Clone(d), i, value), nil
				}
			} else if i, ok := index(token, len(d)-1); ok {
				d = slices.Clone(d)
				d[i] = value
				return d, nil
			}
		case map[string]any:
			d = maps.Clone(d)
			d[token] = value
			return d, nil
		}
		return nil, errPatch
	}, value)
}

func remove(doc any, path string) (any, error) {
	parts, ok := tokens(path)
	if !ok || len(parts) == 0 {
		return nil, errPatch
	}
	return change(doc, parts, func(parent any, token string) (any, error) {
		switch d := parent.(type) {
		case []any:
			if i, ok := index(token, len(d)-1); ok {
				return slices.Delete(slices.Clone(d), i, i+1), nil
			}
		case map[string]any:
			if _, ok := d[token]; ok {
				d = maps.Clone(d)
				delete(d, token)
				return d, nil
			}
		}
		return nil, errPatch
	}, nil)
}

// change walks to the parent of the last token and lets do return its new form; whole replaces the document
// itself when there is no token. What lies on the way is copied, all else is shared: nothing is changed in its place.
func change(doc any, parts []string, do func(parent any, token string) (any, error), whole any) (any, error) {
	if len(parts) == 0 {
		return whole, nil
	}
	if len(parts) == 1 {
		return do(doc, parts[0])
	}
	switch d := doc.(type) {
	case []any:
		i, ok := index(parts[0], len(d)-1)
		if !ok {
			return nil, errPatch
		}
		child, err := change(d[i], parts[1:], do, whole)
		if err != nil {
			return nil, err
		}
		d = slices.Clone(d)
		d[i] = child
		return d, nil
	case map[string]any:
		c, ok := d[parts[0]]
		if !ok {
			return nil, errPatch
		}
		child, err := change(c, parts[1:], do, whole)
		if err != nil {
			return nil, err
		}
		d = maps.Clone(d)
		d[parts[0]] = child
		return d, nil
	}
	return nil, errPatch
}

// extent is how large a value is.
type extent struct{ nodes, bytes int }

func (e extent) plus(o extent) extent { return extent{e.nodes + o.nodes, e.bytes + o.bytes} }
func (e extent) large() bool          { return e.nodes > maxStackNodes || e.bytes > maxStackBytes }

// measure counts the values in v and the bytes of its texts; it is large when they lie too deep in each other.
func measure(v any, depth int) (e extent) {
	if depth > maxStackDepth {
		return extent{maxStackNodes + 1, 0}
	}
	e.nodes = 1
	switch d := v.(type) {
	case []any:
		for _, x := range d {
			e = e.plus(measure(x, depth+1))
		}
	case map[string]any:
		for k, x := range d {
			e = e.plus(measure(x, depth+1))
			e.bytes += len(k)
		}
	case string:
		e.bytes = len(d)
	case json.Number:
		e.bytes = len(d)
	}
	return e
}
