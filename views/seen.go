package views

import (
	"bytes"
	"strings"
	"unicode"
)

// Seen writes a text that stands alone, as a link or in a cell: where nothing of it would show, that is said.
func Seen(text string) string {
	if text == "" || strings.ContainsFunc(text, visible) {
		return text
	}
	return "(nothing that shows)"
}

// visible tells whether a character leaves ink; control characters do, as their pictures.
func visible(r rune) bool {
	const emptyBraille = '\u2800'
	switch {
	case r < ' ':
		return r != '\t' && r != '\n' && r != '\r'
	case r == emptyBraille, unicode.IsSpace(r), unicode.Is(unicode.Mn, r), unicode.Is(unicode.Me, r), unicode.Is(unicode.Cf, r), unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r), unicode.Is(unicode.Variation_Selector, r):
		return false
	}
	return true
}

// Pictured replaces control characters in the text of a page by their pictures (␀ and so on): browsers show nothing, or
// anything, for them. Tags keep theirs, as does what somebody writes in a form.
func Pictured(page []byte) []byte {
	if bytes.IndexFunc(page, control) < 0 {
		return page
	}
	out := make([]byte, 0, len(page)+256)
	for len(page) > 0 {
		at := bytes.IndexByte(page, '<')
		if at < 0 {
			at = len(page)
		}
		out = appendPictures(out, page[:at])
		page = page[at:]
		end := bytes.IndexByte(page, '>') + 1
		if bytes.HasPrefix(page, []byte("<textarea")) {
			end = bytes.Index(page, []byte("</textarea>")) + 1
		}
		if end <= 0 {
			end = len(page)
		}
		out, page = append(out, page[:end]...), page[end:]
	}
	return out
}

// control tells whether a character is one that no page may hold: of C0 without white space, DEL, or of C1.
func control(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r >= 0x7f && r < 0xa0
}

func appendPictures(out, text []byte) []byte {
	for _, r := range string(text) {
		switch {
		case !control(r):
		case r < ' ':
			r += 0x2400
		case r == 0x7f:
			r = 0x2421
		default:
			r = unicode.ReplacementChar
		}
		out = append(out, string(r)...)
	}
	return out
}
