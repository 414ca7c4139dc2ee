package rasa

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"strings"
	"unsafe"

	"turnwise/conversation"
)

// Glance is what a first look at a body tells: enough to ask whether these very bytes are stored, not enough
// to trust for anything else.
type Glance struct {
	Sender   int64
	Time     float64 // seconds, as on the wire
	At       int64   // microseconds
	BodyHash int64
	Redacted bool // it seems to be a redacted copy
}

// Glance looks at a body without reading all of it: at the first sender_id, timestamp and assistant_id. A body
// that is not laid out as Rasa lays it out gives ok = false, or a wrong answer, which no stored body matches.
func (d *Decoder) Glance(body string, in Intake) (g Glance, ok bool) {
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
		assistant = unescape(assistant)
	}
	if to, ok := in.Aliases[assistant]; ok {
		assistant = to
	}
	return Glance{d.sender(assistant, key), seconds, conversation.MicrosOf(seconds), BodyHash(body), redacted(body)}, true
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

// BodyHash is made of the bytes as they came: equal hashes of one event mean the same copy.
func BodyHash(body string) int64 {
	sum := sha256.Sum256(unsafe.Slice(unsafe.StringData(body), len(body))) // read only, and not worth a copy
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// after returns the string that follows a key, as it is written.
func after(body, key string) (string, bool) {
	at := strings.Index(body, key)
	if at < 0 {
		return "", false
	}
	rest := strings.TrimLeft(body[at+len(key):], ": ")
	v := scanner{b: rest}
	if v.peek() != '"' {
		return "", false
	}
	raw, _, ok := v.str()
	return raw, ok && len(v.repairs) == 0
}
