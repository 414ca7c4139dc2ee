package file

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
)

// Keyed is an item with what it is sorted by. Its bytes are its own.
type Keyed struct {
	Item
	Sender int64
	Time   float64
}

// Sort reads all items of a stream of about size bytes, and hands them out by sender and time; those of one instant in
// the order in which they came. Of a stream that is too large for the memory it keeps the parts in temporary files,
// which are gone when close is called.
func Sort(next func() (Keyed, error), size int64) (sorted func() (Keyed, error), closeAll func(), err error) {
	buckets := make([]*bucket, min(1+size/bucketBytes, mostBuckets))
	closeAll = func() {
		for _, b := range buckets {
			if b != nil && b.f != nil {
				b.f.Close()
			}
		}
	}
	for i := range buckets {
		if buckets[i], err = newBucket(len(buckets) > 1); err != nil {
			closeAll()
			return nil, nil, err
		}
	}
	for {
		it, err := next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = buckets[uint64(it.Sender)%uint64(len(buckets))].add(it)
		}
		if err != nil {
			closeAll()
			return nil, nil, err
		}
	}
	var items []Keyed
	return func() (Keyed, error) {
		for len(items) == 0 {
			if len(buckets) == 0 {
				return Keyed{}, io.EOF
			}
			if items, err = buckets[0].items(); err != nil {
				return Keyed{}, err
			}
			buckets = buckets[1:]
			slices.SortStableFunc(items, func(a, b Keyed) int {
				if c := cmp.Compare(a.Sender, b.Sender); c != 0 {
					return c
				}
				return cmp.Compare(a.Time, b.Time)
			})
		}
		it := items[0]
		items[0] = Keyed{}
		items = items[1:]
		return it, nil
	}, closeAll, nil
}

const (
	bucketBytes = 48 << 20
	mostBuckets = 256
	headBytes   = 32
)

// bucket holds some senders' items, in memory or in a file.
type bucket struct {
	held []Keyed
	f    *os.File
	w    *bufio.Writer
}

func newBucket(onDisk bool) (*bucket, error) {
	if !onDisk {
		return new(bucket), nil
	}
	f, err := os.CreateTemp("", "turnwise-import-*")
	if err != nil {
		return nil, fmt.Errorf("a temporary file to sort in: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil { // it lives as long as it is open
		f.Close()
		return nil, err
	}
	return &bucket{f: f, w: bufio.NewWriterSize(f, 256<<10)}, nil
}

func (b *bucket) add(it Keyed) error {
	if b.f == nil {
		it.Body = slices.Clone(it.Body)
		b.held = append(b.held, it)
		return nil
	}
	head := binary.LittleEndian.AppendUint64(make([]byte, 0, headBytes), uint64(it.Sender))
	head = binary.LittleEndian.AppendUint64(head, math.Float64bits(it.Time))
	head = binary.LittleEndian.AppendUint64(head, uint64(it.Part))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(it.Position)))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(it.Body)))
	for _, p := range [][]byte{head, []byte(it.Position), it.Body} {
		if _, err := b.w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

func (b *bucket) items() ([]Keyed, error) {
	if b.f == nil {
		return b.held, nil
	}
	defer b.f.Close()
	if err := b.w.Flush(); err != nil {
		return nil, err
	}
	if _, err := b.f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(b.f, 256<<10)
	var all []Keyed
	for {
		var head [headBytes]byte
		if _, err := io.ReadFull(r, head[:]); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		u := binary.LittleEndian
		it := Keyed{Sender: int64(u.Uint64(head[0:])), Time: math.Float64frombits(u.Uint64(head[8:]))}
		n := u.Uint32(head[24:])
		text := make([]byte, n+u.Uint32(head[28:]))
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, err
		}
		it.Part, it.Position, it.Body = int(u.Uint64(head[16:])), string(text[:n]), text[n:]
		all = append(all, it)
	}
}
