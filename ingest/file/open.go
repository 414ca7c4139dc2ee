package file

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// Reader reads the bodies of all texts of a file: packed or not, alone or in an archive.
type Reader struct {
	// Packed tells that the file holds less bytes than its texts.
	Packed bool
	// Whole has values handed out as they stand, and rows of a table as objects. It is set before the first is asked for.
	Whole bool

	texts  texts
	sender json.RawMessage
	now    *Splitter
	name   string // of the text in its archive, ""
	part   int    // tracker documents of the texts before
	done   []func()
}

// texts hands out one text after the other, and io.EOF.
type texts func() (name string, r io.Reader, err error)

// Open reads a file. What it reads from it goes through through, which may be nil. sender is whose events are those
// that name nobody, "" for nobody's. Close ends it; the file stays open.
func Open(f *os.File, sender string, through func(io.Reader) io.Reader) (*Reader, error) {
	r := new(Reader)
	if sender != "" {
		r.sender, _ = json.Marshal(sender) // a text: cannot fail
	}
	if through == nil {
		through = func(r io.Reader) io.Reader { return r }
	}
	var err error
	if r.texts, err = r.open(f, bufio.NewReaderSize(through(f), 1<<20), through); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Close frees what reading took.
func (r *Reader) Close() {
	for _, free := range r.done {
		free()
	}
	r.done = nil
}

// Next returns the next body, or io.EOF.
func (r *Reader) Next() (Item, error) {
	for {
		if r.now == nil {
			name, text, err := r.texts()
			if err != nil {
				return Item{}, err
			}
			r.name, r.now = name, NewSplitter(utf8Of(text))
			r.now.sender, r.now.part, r.now.whole = r.sender, r.part, r.Whole
		}
		it, err := r.now.Next()
		if errors.Is(err, io.EOF) {
			r.part = r.now.part
			r.now = nil
			continue
		}
		if r.name != "" {
			it.Position = r.name + ", " + it.Position
			if err != nil {
				err = fmt.Errorf("%s: %w", r.name, err)
			}
		}
		return it, err
	}
}

// packings are the ways in which one stream is packed, by what it begins with.
var packings = []struct {
	magic  string
	unpack func(io.Reader) (io.Reader, func(), error)
}{
	{"\x1f\x8b", func(r io.Reader) (io.Reader, func(), error) {
		z, err := gzip.NewReader(r)
		return z, func() {}, err
	}},
	{"\x28\xb5\x2f\xfd", func(r io.Reader) (io.Reader, func(), error) {
		z, err := zstd.NewReader(r, zstd.WithDecoderMaxMemory(512<<20))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}},
	{"BZh", func(r io.Reader) (io.Reader, func(), error) { return bzip2.NewReader(r), func() {}, nil }},
	{"\xfd7zXZ\x00", func(r io.Reader) (io.Reader, func(), error) {
		z, err := xz.NewReader(r)
		return z, func() {}, err
	}},
}

// packedTwice bounds how often a stream is packed.
const packedTwice = 3

func (r *Reader) open(f *os.File, in *bufio.Reader, through func(io.Reader) io.Reader) (texts, error) {
	if head, _ := in.Peek(4); bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("PK\x05\x06")) {
		r.Packed = true
		return r.zip(f, in, through)
	}
	return r.stream(in)
}

// stream hands out the texts of a stream.
func (r *Reader) stream(in *bufio.Reader) (texts, error) {
	in, err := r.unpacked(in)
	if err != nil {
		return nil, err
	}
	if head, _ := in.Peek(262); len(head) == 262 && string(head[257:]) == "ustar" {
		archive := tar.NewReader(in)
		return func() (string, io.Reader, error) {
			for {
				h, err := archive.Next()
				if err != nil {
					return "", nil, err
				}
				if h.Typeflag != tar.TypeReg || !holdsText(h.Name) {
					continue
				}
				text, err := r.unpacked(bufio.NewReaderSize(archive, 256<<10))
				return h.Name, text, err
			}
		}, nil
	}
	given := false
	return func() (string, io.Reader, error) {
		if given {
			return "", nil, io.EOF
		}
		given = true
		return "", in, nil
	}, nil
}

// unpacked undoes how a stream is packed.
func (r *Reader) unpacked(in *bufio.Reader) (*bufio.Reader, error) {
again:
	for range packedTwice {
		head, _ := in.Peek(6)
		for _, p := range packings {
			if !bytes.HasPrefix(head, []byte(p.magic)) {
				continue
			}
			out, done, err := p.unpack(in)
			if err != nil {
				return nil, fmt.Errorf("unpack it: %w", err)
			}
			r.Packed, r.done = true, append(r.done, done)
			in = bufio.NewReaderSize(out, 1<<20)
			continue again
		}
		break
	}
	return in, nil
}

// zip hands out the texts of a zip. What is no file of its own is copied into one first.
func (r *Reader) zip(f *os.File, in io.Reader, through func(io.Reader) io.Reader) (texts, error) {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		copied, err := os.CreateTemp("", "turnwise-import-*.zip")
		if err != nil {
			return nil, err
		}
		r.done = append(r.done, func() { copied.Close() })
		if err := os.Remove(copied.Name()); err != nil { // it lives as long as it is open
			return nil, err
		}
		if _, err := io.Copy(copied, in); err != nil {
			return nil, err
		}
		f, through = copied, func(r io.Reader) io.Reader { return r }
		if info, err = f.Stat(); err != nil {
			return nil, err
		}
	}
	archive, err := zip.NewReader(counted{f, through}, info.Size())
	if err != nil {
		return nil, fmt.Errorf("unpack it: %w", err)
	}
	left := archive.File
	return func() (string, io.Reader, error) {
		for len(left) > 0 {
			x := left[0]
			left = left[1:]
			if !x.Mode().IsRegular() || !holdsText(x.Name) {
				continue
			}
			if x.Flags&1 != 0 {
				return "", nil, fmt.Errorf("%s is locked by a password: unpack it first", x.Name)
			}
			packed, err := x.Open()
			if err != nil {
				return "", nil, fmt.Errorf("%s: %w", x.Name, err)
			}
			r.done = append(r.done, func() { packed.Close() })
			text, err := r.unpacked(bufio.NewReaderSize(packed, 256<<10))
			return x.Name, text, err
		}
		return "", nil, io.EOF
	}, nil
}

// counted is a file that is read at any place through what counts.
type counted struct {
	f       *os.File
	through func(io.Reader) io.Reader
}

// ReadAt reads at a place.
func (c counted) ReadAt(p []byte, at int64) (int, error) {
	n, err := c.f.ReadAt(p, at)
	if n > 0 {
		_, _ = io.Copy(io.Discard, c.through(bytes.NewReader(p[:n]))) // in memory: cannot fail
	}
	return n, err
}

// holdsText tells members of archives from what systems put beside them.
func holdsText(name string) bool {
	base := path.Base(name)
	return !strings.HasPrefix(base, ".") && !strings.HasPrefix(name, "__MACOSX/") && base != "Thumbs.db"
}

// utf8Of reads UTF-16 that says so as UTF-8.
func utf8Of(r io.Reader) io.Reader {
	b := bufio.NewReaderSize(r, 256<<10)
	head, _ := b.Peek(2)
	switch {
	case bytes.Equal(head, []byte{0xff, 0xfe}), bytes.Equal(head, []byte{0xfe, 0xff}):
		return transform.NewReader(b, unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM).NewDecoder())
	}
	return b
}
