package intake

import "time"

// At has the handler take it for that time.
func (h *Handler) At(now time.Time) { h.now = func() time.Time { return now } }
