package mapped

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/big"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/itchyny/gojq"

	"turnwise/ingest/wire"
)

// Bounds of what a program may do with one body.
const (
	MaxInput  = 1 << 20 // bytes of a body
	MaxEvents = 5000    // that it gives
	maxOutput = 16 << 20
	maxNested = 100
	cpu       = 200 * time.Millisecond // of the processor
	memory    = 48 << 20               // bytes of what it makes
)

// Exits of the worker that say why it ended.
const (
	exitTime   = 41
	exitMemory = 42
)

// argument is the only argument of the program where it is a worker.
const argument = "run-mapping"

// WorkIfAsked is the first thing that a program with a Runner does: where a Runner started it, it is a worker, and ends
// as one.
func WorkIfAsked() {
	if len(os.Args) != 2 || os.Args[1] != argument {
		return
	}
	if err := work(os.Stdin, os.Stdout); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// work is the worker: it reads a program and then bodies, and answers each with its events. It ends with its input, or when
// a program goes beyond its bounds.
func work(in io.Reader, out io.Writer) error {
	limitMemory(64 << 20)
	debug.SetMemoryLimit(memory)
	debug.SetGCPercent(700)
	r, w := bufio.NewReaderSize(in, 64<<10), bufio.NewWriterSize(out, 64<<10)
	head, err := readFrame(r, 2*mostFile)
	if err != nil {
		return err
	}
	var of struct {
		Program  string
		Defaults map[string]any
		At       string // the time of events that tell none; "" for none
	}
	if err := json.Unmarshal(head, &of); err != nil {
		return err
	}
	code, err := compile(of.Program)
	if err != nil {
		return err
	}
	defaults := map[string]any{}
	for k, v := range of.Defaults {
		defaults[k] = v
	}
	guard := newGuard()
	for {
		if r.Buffered() == 0 { // who asks for several at once is answered at once
			if err := w.Flush(); err != nil {
				return err
			}
		}
		body, err := readFrame(r, MaxInput)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		events, rej := guard.run(code, adding{defaults, of.At}, string(body))
		if err := answer(w, events, rej); err != nil {
			return err
		}
	}
}

// answer writes how many events there are and each of them, or a reason.
func answer(w *bufio.Writer, events [][]byte, rej *wire.Reject) error {
	head := strconv.Itoa(len(events))
	if rej != nil {
		head = "!" + rej.Code + ":" + rej.Detail
		events = nil
	}
	if err := writeFrame(w, []byte(head)); err != nil {
		return err
	}
	for _, e := range events {
		if err := writeFrame(w, e); err != nil {
			return err
		}
	}
	return nil
}

// guard ends what takes too long or too much.
type guard struct {
	began atomic.Int64 // of the processor's time when the body came; 0: at rest
}

func newGuard() *guard {
	g := new(guard)
	go g.watch()
	return g
}

func (g *guard) watch() {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	for {
		time.Sleep(2 * time.Millisecond)
		began := g.began.Load()
		if began == 0 {
			time.Sleep(time.Millisecond)
			continue
		}
		if metrics.Read(heap); heap[0].Value.Uint64() > memory {
			os.Exit(exitMemory)
		}
		if processorTime()-time.Duration(began) > cpu {
			os.Exit(exitTime)
		}
	}
}

var errTime = wire.NewReject(wire.CodeMapping, "the mapping takes longer than 200 ms for this body", -1)

func (g *guard) run(code *gojq.Code, adds adding, body string) (events [][]byte, rej *wire.Reject) {
	defer func() {
		if r := recover(); r != nil {
			events, rej = nil, wire.NewReject(wire.CodeMapping, "the mapping fails on this body", -1)
		}
	}()
	s := &wire.Scanner{Text: strings.TrimPrefix(body, "\ufeff")}
	input := valueOf(s)
	if s.Err == "" && s.Peek() != 0 {
		s.Fail("something follows the value")
	}
	if s.Err != "" {
		if looks := wire.LooksLike(body); looks != "" {
			return nil, wire.NewReject(wire.CodeJSON, looks, 0)
		}
		return nil, wire.NewReject(wire.CodeJSON, "not JSON: "+s.Err, s.Pos)
	}
	g.began.Store(max(1, int64(processorTime())))
	defer g.began.Store(0)
	w := writer{left: maxOutput}
	iter := code.Run(input)
	for {
		v, more := iter.Next()
		if !more {
			return events, nil
		}
		if err, ok := v.(error); ok {
			return nil, wire.NewReject(wire.CodeMapping, "the mapping says: "+said(err), -1)
		}
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		for _, v := range list {
			if len(events) == MaxEvents {
				return nil, wire.NewReject(wire.CodeMapping, "the mapping gives more than 5,000 events of this body", -1)
			}
			o, ok := v.(map[string]any)
			if !ok {
				return nil, wire.NewReject(wire.CodeMapping, "the mapping gives something that is no event: an object with type, time and data", -1)
			}
			o = adds.to(o)
			w.out = w.out[:0]
			if w.value(o, 0); w.beyond {
				return nil, wire.NewReject(wire.CodeMapping, "the mapping gives more than 16 MiB of this body, or what is nested too deep", -1)
			}
			events = append(events, bytes.Clone(w.out))
		}
	}
}

// said is what an error of a program says, without what it holds of the body beyond a line.
func said(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return text
}

// adding is what events get that they do not tell.
type adding struct {
	defaults map[string]any // of their data
	at       string
}

func (a adding) to(o map[string]any) map[string]any {
	data, ok := o["data"].(map[string]any)
	if !ok || len(a.defaults) == 0 && a.at == "" {
		return o
	}
	o, data = maps.Clone(o), maps.Clone(data)
	for k, v := range a.defaults {
		if data[k] == nil {
			data[k] = v
		}
	}
	if o["time"] == nil && a.at != "" {
		o["time"], data["time_precision"] = a.at, "none"
	}
	o["data"] = data
	return o
}

// valueOf reads a JSON value as jq has them.
func valueOf(s *wire.Scanner) any {
	switch c := s.Peek(); c {
	case '{':
		m := map[string]any{}
		s.Object(func(key string) { m[key] = valueOf(s) })
		return m
	case '[':
		list := []any{}
		if s.Open('[') {
			for first := true; s.Next(']', first); first = false {
				list = append(list, valueOf(s))
			}
		}
		return list
	case '"':
		return s.Word()
	case 't', 'f', 'n':
		switch s.Skip() {
		case "true":
			return true
		case "false":
			return false
		}
		return nil
	}
	raw, finite, _ := s.Number()
	if !finite {
		return nil
	}
	if n, err := strconv.Atoi(raw); err == nil {
		return n
	}
	if !strings.ContainsAny(raw, ".eE") {
		if n, ok := new(big.Int).SetString(raw, 10); ok {
			return n
		}
	}
	f, _ := strconv.ParseFloat(raw, 64) // the scanner took it for a number
	return f
}

// writer writes JSON of so many bytes at most: what looks small may hold one thing a million times.
type writer struct {
	out    []byte
	left   int
	beyond bool
}

func (w *writer) add(b ...byte) {
	if w.left -= len(b); w.left < 0 {
		w.beyond = true
		return
	}
	w.out = append(w.out, b...)
}

func (w *writer) text(s string) {
	if len(s) > w.left {
		w.beyond = true
		return
	}
	if i := strings.IndexFunc(s, special); i < 0 {
		if w.left -= len(s) + 2; w.left < 0 {
			w.beyond = true
			return
		}
		w.out = append(append(append(w.out, '"'), s...), '"')
		return
	}
	b, _ := json.Marshal(s) // a string: cannot fail
	w.add(b...)
}

// special tells whether a character may not stand for itself in JSON.
func special(c rune) bool {
	return c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&'
}

func (w *writer) value(v any, depth int) {
	if w.beyond = w.beyond || depth > maxNested; w.beyond {
		return
	}
	switch x := v.(type) {
	case nil:
		w.add([]byte("null")...)
	case bool:
		w.add(strconv.AppendBool(nil, x)...)
	case int:
		w.add(strconv.AppendInt(nil, int64(x), 10)...)
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			w.add([]byte("null")...)
			return
		}
		b, _ := json.Marshal(x) // finite: cannot fail
		w.add(b...)
	case *big.Int:
		if x.BitLen() > 4000 {
			w.beyond = true
			return
		}
		w.add(x.Append(nil, 10)...)
	case json.Number: // of fromjson, as it was written
		w.add([]byte(x)...)
	case string:
		w.text(x)
	case []any:
		w.add('[')
		for i, y := range x {
			if i > 0 {
				w.add(',')
			}
			if w.value(y, depth+1); w.beyond {
				return
			}
		}
		w.add(']')
	case map[string]any:
		w.add('{')
		names := make([]string, 0, len(x))
		for k := range x {
			names = append(names, k)
		}
		slices.Sort(names)
		for i, k := range names {
			if i > 0 {
				w.add(',')
			}
			w.text(k)
			w.add(':')
			if w.value(x[k], depth+1); w.beyond {
				return
			}
		}
		w.add('}')
	default:
		panic(fmt.Sprintf("a value of type %T", v))
	}
}
