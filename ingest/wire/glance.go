package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"unsafe"
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

// BodyHash is made of the bytes as they came: equal hashes of one event mean the same copy.
func BodyHash(body string) int64 {
	sum := sha256.Sum256(unsafe.Slice(unsafe.StringData(body), len(body))) // read only, and not worth a copy
	return int64(binary.BigEndian.Uint64(sum[:8]))
}
