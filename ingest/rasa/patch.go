package rasa

import (
	"turnwise/conversation"
	"turnwise/ingest/wire"
)

// patch reads a JSON Patch; nil when the text is none, or a larger one than is ever applied.
func patch(text string) []conversation.PatchOp {
	s := &wire.Scanner{Text: text}
	ops := []conversation.PatchOp{}
	if !s.Open('[') {
		return nil
	}
	for first := true; s.Next(']', first); first = false {
		var op conversation.PatchOp
		s.Object(func(key string) {
			switch key {
			case "op":
				op.Op = s.Word()
			case "path":
				op.Path = s.Word()
			case "from":
				op.From = s.Word()
			case "value":
				op.Value = s.Value()
			default:
				s.Skip()
			}
		})
		if ops = append(ops, op); len(ops) > conversation.MaxPatchOps {
			return nil
		}
	}
	if s.Err == "" && s.Peek() != 0 {
		s.Fail("something follows the patch")
	}
	if s.Err != "" {
		return nil
	}
	return ops
}
