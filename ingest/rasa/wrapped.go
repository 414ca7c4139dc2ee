package rasa

import "strings"

// unwrapNumbers returns the body with numbers that MongoDB ({"$numberDouble": "0.5"}) or DynamoDB ({"N": "0.5"})
// wrapped written as numbers: wherever they stand, they mean no more. A body without any is returned as it is.
func unwrapNumbers(body string) string {
	// without the quotation mark before it they are found much faster
	if !strings.Contains(body, `$number`) && !strings.Contains(body, `N"`) {
		return body
	}
	s := scanner{b: body}
	var found []repair
	s.wrappers(&found)
	if s.err != "" || len(found) == 0 {
		return body // what is wrong with it is said elsewhere
	}
	s.repairs = found
	return s.repaired()
}

// wrappers reads one value and notes the wrapped numbers in it.
func (s *scanner) wrappers(found *[]repair) {
	switch s.peek() {
	case '{':
		from, members, number := s.pos, 0, ""
		s.object(func(key string) {
			members++
			if s.peek() == '"' && wrapper(key) {
				raw, _, _ := s.str()
				if n := (scanner{b: raw}); n.wholeNumber() {
					number = strings.TrimSpace(raw)
				}
				return
			}
			s.wrappers(found)
		})
		if members == 1 && number != "" && s.err == "" {
			*found = append(*found, repair{from, s.pos, number})
		}
	case '[':
		if s.open('[') {
			for first := true; s.next(']', first); first = false {
				s.wrappers(found)
			}
		}
	default:
		s.skip()
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
func (s *scanner) wholeNumber() bool {
	s.number()
	return s.err == "" && s.peek() == 0
}
