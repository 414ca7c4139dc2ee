package main

import (
	"bufio"
	"os"
	"syscall"
	"time"

	"turnwise/demo"
)

// corpus is events as JSON, mapped from a file: on the heap they would let it grow between two collections to
// many times the size that the program has, and every fresh page is paid for.
type corpus struct {
	text []byte
	ends []int
}

// newCorpus generates n events that no other seed makes.
func newCorpus(n int, seed uint64) (*corpus, error) {
	g := demo.New(demo.Options{Conversations: n/20 + 100, Days: 90, Until: time.Now(), Seed: seed})
	return corpusOf(n, g.Next)
}

// corpusOf keeps the first n bodies that next gives.
func corpusOf(n int, next func() ([]byte, bool)) (*corpus, error) {
	f, err := os.CreateTemp("", "turnwise-bench-*.ndjson")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil {
		return nil, err
	}
	c := &corpus{ends: make([]int, 0, n)}
	w, size := bufio.NewWriter(f), 0
	for len(c.ends) < n {
		body, ok := next()
		if !ok {
			break
		}
		if _, err := w.Write(body); err != nil {
			return nil, err
		}
		size += len(body)
		c.ends = append(c.ends, size)
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	c.text, err = syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED|syscall.MAP_POPULATE)
	return c, err
}

// close gives the memory back.
func (c *corpus) close() { _ = syscall.Munmap(c.text) }

// each iterates over all bodies.
func (c *corpus) each(yield func(body []byte) bool) {
	from := 0
	for _, end := range c.ends {
		if !yield(c.text[from:end]) {
			return
		}
		from = end
	}
}

// withCopies iterates over all bodies and puts a copy of one of old behind each ninth.
func (c *corpus) withCopies(old *corpus) func(yield func(body []byte) bool) {
	return func(yield func(body []byte) bool) {
		i := 0
		for body := range c.each {
			if !yield(body) {
				return
			}
			if i%9 == 8 {
				n := (i / 9) % len(old.ends)
				from := 0
				if n > 0 {
					from = old.ends[n-1]
				}
				if !yield(old.text[from:old.ends[n]]) {
					return
				}
			}
			i++
		}
	}
}
