package metric

// Volume counts conversations as General Bots' analytics API does: all that began in a stretch of time, whether
// somebody wrote or not.
type Volume struct {
	Conversations int64
	UserMessages  int64
	BotMessages   int64
	AgentMessages int64
	Ended         int64
	HandedOver    int64 // they waited for a human agent, or had one
	Abandoned     int64 // handed over, and ended before an agent wrote
	Bounced       int64 // at most one message of the user
	Resolved      int64 // these four: what was told of it last; else those handed over are escalated
	Unresolved    int64
	Escalated     int64
	Pending       int64
}

// Add adds another one's counts.
func (v *Volume) Add(o *Volume) {
	v.Conversations += o.Conversations
	v.UserMessages += o.UserMessages
	v.BotMessages += o.BotMessages
	v.AgentMessages += o.AgentMessages
	v.Ended += o.Ended
	v.HandedOver += o.HandedOver
	v.Abandoned += o.Abandoned
	v.Bounced += o.Bounced
	v.Resolved += o.Resolved
	v.Unresolved += o.Unresolved
	v.Escalated += o.Escalated
	v.Pending += o.Pending
}

// Messages are those of user, bot and agents.
func (v *Volume) Messages() int64 { return v.UserMessages + v.BotMessages + v.AgentMessages }

// Active are the conversations that have not ended.
func (v *Volume) Active() int64 { return v.Conversations - v.Ended }

// BotOnly are the conversations that were never handed over.
func (v *Volume) BotOnly() int64 { return v.Conversations - v.HandedOver }

// Unknown are the conversations of which nobody told whether they were resolved.
func (v *Volume) Unknown() int64 {
	return v.Conversations - v.Resolved - v.Unresolved - v.Escalated - v.Pending
}

// Containment is the share that was never handed over.
func (v *Volume) Containment() Rate { return Rate{v.BotOnly(), v.Conversations} }

// Handover is the share that was.
func (v *Volume) Handover() Rate { return Rate{v.HandedOver, v.Conversations} }

// Abandonment is the share of those handed over that ended before an agent wrote.
func (v *Volume) Abandonment() Rate { return Rate{v.Abandoned, v.HandedOver} }

// Resolution is the share of resolved among those of which it is known.
func (v *Volume) Resolution() Rate { return Rate{v.Resolved, v.known()} }

// Coverage is the share of those of which it is known.
func (v *Volume) Coverage() Rate { return Rate{v.known(), v.Conversations} }

func (v *Volume) known() int64 { return v.Resolved + v.Unresolved + v.Escalated }

// Bounce is the share with at most one message of the user.
func (v *Volume) Bounce() Rate { return Rate{v.Bounced, v.Conversations} }
