package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/queries/failpoint"
)

// rows gathers rows in PostgreSQL's binary COPY format. It is some times faster than pgx's CopyFrom, which
// looks up an encoder for every value, and COPY is most of what ingest does.
type rows struct {
	b []byte
	n int
}

// between 1970 and 2000, PostgreSQL's epoch, in microseconds.
const epoch2000 = 946684800 * 1000000

func (r *rows) row(fields int) {
	if r.n == 0 {
		r.b = append(r.b[:0], "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	}
	r.n++
	r.b = binary.BigEndian.AppendUint16(r.b, uint16(fields))
}

func (r *rows) size(n int)    { r.b = binary.BigEndian.AppendUint32(r.b, uint32(n)) }
func (r *rows) null()         { r.size(-1) }
func (r *rows) int2(v int)    { r.size(2); r.b = binary.BigEndian.AppendUint16(r.b, uint16(v)) }
func (r *rows) int4(v int32)  { r.size(4); r.b = binary.BigEndian.AppendUint32(r.b, uint32(v)) }
func (r *rows) int8(v int64)  { r.size(8); r.b = binary.BigEndian.AppendUint64(r.b, uint64(v)) }
func (r *rows) text(v string) { r.size(len(v)); r.b = append(r.b, v...) }

// join writes one text of several, with sep between them.
func (r *rows) join(parts []string, sep string) {
	n := len(sep) * (len(parts) - 1)
	for _, p := range parts {
		n += len(p)
	}
	r.size(n)
	for i, p := range parts {
		if i > 0 {
			r.b = append(r.b, sep...)
		}
		r.b = append(r.b, p...)
	}
}

func (r *rows) bytea(v []byte) {
	r.size(len(v))
	r.b = append(r.b, v...)
}
func (r *rows) uuid(v conversation.UUID) { r.size(16); r.b = append(r.b, v[:]...) }
func (r *rows) time(micros int64)        { r.int8(micros - epoch2000) }

func (r *rows) float8(v float64) {
	r.size(8)
	r.b = binary.BigEndian.AppendUint64(r.b, math.Float64bits(v))
}

func (r *rows) bool(v bool) {
	r.size(1)
	if v {
		r.b = append(r.b, 1)
	} else {
		r.b = append(r.b, 0)
	}
}

// timeOrNull writes null for 0, float4OrNull and float8OrNull for NaN, textOrNull for "".
func (r *rows) timeOrNull(micros int64) {
	if micros == 0 {
		r.null()
		return
	}
	r.time(micros)
}

func (r *rows) float4OrNull(v float64) {
	if math.IsNaN(v) {
		r.null()
		return
	}
	r.size(4)
	r.b = binary.BigEndian.AppendUint32(r.b, math.Float32bits(float32(v)))
}

func (r *rows) float8OrNull(v *float64) {
	if v == nil {
		r.null()
		return
	}
	r.float8(*v)
}

// float8OrNaN writes null for NaN.
func (r *rows) float8OrNaN(v float64) {
	if math.IsNaN(v) {
		r.null()
		return
	}
	r.float8(v)
}

func (r *rows) textOrNull(v string) {
	if v == "" {
		r.null()
		return
	}
	r.text(v)
}

// array writes a one-dimensional array of n elements of the type with that object id.
func (r *rows) array(oid uint32, n int, element func(i int)) {
	at := len(r.b)
	r.size(0)
	dims := uint32(1)
	if n == 0 {
		dims = 0
	}
	for _, v := range []uint32{dims, 0, oid} {
		r.b = binary.BigEndian.AppendUint32(r.b, v)
	}
	if n > 0 {
		r.b = binary.BigEndian.AppendUint32(r.b, uint32(n))
		r.b = binary.BigEndian.AppendUint32(r.b, 1)
	}
	for i := range n {
		element(i)
	}
	binary.BigEndian.PutUint32(r.b[at:], uint32(len(r.b)-at-4))
}

func (r *rows) texts(v []string) { r.array(25, len(v), func(i int) { r.text(v[i]) }) }
func (r *rows) uuidArray(v []conversation.UUID) {
	r.array(2950, len(v), func(i int) { r.uuid(v[i]) })
}
func (r *rows) float8s(v []float64) { r.array(701, len(v), func(i int) { r.float8(v[i]) }) }

// copy sends the rows and empties the buffer.
func (r *rows) copy(ctx context.Context, tx pgx.Tx, sql string) error {
	if r.n == 0 {
		return nil
	}
	r.b = binary.BigEndian.AppendUint16(r.b, 0xffff)
	_, err := tx.Conn().PgConn().CopyFrom(ctx, failpoint.Through(failpoint.Copying, bytes.NewReader(r.b)), sql)
	r.n = 0
	return err
}
