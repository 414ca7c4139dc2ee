// Package access says who may do what: rights, roles, users, tokens, links and passwords.
package access

import (
	"maps"
	"slices"
)

// Right is something that a role may do.
type Right string

// The rights.
const (
	SeeHealth      Right = "see data health"
	SeeFigures     Right = "see figures"
	SeeTranscripts Right = "read conversations"
	ShareNotes     Right = "share notes on charts"
	Review         Right = "review conversations"
	ShareViews     Right = "save views for everybody"
	ManageReviews  Right = "lead reviews"
	ExportFigures  Right = "take data out"          // reports of figures
	ExportRows     Right = "take conversations out" // exports, and reports of rows
	Administer     Right = "administer"
	ManageRejected Right = "see rejected events" // which hold what people wrote
	SeePersonal    Right = "see personal data"   // where they are masked on display
	ManagePrivacy  Right = "hand over or erase personal data"
	OwnAccount     Right = "have an account" // programs have none
)

// Roles are the roles of users, the least mighty first.
var Roles = []string{"viewer", "reviewer", "supervisor", "admin"}

// TokenRoles are the roles of tokens. One of ingest sends events and may do nothing else.
var TokenRoles = []string{"ingest", "analytics_viewer", "analytics_admin", "admin"}

var (
	ofReviewers   = []Right{SeeTranscripts, ShareNotes, Review}
	ofSupervisors = slices.Concat(ofReviewers, []Right{ShareViews, ManageReviews, ExportFigures})
)

// byRole are the rights that a role has besides SeeFigures, which all but ingest have.
var byRole = map[string][]Right{
	"viewer":           {OwnAccount},
	"reviewer":         append(slices.Clone(ofReviewers), OwnAccount),
	"supervisor":       append(slices.Clone(ofSupervisors), OwnAccount),
	"admin":            append(slices.Clone(ofSupervisors), OwnAccount, Administer),
	"analytics_viewer": {},
	"analytics_admin":  {SeeTranscripts, ExportFigures},
}

// Rights are what a user may do. Nobody who is unknown, or whose role is, may do anything.
type Rights map[Right]bool

// Rights is the one place that says who may do what: what the role gives, and what was given to or taken from the user.
func (u Account) Rights() Rights {
	given, known := byRole[u.Role]
	if !known {
		return nil
	}
	all := Rights{SeeFigures: true}
	for _, r := range given {
		all[r] = true
	}
	switch {
	case u.Transcripts == nil:
	case *u.Transcripts:
		all[SeeTranscripts] = true
	default:
		maps.DeleteFunc(
			all, func(r Right, _ bool) bool { return r == SeeTranscripts || r == Review || r == ManageReviews },
		)
	}
	all[SeePersonal] = u.SeesPersonal() && all[SeeTranscripts]
	if u.IsToken {
		delete(all, OwnAccount)
	}
	all[ExportRows] = all[ExportFigures] && all[SeeTranscripts]
	if len(u.Assistants) == 0 { // sources are not of one assistant
		all[SeeHealth] = true
		all[ManageRejected] = all[Administer] && all[SeePersonal]
		all[ManagePrivacy] = all[ManageRejected]
	}
	return all
}

// MaySend tells whether a user may send reports; rows: of what was said, not of figures.
func (u Account) MaySend(rows bool) bool {
	if rows {
		return u.Rights()[ExportRows]
	}
	return u.Rights()[ExportFigures]
}
