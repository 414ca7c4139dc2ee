package report

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"syscall"
)

// kindness is how much later than others a thread gets a processor, from 0 to 19.
const kindness = 10

// unhurried does what takes a processor for seconds on a thread of its own that gives way to all others, also to the
// database's.
func unhurried[T any](do func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the work, and its lower rank with it
		var r result
		defer func() {
			if p := recover(); p != nil { // of the one who asked, who has a place for it
				r.err = fmt.Errorf("%v at %s", p, debug.Stack())
			}
			done <- r
		}()
		// where that is not allowed, it hurries
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, syscall.Gettid(), kindness)
		r.value, r.err = do()
	}()
	r := <-done
	return r.value, r.err
}
