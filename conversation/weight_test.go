package conversation

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// TestWeight holds that what a stack takes does not depend on how its weight is known: carried along from patch to
// patch, or measured anew for each.
func TestWeight(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	deep := func(n int) any {
		var v any = "x"
		for range n {
			v = map[string]any{"k": v}
		}
		return v
	}
	var taken, refused int
	for range 300 {
		var carried, anew Stack
		var at weight
		for i := range 60 {
			frame := map[string]any{"flow_id": fmt.Sprint("f", i), "step_id": "s"}
			if r.IntN(3) == 0 {
				frame["more"] = strings.Repeat("text", r.IntN(8000))
			}
			if r.IntN(4) == 0 {
				frame["list"] = make([]any, r.IntN(300))
			}
			if r.IntN(6) == 0 {
				frame["deep"] = deep(44 + r.IntN(8))
			}
			var patch []PatchOp
			for range 1 + r.IntN(3) {
				n := len(carried)
				patch = append(patch, [...]PatchOp{
					{Op: "add", Path: "/0", Value: frame},
					{Op: "add", Path: "/-", Value: frame},
					{Op: "add", Path: fmt.Sprintf("/%d", n), Value: frame},
					{Op: "replace", Path: "/0", Value: frame},
					{Op: "remove", Path: "/0"},
					{Op: "add", Path: "/0/more", Value: deep(r.IntN(52))},
					{Op: "copy", From: "/0", Path: "/-"},
					{Op: "copy", From: "/0", Path: "/0/in"},
					{Op: "move", From: "/0", Path: "/-"},
					{Op: "add", Path: "", Value: []any{frame}},
				}[r.IntN(10)])
			}
			if !at.known() {
				at = weigh(carried)
			}
			a, heavy, errA := carried.apply(patch, at)
			b, _, errB := anew.apply(patch, weigh(anew))
			if (errA == nil) != (errB == nil) || errA == nil && !reflect.DeepEqual(a, b) {
				text, _ := json.Marshal(patch)
				t.Fatalf("carried: %v, anew: %v, by %.500s", errA, errB, text)
			}
			if errA != nil {
				refused++
				continue
			}
			taken++
			carried, anew, at = a, b, heavy
			if exact := weigh(carried); at.nodes < exact.nodes || at.bytes < exact.bytes || at.exact && at != exact ||
				exact.large() {
				t.Fatalf("carried %+v, is %+v", at, exact)
			}
		}
	}
	if taken < 1000 || refused < 1000 {
		t.Errorf("%d patches were taken, %d refused", taken, refused)
	}
}
