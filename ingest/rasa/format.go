package rasa

import (
	"turnwise/ingest/wire"
	"turnwise/mask"
)

// FormatID says of a stored body that it is one of Rasa's.
const FormatID = 1

// Format is how Rasa writes events.
var Format = wire.Format{
	ID: FormatID, Name: "rasa",
	NewDecoder: func() wire.Decoder { return NewDecoder() },
	Digest:     Digest, Knows: Knows, Mask: func(m *mask.Masker, body string) (string, int) { return m.Event(body) },
}

// Digest is a hash of an event's content in canonical form, without sender_id and timestamp, and with members that are
// null and empty metadata left out. Bodies that differ only in these are the same event: live and out of any of Rasa's
// stores.
func Digest(body string) uint64 {
	return wire.Digest(body, func(key, value string) bool {
		return key == "sender_id" || key == "timestamp" || value == "null" || key == "metadata" && value == "{}"
	})
}
