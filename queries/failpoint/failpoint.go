// Package failpoint names the places, between a source's event and its acknowledgement, at which tests end the process.
// In the program itself nothing is set there, and nothing happens.
package failpoint

import "io"

// The places, in their order.
const (
	Decoded      = "decoded"      // before the transaction
	Locked       = "locked"       // the senders' shards are locked
	Copying      = "copying"      // rows are on their way
	Written      = "written"      // before the commit
	Committed    = "committed"    // after it
	Acknowledged = "acknowledged" // the source was told
)

var hook func(name string)

// Set makes each place call that; it must be set before any event is read.
func Set(at func(name string)) { hook = at }

// At is called at a place.
func At(name string) {
	if hook != nil {
		hook(name)
	}
}

// Through calls At whenever r is read.
func Through(name string, r io.Reader) io.Reader {
	if hook == nil {
		return r
	}
	return reader{name, r}
}

type reader struct {
	name string
	io.Reader
}

func (r reader) Read(b []byte) (int, error) {
	At(r.name)
	return r.Reader.Read(b)
}
