package rasa

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"turnwise/conversation"
)

// Patches are read as encoding/json reads them, but for keys in another case, and what is broken is none.
func TestPatch(t *testing.T) {
	for _, text := range []string{
		`[]`,
		`[{"op": "add", "path": "/0", "value": {"frame_id": "A", "flow_id": "transfer", "step_id": "START", "n": 12345678901234567890, "f": -1.5e3, "on": true, "off": false, "none": null, "list": [1, [], {}]}}]`,
		`[{"op":"replace","path":"/0/step_id","value":"3_\u00fc\n\ud83d\ude00"},{"op":"remove","path":"/1"},{"op":"move","from":"/0","path":"/1"}]`,
		` [ {"op" : "test", "path": "", "value": []} ] `,
		`[{"op":"add","op":"remove","path":"/0"}]`,
	} {
		var want []conversation.PatchOp
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		if err := dec.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if got := patch(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%s\n got %#v\nwant %#v", text, got, want)
		}
	}
	if got := patch(`[{"Op": "add", "path": "/0"}]`); len(got) != 1 || got[0].Op != "" {
		t.Errorf("a key in another case was read: %#v", got)
	}
	deep := strings.Repeat("[", 600) + strings.Repeat("]", 600)
	many := "[" + strings.Repeat(
		`{"op":"remove","path":"/0"},`, conversation.MaxPatchOps,
	) + `{"op":"remove","path":"/0"}]`
	for _, text := range []string{
		``, `{}`, `null`, `[1]`, `[{"op": 1}]`, `[{"op":"add","value":NaN}]`, `[] x`, `[{"op":"add"}`,
		`[{"op":"add","value":` + deep + `}]`, many,
	} {
		if got := patch(text); got != nil {
			t.Errorf("%.40s: read as %#v", text, got)
		}
	}
}
