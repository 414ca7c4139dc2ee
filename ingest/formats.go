package ingest

import (
	"slices"

	"turnwise/ingest/neutral"
	"turnwise/ingest/rasa"
	"turnwise/ingest/wire"
)

// Formats are those that sources may write events in.
var Formats = []wire.Format{rasa.Format, neutral.Format}

// FormatNamed returns a format; "" is Rasa's.
func FormatNamed(name string) (f wire.Format, ok bool) {
	if name == "" {
		return rasa.Format, true
	}
	i := slices.IndexFunc(Formats, func(f wire.Format) bool { return f.Name == name })
	if i < 0 {
		return f, false
	}
	return Formats[i], true
}

// NeutralSchema is the JSON Schema of neutral events.
func NeutralSchema() []byte { return neutral.Schema }

// FormatNames are the names of the formats.
func FormatNames() (names []string) {
	for _, f := range Formats {
		names = append(names, f.Name)
	}
	return names
}

// Knows tells whether some format is documented to have events of a type.
func Knows(typ string) bool {
	return slices.ContainsFunc(Formats, func(f wire.Format) bool { return f.Knows(typ) })
}

// FormatOf returns the format of a stored body. What a later version stored is read as Rasa's, and says so if it is
// not.
func FormatOf(id uint8) wire.Format {
	if i := slices.IndexFunc(Formats, func(f wire.Format) bool { return f.ID == id }); i >= 0 {
		return Formats[i]
	}
	return rasa.Format
}

// decoders are decoders by format, made when they are first asked for. They are for one goroutine.
type decoders map[uint8]wire.Decoder

func (d decoders) of(format uint8) wire.Decoder {
	if d[format] == nil {
		d[format] = FormatOf(format).NewDecoder()
	}
	return d[format]
}
