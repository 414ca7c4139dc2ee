package queries

import (
	"crypto/rand"

	"turnwise/conversation"
)

// NewID draws an id for what is made by people: it has no content to be made from.
func NewID() conversation.UUID {
	var id conversation.UUID
	_, _ = rand.Read(id[:]) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}
