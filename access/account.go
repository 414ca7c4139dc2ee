package access

import (
	"time"

	"turnwise/conversation"
)

// User is somebody who may sign in.
type Account struct {
	ID           conversation.UUID
	Email        string
	Name         string
	Role         string
	Assistants   []string // that the user is limited to; nil: all
	Transcripts  *bool    // may or may not read conversations; nil: as the role says
	Personal     *bool    // may see personal data where they are masked; nil: as the role says
	PasswordHash string   // "" for none
	Issuer       *string  // of single sign-on
	Subject      *string
	SecondFactor []byte // sealed; nil for none
	SecondStep   int64  // of the last one-time code
	Disabled     bool
	Revision     int32
	CreatedAt    time.Time
	LastSeenAt   *time.Time
	Mentions     int64 // of the user in notes, not read yet
	IsToken      bool  `db:"-"` // a token, which has no account
}

// SeesPersonal tells whether a user sees personal data that are masked for others.
func (u Account) SeesPersonal() bool {
	if u.Personal != nil {
		return *u.Personal
	}
	return u.Role == "admin"
}
