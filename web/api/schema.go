package api

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"
)

// object is a JSON object of the OpenAPI document.
type object = map[string]any

// schemas are the components of the document, by name.
type schemas map[string]any

// of describes a type as OpenAPI 3.0 does. Structs become components. The tags doc, enum and format add what the type
// does not say.
func (s schemas) of(t reflect.Type, tag reflect.StructTag) object {
	if t.Kind() == reflect.Pointer {
		return nullable(s.of(t.Elem(), tag))
	}
	out := object{}
	switch {
	case t == reflect.TypeFor[time.Time]():
		out["type"], out["format"] = "string", "date-time"
	case t == reflect.TypeFor[json.RawMessage](), t.Kind() == reflect.Interface:
		out["nullable"] = true // it may be anything
	case t.Kind() == reflect.Struct:
		s.component(t)
		out["$ref"] = "#/components/schemas/" + t.Name()
		if doc := tag.Get("doc"); doc != "" { // nothing may stand beside a reference
			return object{"allOf": []any{out}, "description": doc}
		}
		return out
	case t.Kind() == reflect.Slice:
		out["type"], out["items"] = "array", s.of(t.Elem(), "")
	case t.Kind() == reflect.Map:
		out["type"], out["additionalProperties"] = "object", s.of(t.Elem(), "")
	default:
		out["type"] = jsonTypes[t.Kind()]
	}
	if doc := tag.Get("doc"); doc != "" {
		out["description"] = doc
	}
	if format := tag.Get("format"); format != "" {
		out["format"] = format
	}
	if enum := tag.Get("enum"); enum != "" {
		var all []any
		for _, v := range strings.Split(enum, ",") {
			all = append(all, v)
		}
		out["enum"] = all
	}
	return out
}

var jsonTypes = map[reflect.Kind]string{
	reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Int16: "integer",
	reflect.Int32: "integer", reflect.Int64: "integer", reflect.Float32: "number", reflect.Float64: "number",
}

// nullable adds null to what a schema allows.
func nullable(x object) object {
	if _, ok := x["$ref"]; ok {
		x = object{"allOf": []any{x}}
	}
	if enum, ok := x["enum"].([]any); ok {
		x["enum"] = append(enum, nil)
	}
	x["nullable"] = true
	return x
}

// component describes a struct, once. Embedded structs have their members in it.
func (s schemas) component(t reflect.Type) {
	if _, ok := s[t.Name()]; ok {
		return
	}
	out := object{"type": "object"}
	s[t.Name()] = out // before its members, which may have it as one
	members, required := object{}, []any{}
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		for i := range t.NumField() {
			f := t.Field(i)
			name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case f.Anonymous && name == "":
				walk(f.Type)
				continue
			case !f.IsExported() || name == "-" || name == "":
				continue
			}
			kind := f.Type
			if strings.Contains(rest, "omitempty") {
				if kind.Kind() == reflect.Pointer { // left out rather than null
					kind = kind.Elem()
				}
			} else {
				required = append(required, name)
			}
			members[name] = s.of(kind, f.Tag)
		}
	}
	walk(t)
	out["properties"] = members
	if len(required) > 0 {
		out["required"] = required
	}
}

// newer rewrites what OpenAPI 3.0 says of null as 3.1 says it, which knows all the rest.
func newer(x any) any {
	switch x := x.(type) {
	case []any:
		for i := range x {
			x[i] = newer(x[i])
		}
		return x
	case object:
		for k, v := range x {
			x[k] = newer(v)
		}
		if x["openapi"] != nil {
			x["openapi"] = "3.1.0"
		}
		if x["nullable"] != true {
			return x
		}
		delete(x, "nullable")
		if kind, ok := x["type"].(string); ok {
			x["type"] = []any{kind, "null"}
		} else if all, ok := x["allOf"].([]any); ok {
			delete(x, "allOf")
			x["anyOf"] = append(all, object{"type": "null"})
		}
		return x
	}
	return x
}
