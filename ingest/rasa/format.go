package rasa

import "turnwise/ingest/wire"

// FormatID says of a stored body that it is one of Rasa's.
const FormatID = 1

// Format is how Rasa writes events.
var Format = wire.Format{
	ID: FormatID, Name: "rasa",
	NewDecoder: func() wire.Decoder { return NewDecoder() },
	Digest:     Digest, Knows: Knows,
}
