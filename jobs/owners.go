package jobs

import (
	"sync"

	"turnwise/conversation"
)

// ownerShare is how many reports of one owner are under way at once, of those that can be: others' leave beside them.
const ownerShare = 4

// owners counts the reports under way by owner.
type owners struct {
	mu   sync.Mutex
	held map[conversation.UUID]int
}

func (o *owners) enter(id conversation.UUID) (leave func(), ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held[id] >= ownerShare {
		return nil, false
	}
	if o.held == nil {
		o.held = map[conversation.UUID]int{}
	}
	o.held[id]++
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.held[id]--; o.held[id] == 0 {
			delete(o.held, id)
		}
	}, true
}
