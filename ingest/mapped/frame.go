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

func writeFrame(w io.Writer, b []byte) error {
	var head [binary.MaxVarintLen64]byte
	if _, err := w.Write(head[:binary.PutUvarint(head[:], uint64(len(b)))]); err != nil {
		return err
	}
	_, err := w.Write(b)
	return err
}
