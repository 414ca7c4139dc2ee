package mapped

import (
	"bufio"
	"encoding/binary"
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

// atOnce bounds how many bytes of bodies a worker is given before it is asked what it made of them.
const atOnce = 256 << 10

// Map returns the neutral events that each body gives, as JSON; none where the mapping passes over it.
func (r *Runner) Map(bodies ...string) []wire.Mapped {
	made := make([]wire.Mapped, len(bodies))
	w := <-r.idle
	defer func() { r.idle <- w }()
	alone := 0 // up to here each body is mapped alone: one of them ends its worker
	for done := 0; done < len(bodies); {
		if len(bodies[done]) > MaxInput {
			made[done].Reject = wire.NewReject(wire.CodeSize, "larger than 1 MiB", -1)
			done++
			continue
		}
		if w == nil {
			var err error
			if w, err = r.start(); err != nil {
				if w != nil {
					r.drop(w)
					w = nil
				}
				made[done].Reject = wire.NewReject(wire.CodeFault, "the process that maps cannot be started", -1)
				done++
				continue
			}
		}
		some := few(bodies[done:], done < alone)
		n, err := w.ask(some, made[done:])
		if done += n; err == nil {
			continue
		}
		if len(some) == 1 {
			made[done].Reject = r.ended(w)
			done++
		} else {
			alone = done - n + len(some)
			r.drop(w)
		}
		w = nil
	}
	return made
}

// few are the first of bodies that a worker is given at once.
func few(bodies []string, alone bool) []string {
	n, size := 1, len(bodies[0])
	for !alone && n < len(bodies) && len(bodies[n]) <= MaxInput && size+len(bodies[n]) <= atOnce {
		size += len(bodies[n])
		n++
	}
	return bodies[:n]
}

// ask has a worker map bodies, and returns for how many it answered.
func (w *worker) ask(bodies []string, made []wire.Mapped) (n int, err error) {
	var frames []byte
	for _, body := range bodies {
		frames = append(binary.AppendUvarint(frames, uint64(len(body))), body...)
	}
	var writing sync.WaitGroup
	writing.Go(func() { _, _ = w.in.Write(frames) }) // it answers while it is still told; where it ended, reading says so
	for n = range bodies {
		if made[n], err = w.answer(); err != nil {
			_ = w.in.Close() // it is of no more use
			writing.Wait()
			return n, err
		}
	}
	writing.Wait()
	return len(bodies), nil
}

// answer reads what the worker made of a body.
func (w *worker) answer() (m wire.Mapped, err error) {
	head, err := readFrame(w.out, 64<<10)
	if err != nil {
		return m, err
	}
	if text, failed := strings.CutPrefix(string(head), "!"); failed {
		code, detail, _ := strings.Cut(text, ":")
		m.Reject = wire.NewReject(code, detail, -1)
		return m, nil
	}
	n, err := strconv.Atoi(string(head))
	if err != nil || n > MaxEvents {
		return m, errFrame
	}
	m.Events = make([]string, n)
	for i := range m.Events {
		b, err := readFrame(w.out, maxOutput)
		if err != nil {
			return m, err
		}
		m.Events[i] = string(b)
	}
	return m, nil
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
