package conversation

import (
	"slices"
)

// handOver marks the open flow runs as those in which the conversation was handed to a human.
func (f *Fold) handOver(c *Conversation) {
	for _, r := range c.Runs {
		r.Escalated = true
		f.runChanged(c, r)
	}
}

// pause follows whether the last pause handed the conversation over: it did when a human speaks after it,
// or the assistant does not.
func (f *Fold) pause(c *Conversation, e *Event) {
	if f.settings.HandoffPause != PauseAuto {
		return
	}
	switch {
	case e.Kind == KindPause:
		f.resume(c)
		c.PausedAt = e.At
		if c.EscalatedAt == 0 {
			f.handOver(c)
		}
	case c.PausedAt == 0:
	case e.Kind == KindAgent:
		at := c.PausedAt
		if at < 0 {
			at = -at
			if c.EscalatedAt == 0 {
				f.handOver(c)
			}
		}
		if c.EscalatedAt == 0 || at < c.EscalatedAt {
			c.EscalatedAt, c.EscalationReason = at, TypePause
		}
		c.PausedAt, c.PausedRuns = 0, nil
	case e.Kind == KindResume:
		f.resume(c)
	case e.Kind == KindBot && c.PausedAt > 0: // a human may come yet
		at := c.PausedAt
		f.resume(c)
		c.PausedAt = -at
	}
}

// resume takes back that the conversation was handed over by a pause.
func (f *Fold) resume(c *Conversation) {
	if c.PausedAt == 0 {
		return
	}
	if c.PausedAt > 0 && c.EscalatedAt == 0 {
		for _, r := range slices.Concat(c.Runs, c.PausedRuns) {
			r.Escalated = false
			f.runChanged(c, r)
		}
	}
	c.PausedAt, c.PausedRuns = 0, nil
}
