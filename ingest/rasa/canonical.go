package rasa

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"strings"
)

// Digest is a hash of an event's content in canonical form: keys sorted, numbers by value, without
// sender_id, and with empty metadata left out. Bodies that differ only in these are the same event.
func Digest(body string) uint64 {
	var doc map[string]any
	if !parse(body, &doc) {
		sum := sha256.Sum256([]byte(body))
		return binary.BigEndian.Uint64(sum[:8])
	}
	delete(doc, "sender_id")
	if m, ok := doc["metadata"].(map[string]any); ok && len(m) == 0 || doc["metadata"] == nil {
		delete(doc, "metadata")
	}
	out, _ := json.Marshal(normal(doc)) // made of decoded JSON: cannot fail
	sum := sha256.Sum256(out)
	return binary.BigEndian.Uint64(sum[:8])
}

// canonicalText is JSON with sorted keys and numbers by value.
func canonicalText(text string) string {
	if text == "" {
		return ""
	}
	var doc any
	if !parse(text, &doc) {
		return text
	}
	out, _ := json.Marshal(normal(doc)) // made of decoded JSON: cannot fail
	return string(out)
}

func parse(text string, into any) bool {
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	return dec.Decode(into) == nil
}

// normal writes numbers in one way, without losing digits of large integers.
func normal(v any) any {
	switch d := v.(type) {
	case map[string]any:
		for k, x := range d {
			d[k] = normal(x)
		}
	case []any:
		for i, x := range d {
			d[i] = normal(x)
		}
	case json.Number:
		if strings.ContainsAny(string(d), ".eE") {
			if f, err := strconv.ParseFloat(string(d), 64); err == nil {
				return json.Number(strconv.FormatFloat(f, 'g', -1, 64))
			}
		}
	}
	return v
}
