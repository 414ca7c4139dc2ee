package metric

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// PathFilter asks for conversations that went through flows in an order. It begins where the first of them is started
// for the first time.
type PathFilter struct {
	Steps   []string // flows
	Strict  bool     // each directly after the one before; else others may lie between
	Back    bool     // directly before instead: Steps go back in time; only with Strict
	End     bool     // and nothing comes after the last (before it, with Back)
	Minutes int      // from the start of the first step to that of the last; 0 for no bound
}

// maxSteps is how many steps a path has at most.
const maxSteps = 8

func (p PathFilter) query() string {
	parts := make([]string, 0, len(p.Steps)+1)
	flags := ""
	for _, x := range []struct {
		on   bool
		flag string
	}{{p.Strict, "s"}, {p.Back, "b"}, {p.End, "e"}} {
		if x.on {
			flags += x.flag
		}
	}
	parts = append(parts, flags+strconv.Itoa(p.Minutes))
	for _, s := range p.Steps {
		parts = append(parts, url.QueryEscape(s))
	}
	return strings.Join(parts, " ")
}

func parsePath(v string) (p PathFilter, err error) {
	bad := &InputError{"path", fmt.Sprintf("is no path of 1 to %d flows", maxSteps)}
	flags, rest, ok := strings.Cut(v, " ")
	if !ok {
		return p, bad
	}
	digits := strings.TrimLeft(flags, "sbe")
	flags = flags[:len(flags)-len(digits)]
	p.Strict, p.Back, p.End = strings.Contains(flags, "s"), strings.Contains(flags, "b"), strings.Contains(flags, "e")
	if p.Minutes, err = strconv.Atoi(digits); err != nil || p.Minutes < 0 || p.Minutes > 100000 || (p.Back || p.End) &&
		!p.Strict {
		return p, bad
	}
	for _, s := range strings.Split(rest, " ") {
		step, err := url.QueryUnescape(s)
		if err != nil || step == "" {
			return p, bad
		}
		p.Steps = append(p.Steps, step)
	}
	if len(p.Steps) > maxSteps {
		return p, bad
	}
	return p, nil
}

// Words say what the path asks for.
func (p PathFilter) Words() string {
	arrow := " … "
	switch {
	case p.Back:
		arrow = " ← "
	case p.Strict:
		arrow = " → "
	}
	words := strings.Join(p.Steps, arrow)
	if p.End {
		words += arrow + "nothing"
	}
	if p.Minutes > 0 {
		words += fmt.Sprintf(" within %d min", p.Minutes)
	}
	return words
}

// Start is the start of a flow in a conversation.
type Start struct {
	Flow string
	At   float64 // seconds
}

// Collapse leaves out the starts of a flow that directly follow a start of the same.
func Collapse(starts []Start) []Start {
	return slices.CompactFunc(slices.Clone(starts), func(a, b Start) bool { return a.Flow == b.Flow })
}

// Reached returns how many of the path's steps the conversation went, whose flows were started in this order.
func (p PathFilter) Reached(starts []Start) int {
	if p.Strict {
		starts = Collapse(starts)
	}
	first := slices.IndexFunc(starts, func(s Start) bool { return s.Flow == p.Steps[0] })
	if first < 0 {
		return 0
	}
	n, at := 1, first
	for _, step := range p.Steps[1:] {
		next := at + 1
		if !p.Strict {
			offset := slices.IndexFunc(starts[next:], func(s Start) bool { return s.Flow == step })
			if offset < 0 {
				return n
			}
			next += offset
		}
		if next >= len(starts) || starts[next].Flow != step || p.Minutes > 0 &&
			starts[next].At-starts[first].At > float64(p.Minutes*60) {
			return n
		}
		n, at = n+1, next
	}
	return n
}

// Edge is a step of paths: how many conversations went it.
type Edge struct {
	Path []string // the flows up to this one, the first included
	End  bool     // nothing comes after
	N    int64
}

// Paths counts where conversations go from the first start of a flow (or come from, with back), depth steps far. What
// comes into a node goes out of it, to other flows or to the end.
func Paths(all [][]Start, flow string, back bool, depth int) (edges []Edge, begun int64) {
	index := map[string]int{}
	for _, starts := range all {
		starts = Collapse(starts)
		at := slices.IndexFunc(starts, func(s Start) bool { return s.Flow == flow })
		if at < 0 {
			continue
		}
		begun++
		path := []string{flow}
		for range depth {
			if at++; back {
				at -= 2
			}
			end := at < 0 || at >= len(starts)
			if !end {
				path = append(slices.Clone(path), starts[at].Flow)
			}
			key := strings.Join(path, "\x00")
			if end {
				key += "\x00\x00"
			}
			i, ok := index[key]
			if !ok {
				i = len(edges)
				index[key] = i
				edges = append(edges, Edge{Path: path, End: end})
			}
			edges[i].N++
			if end {
				break
			}
		}
	}
	slices.SortStableFunc(edges, func(a, b Edge) int {
		return cmp.Or(
			cmp.Compare(len(a.Path)+one(a.End), len(b.Path)+one(b.End)), cmp.Compare(b.N, a.N),
			cmp.Compare(strings.Join(a.Path, "\x00"), strings.Join(b.Path, "\x00")),
		)
	})
	return edges, begun
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
