package mapped

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"time"
)

// digest is a short name of a value, the same for the same value.
func digest(v any, _ []any) any {
	w := writer{left: maxOutput}
	if w.value(v, 0); w.beyond {
		return errors.New("digest: too much")
	}
	sum := sha256.Sum256(w.out)
	return hex.EncodeToString(sum[:16])
}

// rfc3339 writes a time in seconds, to the millisecond; anything else stays as it is.
func rfc3339(v any, _ []any) any {
	var seconds float64
	switch x := v.(type) {
	case int:
		seconds = float64(x)
	case float64:
		seconds = x
	case *big.Int:
		seconds, _ = x.Float64()
	case json.Number: // of fromjson
		seconds, _ = x.Float64() // of what is none: infinite
	default:
		return v
	}
	const year0, year10000 = -62167219200, 253402300800
	if ms := math.Round(seconds * 1000); ms >= year0*1000 && ms < year10000*1000 {
		return time.UnixMilli(int64(ms)).UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return v // no time: whoever reads the event says so
}

// second cuts a time to whole seconds: a number, or a text of RFC 3339 in UTC; anything else stays as it is.
func second(v any, _ []any) any {
	const whole = len("2006-01-02T15:04:05")
	switch x := v.(type) {
	case float64:
		return math.Floor(x)
	case string:
		if len(x) > whole && (x[whole] == '.' || len(x) == whole+1) && x[len(x)-1] == 'Z' {
			return x[:whole] + ".000Z"
		}
	}
	return v
}

// event makes an event of a type, a time and data, and leaves out what is null.
func event(_ any, of []any) any {
	data, ok := of[2].(map[string]any)
	if !ok {
		return errors.New("event: the data is no object")
	}
	some := make(map[string]any, len(data))
	for k, v := range data {
		if v != nil {
			some[k] = v
		}
	}
	return map[string]any{"type": of[0], "time": rfc3339(of[1], nil), "data": some}
}
