package mapped

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

var errFrame = errors.New("a frame that is too large")

// readFrame reads a length and so many bytes.
func readFrame(r *bufio.Reader, most int) ([]byte, error) {
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return nil, err
	}
	if n > uint64(most) {
		return nil, errFrame
	}
	b := make([]byte, n)
	_, err = io.ReadFull(r, b)
	return b, err
}

// writeFrame writes them at once: whoever reads wakes up once.
func writeFrame(w io.Writer, b []byte) error {
	frame := make([]byte, 0, binary.MaxVarintLen64+len(b))
	_, err := w.Write(append(binary.AppendUvarint(frame, uint64(len(b))), b...))
	return err
}
