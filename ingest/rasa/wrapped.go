package rasa

import (
	"strings"

	"turnwise/ingest/wire"
)

// unwrapNumbers returns the body with numbers that MongoDB ({"$numberDouble": "0.5"}) or DynamoDB ({"N": "0.5"})
// wrapped written as numbers: wherever they stand, they mean no more. A body without any is returned as it is.
func unwrapNumbers(body string) string {
	// without the quotation mark before it they are found much faster
	if !strings.Contains(body, `$number`) && !strings.Contains(body, `N"`) {
		return body
	}
	s := wire.Scanner{Text: body}
	var found []wire.Repair
	wrappers(&s, &found)
	if s.Err != "" || len(found) == 0 {
		return body // what is wrong with it is said elsewhere
	}
	s.Repairs = found
	return s.Repaired()
}

// wrappers reads one value and notes the wrapped numbers in it.
func wrappers(s *wire.Scanner, found *[]wire.Repair) {
	switch s.Peek() {
	case '{':
		from, members, number := s.Pos, 0, ""
		s.Object(func(key string) {
			members++
			if s.Peek() == '"' && wrapper(key) {
				raw, _, _ := s.Str()
				if n := (wire.Scanner{Text: raw}); wholeNumber(&n) {
					number = strings.TrimSpace(raw)
				}
				return
			}
			wrappers(s, found)
		})
		if members == 1 && number != "" && s.Err == "" {
			*found = append(*found, wire.Repair{From: from, To: s.Pos, With: number})
		}
	case '[':
		if s.Open('[') {
			for first := true; s.Next(']', first); first = false {
				wrappers(s, found)
			}
		}
	default:
		s.Skip()
	}
}

func wrapper(key string) bool {
	switch key {
	case "$numberDouble", "$numberInt", "$numberLong", "$numberDecimal", "N":
		return true
	}
	return false
}

// wholeNumber tells whether the text is one number and nothing else.
func wholeNumber(s *wire.Scanner) bool {
	s.Number()
	return s.Err == "" && s.Peek() == 0
}
