package conversation

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"reflect"
	"slices"
	"strings"
)

// The state is stored for every sender, so its form is compact: the exported fields in their order, each
// zero value as one byte. It begins with a digest of the fields' names and types. After an upgrade that
// changed them, ErrStateVersion asks to fold the sender again from its events.

// ErrStateVersion says that a state was written by a version with other fields.
var ErrStateVersion = errors.New("the state was written by another version")

var errState = errors.New("the state is damaged")

var (
	stackType = reflect.TypeFor[Stack]()
	idsType   = reflect.TypeFor[[]KnownMessage]()
	exported  = map[reflect.Type][]int{} // the fields of structs that are written
	shape     = shapeOf(reflect.TypeFor[Projection]())
)

func shapeOf(t reflect.Type) uint32 {
	h := fnv.New32a()
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		fmt.Fprintf(h, "%s;", t.String())
		switch {
		case t == stackType:
		case t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice:
			walk(t.Elem())
		case t.Kind() == reflect.Struct:
			var fields []int
			for f := range t.Fields() {
				if f.IsExported() {
					fields = append(fields, f.Index[0])
					fmt.Fprintf(h, "%s:", f.Name)
					walk(f.Type)
				}
			}
			exported[t] = fields
		}
	}
	walk(t)
	return h.Sum32()
}

// Marshal writes the projection for the store.
func (p *Projection) Marshal() []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 256), shape)
	return encode(b, reflect.ValueOf(p).Elem())
}

// ForgetWords takes out what was said in the current conversation, of which retention removed as much. The bodies of
// its events are gone from the store, so those of further ones begin a new bundle.
func (p *Projection) ForgetWords(removed int16) {
	if c := p.Current; c != nil {
		c.FirstText, c.BundleLen, c.Provisional, c.Checkpoint, c.Fields = "", BundleSize, false, nil, nil
		c.Removed, c.Resumed = removed, false
	}
	p.Stack.forget()
	p.BeforeReset.forget()
}

// ForgetTold takes out what was told of the user until a time.
func (p *Projection) ForgetTold(until int64) {
	old := func(x Field) bool { return x.At <= until }
	p.Traits = slices.DeleteFunc(slices.Clone(p.Traits), old)
}

// ToldBefore is what was told of the user before a time, as a state for what came from then on.
func (p *Projection) ToldBefore(at int64) *Projection {
	later := func(x Field) bool { return x.At >= at }
	return &Projection{
		Traits: slices.DeleteFunc(slices.Clone(p.Traits), later), Aliases: slices.DeleteFunc(slices.Clone(p.Aliases), later),
	}
}

// ForgetStack takes values out of the dialogue stack with which a conversation began, as the one before it left them.
func (p *Projection) ForgetStack() {
	p.Stack.forget()
	p.BeforeReset.forget()
}

// Reword passes the first text of the current conversation through text, the dialogue stacks, as JSON, through stack,
// and what is known of conversation and user through field.
func (p *Projection) Reword(
	text func(of UUID, text string) string, stack func(json string) string, field func(name, json string) string,
) {
	of := [][]Field{p.Traits}
	if p.Current != nil {
		of = append(of, p.Current.Fields)
	}
	for _, fields := range of {
		for i := range fields {
			fields[i].Value = field(fields[i].Name, fields[i].Value)
		}
	}
	if c := p.Current; c != nil {
		c.FirstText = text(c.ID, c.FirstText)
		if before, err := UnmarshalProjection(c.Checkpoint); err == nil {
			before.Reword(text, stack, field)
			c.Checkpoint = before.Marshal()
		}
	}
	for _, s := range []*Stack{&p.Stack, &p.BeforeReset} {
		if len(*s) == 0 {
			continue
		}
		was, _ := json.Marshal(*s) // made of decoded JSON: cannot fail
		if now := stack(string(was)); now != string(was) {
			var next Stack
			dec := json.NewDecoder(strings.NewReader(now))
			dec.UseNumber()
			if dec.Decode(&next) == nil {
				*s = next
			}
		}
	}
}

// UnmarshalProjection reads what Marshal wrote, or returns ErrStateVersion.
func UnmarshalProjection(b []byte) (p *Projection, err error) {
	if len(b) < 4 || binary.BigEndian.Uint32(b) != shape {
		return nil, ErrStateVersion
	}
	defer func() {
		if recover() != nil {
			p, err = nil, errState
		}
	}()
	p = new(Projection)
	if rest := decode(b[4:], reflect.ValueOf(p).Elem()); len(rest) > 0 {
		return nil, errState
	}
	if c := p.Current; c != nil {
		c.stored = true
		for _, r := range c.Runs {
			r.stored = true
		}
		if c.Segment != nil {
			c.Segment.stored = true
		}
		for _, t := range []*Turn{c.Turn, c.Before} {
			if t != nil {
				t.stored = true
			}
		}
	}
	return p, nil
}

