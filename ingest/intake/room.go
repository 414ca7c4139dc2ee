package intake

import "sync"

// room bounds what requests hold at once, so that no token shuts out another: a token has a share of its own, and of
// what all together may hold each gets in that holds nothing yet, up to twice that.
type room struct {
	share, all int64

	mu   sync.Mutex
	used map[string]int64 // by token
	sum  int64
}

func newRoom(share, all int64) *room { return &room{share: share, all: all, used: map[string]int64{}} }

// enter takes n for a token, if there is room.
func (r *room) enter(token string, n int64) (leave func(), ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	own := r.used[token]
	if own > 0 && (own+n > r.share || r.sum+n > r.all) || r.sum+n > 2*r.all {
		return nil, false
	}
	r.used[token] += n
	r.sum += n
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.sum -= n
		if r.used[token] -= n; r.used[token] == 0 {
			delete(r.used, token)
		}
	}, true
}
