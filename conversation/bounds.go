package conversation

import "slices"

// Bounds of what the fold keeps of a conversation. They lie far beyond what people do, and keep one that a program
// drives from costing more the longer it gets. What goes beyond is stored as an event and marked with FlagBeyond, and
// makes no further facts.
const (
	MaxFlows     = 200  // different user flows of a conversation, open runs, and runs that ended since a pause
	MaxResponses = 5000 // turns whose response times count
	MaxAbsorbed  = 50   // sessions that were mere starts
	MaxCommands  = 1000 // of one event
)

// room makes room for another open run: the one that has been open longest is followed no further.
func (c *Conversation) room() (flags int16) {
	if len(c.Runs) >= MaxFlows {
		c.Runs = slices.Delete(c.Runs, 0, 1)
		return FlagBeyond
	}
	return 0
}