func encode(b []byte, v reflect.Value) []byte {
	switch k := v.Kind(); {
	case v.Type() == stackType:
		if v.Len() == 0 {
			return append(b, 0)
		}
		text, _ := json.Marshal(v.Interface()) // made of decoded JSON: cannot fail
		return append(binary.AppendUvarint(b, uint64(len(text))), text...)
	case v.CanInt():
		return binary.AppendVarint(b, v.Int())
	case k == reflect.Bool:
		if v.Bool() {
			return append(b, 1)
		}
		return append(b, 0)
	case k == reflect.Float64:
		if v.Float() == 0 {
			return append(b, 0)
		}
		return binary.BigEndian.AppendUint64(append(b, 1), math.Float64bits(v.Float()))
	case k == reflect.String:
		return append(binary.AppendUvarint(b, uint64(v.Len())), v.String()...)
	case k == reflect.Array:
		for i := range v.Len() {
			b = append(b, byte(v.Index(i).Uint()))
		}
		return b
	case k == reflect.Pointer:
		if v.IsNil() {
			return append(b, 0)
		}
		return encode(append(b, 1), v.Elem())
	case k == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		return append(binary.AppendUvarint(b, uint64(v.Len())), v.Bytes()...)
	case k == reflect.Slice && v.Type() == idsType: // there are many
		ids := *v.Addr().Interface().(*[]KnownMessage)
		b = binary.AppendUvarint(b, uint64(len(ids)))
		for _, x := range ids {
			b = binary.AppendVarint(binary.AppendVarint(b, x.Digest), x.At)
		}
		return b
	case k == reflect.Slice:
		b = binary.AppendUvarint(b, uint64(v.Len()))
		for i := range v.Len() {
			b = encode(b, v.Index(i))
		}
		return b
	case k == reflect.Struct:
		for _, i := range exported[v.Type()] {
			b = encode(b, v.Field(i))
		}
		return b
	}
	panic("conversation: state with a field of kind " + v.Kind().String())
}

func decode(b []byte, v reflect.Value) []byte {
	switch k := v.Kind(); {
	case v.Type() == stackType:
		n, b := sizeOf(b)
		if n > 0 {
			dec := json.NewDecoder(bytes.NewReader(b[:n]))
			dec.UseNumber()
			if err := dec.Decode(v.Addr().Interface()); err != nil {
				panic(err)
			}
		}
		return b[n:]
	case v.CanInt():
		n, w := binary.Varint(b)
		if w <= 0 {
			panic(errState)
		}
		v.SetInt(n)
		return b[w:]
	case k == reflect.Bool:
		v.SetBool(b[0] == 1)
		return b[1:]
	case k == reflect.Float64:
		if b[0] == 0 {
			return b[1:]
		}
		v.SetFloat(math.Float64frombits(binary.BigEndian.Uint64(b[1:])))
		return b[9:]
	case k == reflect.String:
		n, b := sizeOf(b)
		v.SetString(string(b[:n]))
		return b[n:]
	case k == reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(uint64(b[i]))
		}
		return b[v.Len():]
	case k == reflect.Pointer:
		if b[0] == 0 {
			return b[1:]
		}
		v.Set(reflect.New(v.Type().Elem()))
		return decode(b[1:], v.Elem())
	case k == reflect.Slice:
		return decodeList(b, v)
	case k == reflect.Struct:
		for _, i := range exported[v.Type()] {
			b = decode(b, v.Field(i))
		}
		return b
	}
	panic(errState)
}

func decodeList(b []byte, v reflect.Value) []byte {
	n, b := sizeOf(b)
	if v.Type().Elem().Kind() == reflect.Uint8 {
		if n > 0 {
			v.SetBytes(bytes.Clone(b[:n]))
		}
		return b[n:]
	}
	if n > 0 {
		v.Set(reflect.MakeSlice(v.Type(), n, n))
	}
	for i := range n {
		b = decode(b, v.Index(i))
	}
	return b
}

// sizeOf reads how many bytes or elements follow, and returns what stands behind it.
func sizeOf(b []byte) (int, []byte) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)) {
		panic(errState)
	}
	return int(n), b[w:]
}
