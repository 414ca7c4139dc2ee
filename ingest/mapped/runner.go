package mapped

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"

	"turnwise/ingest/wire"
)

// Runner runs the program of a mapping in processes of its own. It is safe for any number of goroutines.
type Runner struct {
	name string
	head []byte
	idle chan *worker // those that may be had: nil where none has been started yet
	mu   sync.Mutex
	all  map[*worker]bool
	done bool
}

// Workers is how many bodies are mapped side by side.
const Workers = 2

// NewRunner returns a runner of a mapping; Close ends its processes. at is the time, as RFC 3339, of events that tell none;
// "" for none.
func NewRunner(f *File, at string) *Runner {
	head, _ := json.Marshal(map[string]any{"Program": f.Program, "Defaults": f.Defaults, "At": at}) // made of YAML: cannot fail
	r := &Runner{name: f.Name, head: head, idle: make(chan *worker, Workers), all: map[*worker]bool{}}
	for range Workers {
		r.idle <- nil
	}
	return r
}

// Close ends the processes.
func (r *Runner) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = true
	for w := range r.all {
		w.end()
	}
}

type worker struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func (w *worker) end() {
	_ = w.in.Close()         // it ends with its input
	_ = w.cmd.Process.Kill() // or now
	_ = w.cmd.Wait()         // how it ended does not matter
}

func (r *Runner) start() (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, argument) //nolint:noctx // it lives as long as the runner
	cmd.Env = []string{"GOMAXPROCS=2", argument + "=1"}
	w := &worker{cmd: cmd}
	if w.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.out = bufio.NewReaderSize(out, 64<<10)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		w.end()
		return nil, errors.New("the runner is closed")
	}
	r.all[w] = true
	return w, writeFrame(w.in, r.head)
}

// Map returns the neutral events that a body gives, as JSON; none where the mapping passes over it.
func (r *Runner) Map(body string) (events []string, rej *wire.Reject) {
	if len(body) > MaxInput {
		return nil, wire.NewReject(wire.CodeSize, "larger than 1 MiB", -1)
	}
	w := <-r.idle
	defer func() { r.idle <- w }()
	if w == nil {
		var err error
		if w, err = r.start(); err != nil {
			if w != nil {
				r.drop(w)
				w = nil
			}
			return nil, wire.NewReject(wire.CodeFault, "the process that maps cannot be started", -1)
		}
	}
	events, err := w.ask(body)
	if err == nil {
		return events, nil
	}
	if errors.As(err, &rej) {
		return nil, rej
	}
	rej = r.ended(w)
	w = nil
	return nil, rej
}

func (w *worker) ask(body string) ([]string, error) {
	if err := writeFrame(w.in, []byte(body)); err != nil {
		return nil, err
	}
	head, err := readFrame(w.out, 64<<10)
	if err != nil {
		return nil, err
	}
	if text, failed := strings.CutPrefix(string(head), "!"); failed {
		code, detail, _ := strings.Cut(text, ":")
		return nil, wire.NewReject(code, detail, -1)
	}
	n, err := strconv.Atoi(string(head))
	if err != nil || n > MaxEvents {
		return nil, errFrame
	}
	events := make([]string, n)
	for i := range events {
		b, err := readFrame(w.out, maxOutput)
		if err != nil {
			return nil, err
		}
		events[i] = string(b)
	}
	return events, nil
}

// ended says why a worker ended, and forgets it.
func (r *Runner) ended(w *worker) *wire.Reject {
	r.drop(w)
	switch w.cmd.ProcessState.ExitCode() {
	case exitTime:
		return errTime
	case exitMemory, 2: // by itself, or as it got no more
		return wire.NewReject(wire.CodeMapping, "the mapping needs more memory for this body than it may have", -1)
	}
	return wire.NewReject(wire.CodeMapping, fmt.Sprintf("the mapping ended on this body (%s)", w.cmd.ProcessState), -1)
}

func (r *Runner) drop(w *worker) {
	_ = w.in.Close()
	_ = w.cmd.Wait() // its state says how it ended
	r.mu.Lock()
	delete(r.all, w)
	r.mu.Unlock()
}
