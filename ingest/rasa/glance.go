package rasa

import (
	"strconv"
	"strings"

	"turnwise/conversation"
	"turnwise/ingest/wire"
)

// Glance looks at a body without reading all of it: at the first sender_id, timestamp and assistant_id. A body
// that is not laid out as Rasa lays it out gives ok = false, or a wrong answer, which no stored body matches.
func (d *Decoder) Glance(body string, in wire.Intake) (g wire.Glance, ok bool) {
	key, ok := after(body, `"sender_id"`)
	if !ok || strings.IndexByte(key, '\\') >= 0 {
		return g, false
	}
	at := strings.Index(body, `"timestamp"`)
	if at < 0 {
		return g, false
	}
	number := strings.TrimLeft(body[at+len(`"timestamp"`):], ": ")
	end := strings.IndexAny(number, ",} ")
	if end < 0 {
		return g, false
	}
	seconds, err := strconv.ParseFloat(number[:end], 64)
	if err != nil || !(seconds >= earliest && seconds <= 1e11) { // NaN is neither
		return g, false
	}
	assistant, named := after(body, `"assistant_id"`)
	if !named || in.Always {
		assistant = in.Assistant
	} else if strings.IndexByte(assistant, '\\') >= 0 {
		assistant = wire.Unescape(assistant)
	}
	if to, ok := in.Aliases[assistant]; ok {
		assistant = to
	}
	return wire.Glance{
		Sender: d.sender(assistant, key), Time: seconds, At: conversation.MicrosOf(seconds),
		BodyHash: wire.BodyHash(body), Redacted: redacted(body),
	}, true
}

func redacted(body string) bool {
	const key = `zed_at"` // the end of "anonymized_at", which is found much faster; beside null and 0 it holds a time
	for {
		at := strings.Index(body, key)
		if at < 0 {
			return false
		}
		before := strings.HasSuffix(body[:at], `"anonymi`)
		if body = body[at+len(key):]; before {
			return !strings.HasPrefix(strings.TrimLeft(body, ": "), "null")
		}
	}
}

// after returns the string that follows a key, as it is written.
func after(body, key string) (string, bool) {
	at := strings.Index(body, key)
	if at < 0 {
		return "", false
	}
	rest := strings.TrimLeft(body[at+len(key):], ": ")
	v := wire.Scanner{Text: rest}
	if v.Peek() != '"' {
		return "", false
	}
	raw, _, ok := v.Str()
	return raw, ok && len(v.Repairs) == 0
}
