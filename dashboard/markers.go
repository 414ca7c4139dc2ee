package dashboard

import (
	"time"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/queries"
)

// note puts notes on the charts and into the menu of their page.
func (f *Figures) note(notes []queries.ChartNote, u access.Account) {
	for _, n := range notes {
		if n.Assistant != "" && !f.of(n.Assistant) {
			continue
		}
		f.markers = append(f.markers, Marker{At: f.spanOf(n.At), Name: n.Text})
		f.notes.All = append(f.notes.All, ChartNote{
			ID: conversation.UUID(n.ID).String(), At: n.At, Text: n.Text, Assistant: n.Assistant, Shared: n.Shared,
			By:   n.By,
			Mine: n.AccountID == u.ID || n.Shared && u.Rights()[access.Administer],
		})
	}
	f.notes.Back, f.notes.Now = f.Address(), f.Now.In(f.Zone).Format("2006-01-02T15:04")
	if _, until := f.Filter.Range.Bounds(f.Now, f.Zone); until.Before(f.Now) {
		f.notes.Now = until.In(f.Zone).Add(-12 * time.Hour).Format("2006-01-02T15:04")
	}
	f.notes.MayShare = f.viewer.Rights[access.ShareNotes]
}

// of tells whether the filter has conversations of an assistant.
func (f *Figures) of(assistant string) bool {
	for _, a := range f.Filter.Not.Assistants {
		if a == assistant {
			return false
		}
	}
	for _, a := range f.Filter.Assistants {
		if a == assistant {
			return true
		}
	}
	return len(f.Filter.Assistants) == 0
}
