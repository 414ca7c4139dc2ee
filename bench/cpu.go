package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// cpuTime is the CPU time spent so far, in seconds, by this process and by the database server: steadier than
// the wall clock where other machines share the host.
type cpuTime struct{ program, database float64 }

func (c cpuTime) since(o cpuTime) cpuTime {
	return cpuTime{c.program - o.program, c.database - o.database}
}

// ticks a second of /proc/*/stat; Linux fixes it for user space.
const ticks = 100

func (b *bench) cpu() (c cpuTime, err error) {
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		return c, err
	}
	c.program = float64(own.Utime.Nano()+own.Stime.Nano()) / 1e9
	pidFiles, err := filepath.Glob(filepath.Join(b.dir, "*", "postmaster.pid"))
	if err != nil {
		return c, err
	}
	if len(pidFiles) == 0 {
		return c, fmt.Errorf("no postmaster.pid below %s", b.dir)
	}
	text, err := os.ReadFile(pidFiles[0])
	if err != nil {
		return c, err
	}
	postmaster, _, _ := strings.Cut(string(text), "\n")
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return c, err
	}
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended; its parent counts it
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		f := strings.Fields(rest) // from the third field on
		if len(f) < 15 || f[1] != postmaster && filepath.Base(filepath.Dir(name)) != postmaster {
			continue
		}
		for _, t := range f[11:15] {
			n, err := strconv.Atoi(t)
			if err != nil {
				return c, err
			}
			c.database += float64(n) / ticks
		}
	}
	return c, nil
}
