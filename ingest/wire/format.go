// Package wire is what every format gives in which platforms write events: decoders, first looks, reasons to refuse. It
// is pure.
package wire

import (
	"time"

	"turnwise/conversation"
	"turnwise/mask"
)

// Format is a way of writing events. What is stored says by its ID in which one it is written, so that an ID is never
// given to another.
type Format struct {
	ID   uint8
	Name string // as sources and commands name it

	NewDecoder func() Decoder
	// Digest is a hash of an event's content: bodies of one event with equal digests say the same.
	Digest func(body string) uint64
	// Mask masks personal data in a body, and tells how often it did.
	Mask func(m *mask.Masker, body string) (string, int)
	// Knows tells whether the format is documented to have events of a type.
	Knows func(typ string) bool
}

// Decoder reads events of one format. It is for one goroutine.
type Decoder interface {
	// Decode reads one event. now bounds how far ahead its clock may be. The event keeps parts of body.
	Decode(body string, in Intake, now time.Time) (*conversation.Event, *Reject)
	// Glance looks at a body without reading all of it. Where its layout does not allow that, it is not ok, or wrong in
	// a way that no stored body matches.
	Glance(body string, in Intake) (g Glance, ok bool)
	// Masked returns the event with personal data masked, or the same one where there are none. key makes the ids of
	// masked events.
	Masked(e *conversation.Event, m *mask.Masker, key []byte) (*conversation.Event, *Reject)
	// Repeated returns a reply with what repeats values that were told before masked, or the same one where there are
	// none.
	Repeated(e *conversation.Event, told []conversation.Told, key []byte) (*conversation.Event, *Reject)
}

// Mapped is what a mapping makes of a body: events, none where it passes over it, or why it fails.
type Mapped struct {
	Events []string
	Reject *Reject
}

// EnvironmentNotSet is what Rasa sends for the environment when its variable is missing; it means unknown.
const EnvironmentNotSet = "RASA_ENVIRONMENT_NOT_SET"
