package views_test

import (
	"testing"

	"turnwise/views"
)

func TestSeen(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "a": "a", " a ": " a ", "\u200b": "(nothing that shows)", " \t\n": "(nothing that shows)", "\u3164\u2800\u00ad\u202e\ufe0f": "(nothing that shows)",
		"\x01": "\x01", "👍": "👍", "\u200bx": "\u200bx", ".": ".",
	} {
		if got := views.Seen(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	for page, want := range map[string]string{
		"<p title=\"\x01\">a\x01\x0b\x7f\u0085\n\t</p>": "<p title=\"\x01\">a␁␋␡\ufffd\n\t</p>",
		"<textarea name=\"x\">\x02</textarea>\x02":      "<textarea name=\"x\">\x02</textarea>␂",
		"no tag \x00":      "no tag ␀",
		"<p>plain</p>":     "<p>plain</p>",
		"\x03<b":           "␃<b",
		"<textarea>\x04":   "<textarea>\x04",
		"ü€😀 \x1b[0m<br/>": "ü€😀 ␛[0m<br/>",
	} {
		if got := string(views.Pictured([]byte(page))); got != want {
			t.Errorf("%q: %q, want %q", page, got, want)
		}
	}
}
