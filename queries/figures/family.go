package figures

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/metric"
	"turnwise/queries"
)

// family is one kind of figures. Of each cell it counts a part, which is stored packed, by the hour and by the day, and
// added up for an answer. A new kind is a file like intents.go and a line in families.
type family interface {
	number() int16          // in the tables rollup_*; never given to another kind
	asked(q *Question) bool // whether a question needs it
	empty() part

	// read adds a packed part to the answer, without unpacking what was not asked for. from is the start of what was
	// packed.
	read(r *reading, from time.Time, d Dimensions, packed []byte) error
}

// countsTables is a family that counts more than conversations tell.
type countsTables interface {
	// tables counts what belongs to the conversations of n; part returns the part of a conversation's cell.
	tables(ctx context.Context, n *counting, part func(queries.ConversationKey) part) error
}

// countsDays is a family of which a sum of hours cannot tell all of a day.
type countsDays interface {
	exact(ctx context.Context, tx pgx.Tx, g Grid, days []AssistantHour, found *cells) error
}

// keepsColumns is a family whose figures of days also stand in plain columns, for SQL.
type keepsColumns interface {
	daily(ctx context.Context, to *dailyRows) error
}

// part is what one family counted of the conversations of a cell.
type part interface {
	add(c *metric.ConversationFacts)            // counts a conversation
	merge(o part)                               // adds another part of the family, whose memory it may keep
	pack(from time.Time) []byte                 // empty when there is nothing to store
	unpack(from time.Time, packed []byte) error // adds what pack wrote
	answer(r *reading, at time.Time, of *cell)  // adds it to the answer
}

// families are all kinds of figures; a cell's parts stand in their order.
var families = []family{tallies{}, flowTallies{}, hourLatencies{}, intentTallies{}, visits{}, markerTallies{}}

// familyByNumber returns the place of a family in families; false for one of a newer version.
func familyByNumber(number int16) (int, bool) {
	for i, f := range families {
		if f.number() == number {
			return i, true
		}
	}
	return 0, false
}

// askedFor tells for each family whether the question needs it.
func (q *Question) askedFor() (asked []bool) {
	for _, f := range families {
		asked = append(asked, f.asked(q))
	}
	return asked
}

// allFamilies asks for each of them.
func allFamilies() (asked []bool) {
	for range families {
		asked = append(asked, true)
	}
	return asked
}

// onlyTallies asks for no other family.
func onlyTallies() (asked []bool) {
	for _, f := range families {
		asked = append(asked, f == family(tallies{}))
	}
	return asked
}

// familyNumbers are the numbers of those that are asked for, but for tallies, which stand in a column of their own.
func familyNumbers(asked []bool) (numbers []int16) {
	for i, f := range families {
		if asked[i] && f != family(tallies{}) {
			numbers = append(numbers, f.number())
		}
	}
	return numbers
}

// Dimensions are what the rollups can be narrowed by, as ids.
type Dimensions struct {
	Assistant, Environment, Channel int32
	Version                         int64
}

// cell is what was counted of the conversations that began in a span of time and have the same dimensions.
type cell struct {
	at time.Time // the span's start
	Dimensions
	parts []part // by family; nil where it was not asked for
}

// partOf returns a cell's part of the family that was asked for.
func partOf[P part](c *cell) (p P) {
	for _, one := range c.parts {
		if p, ok := one.(P); ok {
			return p
		}
	}
	return p
}

// cellKey names a cell.
type cellKey struct {
	at int64
	Dimensions
}

func (c *cell) key() cellKey { return cellKey{c.at.UnixMicro(), c.Dimensions} }

// cells gathers cells by their key.
type cells struct {
	all   []cell
	index map[cellKey]int
	asked []bool // by family
}

func newCells(asked []bool) *cells { return &cells{index: map[cellKey]int{}, asked: asked} }

// place returns the index of a cell, which is made where there is none.
func (c *cells) place(at time.Time, d Dimensions) int {
	k := cellKey{at.UnixMicro(), d}
	i, ok := c.index[k]
	if !ok {
		i = len(c.all)
		c.index[k] = i
		one := cell{at: at, Dimensions: d, parts: make([]part, len(families))}
		for j, f := range families {
			if c.asked[j] {
				one.parts[j] = f.empty()
			}
		}
		c.all = append(c.all, one)
	}
	return i
}

// at returns a cell, which is made where there is none.
func (c *cells) at(at time.Time, d Dimensions) *cell { return &c.all[c.place(at, d)] }

// packOthers packs a cell's parts but for the tally: of each the number of its family (2 bytes), a length (4 bytes) and
// as many bytes.
func (c *cell) packOthers() (b []byte) {
	for i, p := range c.parts {
		if _, ok := p.(*tally); ok || p == nil {
			continue
		}
		if packed := p.pack(c.at); len(packed) > 0 {
			b = binary.BigEndian.AppendUint16(b, uint16(families[i].number()))
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(packed))), packed...)
		}
	}
	return b
}

var errPacked = errors.New("packed figures are broken")

// eachOther calls each for what packOthers packed of the families that this version knows, with their places in
// families.
func eachOther(b []byte, each func(family int, packed []byte) error) error {
	const head = 2 + 4
	for len(b) > 0 {
		if len(b) < head {
			return errPacked
		}
		number, n := int16(binary.BigEndian.Uint16(b)), int(binary.BigEndian.Uint32(b[2:]))
		if b = b[head:]; n > len(b) {
			return errPacked
		}
		if i, ok := familyByNumber(number); ok {
			if err := each(i, b[:n]); err != nil {
				return err
			}
		}
		b = b[n:]
	}
	return nil
}
