package access

import (
	"crypto/rand"
	"crypto/sha256"
	"time"

	"turnwise/conversation"
)

// Link is by which a user sets a password or signs in, once.
type Link struct {
	AccountID conversation.UUID
	Kind      string // one of Links
}

// The kinds of links.
const (
	LinkInvitation = "invitation" // sets the first password
	LinkPassword   = "password"   // sets another
	LinkSignIn     = "sign-in"    // signs in without one
)

// How long links are in force.
const (
	linkLife      = 7 * 24 * time.Hour
	quickLinkLife = 15 * time.Minute // those that sign in
)

// Life is how long the link is in force.
func (l Link) Life() time.Duration {
	if l.Kind == LinkSignIn {
		return quickLinkLife
	}
	return linkLife
}

// NewKey draws the secret part of a link, and returns what is kept of it.
func NewKey() (key string, hash []byte) {
	key = rand.Text()
	return key, KeyHash(key)
}

// KeyHash is what is kept of a link's secret part.
func KeyHash(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return sum[:]
}
