package metric

import (
	"encoding/binary"

	"turnwise/conversation"
)

// personTail ends every id of a user, so that no other UUID is taken for one.
var personTail = [5]byte{'u', 's', 'e', 'r', 1}

// PersonID writes the number by which a user is counted as an id for programs: a UUID of version 8, from which
// PersonOf reads the number again.
func PersonID(person int64) (id conversation.UUID) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(person))
	copy(id[:6], b[:6])
	id[6], id[8] = 0x80, 0x80 // version and variant
	copy(id[9:11], b[6:])
	copy(id[11:], personTail[:])
	return id
}

// PersonOf reads what PersonID wrote; false for any other UUID.
func PersonOf(id conversation.UUID) (person int64, ok bool) {
	var b [8]byte
	copy(b[:6], id[:6])
	copy(b[6:], id[9:11])
	person = int64(binary.BigEndian.Uint64(b[:]))
	return person, PersonID(person) == id
}
