//go:build !linux

package mapped

import "time"

var begun = time.Now()

// limitMemory is left to the guard.
func limitMemory(uint64) {}

// processorTime is how long the process has run.
func processorTime() time.Duration { return time.Since(begun) }
