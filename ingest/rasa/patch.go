package rasa

import (
	"encoding/json"

	"turnwise/conversation"
)

// patch reads a JSON Patch; nil when the text is none, or a larger one than is ever applied.
func patch(text string) []conversation.PatchOp {
	s := &scanner{b: text}
	ops := []conversation.PatchOp{}
	if !s.open('[') {
		return nil
	}
	for first := true; s.next(']', first); first = false {
		var op conversation.PatchOp
		s.object(func(key string) {
			switch key {
			case "op":
				op.Op = s.word()
			case "path":
				op.Path = s.word()
			case "from":
				op.From = s.word()
			case "value":
				op.Value = s.value()
			default:
				s.skip()
			}
		})
		if ops = append(ops, op); len(ops) > conversation.MaxPatchOps {
			return nil
		}
	}
	if s.err == "" && s.peek() != 0 {
		s.fail("something follows the patch")
	}
	if s.err != "" {
		return nil
	}
	return ops
}

// word reads a string with its escapes resolved.
func (s *scanner) word() string {
	raw, escaped, _ := s.str()
	if escaped {
		return unescape(raw)
	}
	return raw
}

// value reads any value as encoding/json does with UseNumber.
func (s *scanner) value() any {
	switch c := s.peek(); c {
	case '"':
		return s.word()
	case '{':
		m := map[string]any{}
		s.object(func(key string) { m[key] = s.value() })
		return m
	case '[':
		list := []any{}
		if s.open('[') {
			for first := true; s.next(']', first); first = false {
				list = append(list, s.value())
			}
		}
		return list
	case 't', 'f', 'n':
		switch s.skip() {
		case "true":
			return true
		case "false":
			return false
		}
		return nil
	}
	raw, finite, ok := s.number()
	if ok && !finite {
		s.fail("not a finite number")
	}
	return json.Number(raw)
}
