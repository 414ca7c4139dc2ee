package conversation

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"time"
)

// UUID is 16 bytes in the order in which they are written.
type UUID [16]byte

// Compare orders UUIDs as PostgreSQL does.
func (u UUID) Compare(o UUID) int { return bytes.Compare(u[:], o[:]) }

// String writes the usual 36 characters.
func (u UUID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], u[0:4])
	b[8] = '-'
	hex.Encode(b[9:13], u[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], u[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], u[8:10])
	b[23] = '-'
	hex.Encode(b[24:], u[10:])
	return string(b[:])
}

// MarshalText writes the UUID for JSON and URLs.
func (u UUID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (u *UUID) UnmarshalText(b []byte) error {
	v, err := ParseUUID(string(b))
	*u = v
	return err
}

var errUUID = errors.New("not a UUID")

// ParseUUID reads the 36 character form, or 32 hexadecimal digits without hyphens.
func ParseUUID(s string) (UUID, error) {
	var u UUID
	if len(s) == 36 {
		if s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
			return u, errUUID
		}
		s = s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	}
	if len(s) != 32 {
		return u, errUUID
	}
	if _, err := hex.Decode(u[:], []byte(s)); err != nil {
		return UUID{}, errUUID
	}
	return u, nil
}

// namespace of Turnwise's own version 5 UUIDs.
var namespace = UUID{0x74, 0x75, 0x72, 0x6e, 0x77, 0x69, 0x73, 0x65, 0x80, 0, 0, 0, 0, 0, 0, 1}

// NameUUID makes the version 5 UUID of the parts, each told apart from the next.
func NameUUID(parts ...string) UUID {
	h := sha1.New()
	h.Write(namespace[:])
	for _, p := range parts {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	var u UUID
	copy(u[:], h.Sum(nil))
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return u
}

// HashID makes a positive 63-bit id from the parts: ids that are made from content are the same after a
// rebuild, on every server, in any order of arrival.
func HashID(parts ...string) int64 {
	var buf [256]byte
	b := buf[:0]
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	sum := sha256.Sum256(b)
	return int64(binary.BigEndian.Uint64(sum[:8]) >> 1)
}

// SenderID is the id of a sender key of an assistant.
func SenderID(assistant, key string) int64 { return HashID("sender", assistant, key) }

// Prefixes of the keys of senders that stand for a user or a human agent, and have no conversations.
const (
	OfUser  = "user:"
	OfAgent = "agent:"
)

// SmallID makes a positive 31-bit id for the few assistants, environments and channels.
func SmallID(kind, name string) int32 { return int32(HashID(kind, name) >> 32) }

// VersionID is the id of a release of an assistant.
func VersionID(assistant, modelID, modelName string) int64 {
	return HashID("version", assistant, modelID, modelName)
}

// EventID makes an event's id from its identity: 48 bits of its time in milliseconds, then a hash of
// sender, type, exact time and the discriminator that the wire format names for its type.
func EventID(sender int64, typ string, seconds float64, discriminator []byte) UUID {
	var buf [256]byte
	b := binary.BigEndian.AppendUint64(buf[:0], uint64(sender))
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(seconds))
	b = append(append(b, typ...), 0)
	b = append(b, discriminator...)
	sum := sha256.Sum256(b)
	var u UUID
	ms := uint64(seconds * 1000)
	u[0], u[1], u[2], u[3], u[4], u[5] = byte(ms>>40), byte(ms>>32), byte(ms>>24), byte(ms>>16), byte(ms>>8), byte(ms)
	copy(u[6:], sum[:10])
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return u
}

// RepeatID is the id of the nth of several equal events that stood side by side in one delivery, from 2 on.
func RepeatID(id UUID, n int) UUID {
	var b [24]byte
	copy(b[:], id[:])
	binary.BigEndian.PutUint64(b[16:], uint64(n))
	sum := sha256.Sum256(b[:])
	out := id // the time stays
	copy(out[6:], sum[:])
	out[6] = out[6]&0x0f | 0x80
	out[8] = out[8]&0x3f | 0x80
	return out
}

// KeyedID is the id of a masked event: nobody who does not have the key can find what was masked by trying.
func KeyedID(key []byte, id UUID) UUID {
	h := hmac.New(sha256.New, key)
	h.Write(id[:])
	out := id // the time stays
	copy(out[6:], h.Sum(nil))
	out[6] = out[6]&0x0f | 0x80
	out[8] = out[8]&0x3f | 0x80
	return out
}

// Shards is the number of virtual shards.
const Shards = 64

// Shard is the virtual shard of a sender: the top six bits of PostgreSQL's hashint8 moved to unsigned, so
// that a virtual shard is whole on one node when the tables are distributed by sender.
func Shard(sender int64) int {
	lo, hi := uint32(sender), uint32(uint64(sender)>>32)
	if sender >= 0 {
		lo ^= hi
	} else {
		lo ^= ^hi
	}
	return int((hashUint32(lo) + 1<<31) >> 26)
}

// hashUint32 is PostgreSQL's hash_bytes_uint32 (Bob Jenkins' lookup3 of one word).
func hashUint32(k uint32) uint32 {
	a := uint32(0x9e3779b9) + 4 + 3923095
	b, c := a, a
	a += k
	rot := func(x uint32, n uint) uint32 { return x<<n | x>>(32-n) }
	c ^= b
	c -= rot(b, 14)
	a ^= c
	a -= rot(c, 11)
	b ^= a
	b -= rot(a, 25)
	c ^= b
	c -= rot(b, 16)
	a ^= c
	a -= rot(c, 4)
	b ^= a
	b -= rot(a, 14)
	c ^= b
	c -= rot(b, 24)
	return c
}

// EventTime returns the time in an id of EventID, in milliseconds.
func EventTime(id UUID) time.Time {
	ms := int64(0)
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms)
}
