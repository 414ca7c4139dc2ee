package ingest_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"turnwise/ingest"
	"turnwise/mask"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// TestMaskedRepeats holds that what the assistant repeats of a value that is masked by its slot's name is masked too,
// in any order of arrival, and that what it said before is not.
func TestMaskedRepeats(t *testing.T) {
	t.Parallel()
	event := func(at, typ, more string) string {
		return `{"sender_id":"s","event":"` + typ + `","timestamp":17853000` + at +
			`,"metadata":{"assistant_id":"bot"}` + more + `}`
	}
	bodies := []string{
		event("01", "bot", `,"text":"Welcome to Moos & Moos","data":{}`),
		event(
			"02", "user",
			`,"message_id":"m1","text":"my name is Lena Moos","parse_data":{"commands":[{"command":"set slot","name":"person","value":"Lena Moos"}]}`,
		),
		event("03", "slot", `,"name":"person","value":"Lena Moos"`),
		event(
			"04", "bot",
			`,"text":"Thanks, LENA MOOS!","data":{"buttons":[{"title":"I am not Lena Moos","payload":"/deny"}]}`,
		),
		event("05", "user", `,"message_id":"m2","text":"/SetSlots(file_no=AB-77)","parse_data":{}`),
		event("06", "bot", `,"text":"Your file ab 77 is open.","data":{}`),
		event("07", "bot", `,"text":"Good bye, dear Lena.","data":{}`),
	}
	want := ""
	for name, order := range map[string]func([]string) [][]string{
		"in order":        func(b []string) [][]string { return [][]string{b} },
		"one by one":      func(b []string) (all [][]string) { return slices.Collect(slices.Chunk(b, 1)) },
		"backwards":       func(b []string) (all [][]string) { slices.Reverse(b); return slices.Collect(slices.Chunk(b, 1)) },
		"with copies":     func(b []string) [][]string { return [][]string{b, b[3:], b[:4]} },
		"the reply first": func(b []string) [][]string { return [][]string{{b[3], b[5]}, b} },
	} {
		pool := dbtest.Pool(t)
		keepMasking(t, pool, queries.Masking{Rules: mask.Rules{Slots: []string{"person", "file_no"}}, OnArrival: true})
		w := ingest.NewWriter(pool, quiet)
		src := openSource(t, w)
		for _, some := range order(slices.Clone(bodies)) {
			stream(t, w, src, some, ingest.Options{})
		}
		got := strings.Join(texts(t, pool, `select text from messages order by seq`), "|")
		if expected := "Welcome to Moos & Moos|my name is [person]|Thanks, [person]!|/SetSlots(file_no=[file_no])|Your file [file_no] is open.|Good bye, dear Lena."; got != expected {
			t.Errorf("%s: said %q", name, got)
		}
		for _, word := range []string{"LENA MOOS", "Lena Moos", "AB-77", "ab 77"} {
			if in := dbtest.Holding(t, pool, word); len(in) > 0 {
				t.Errorf("%s: %q stands in %v", name, word, in)
			}
		}
		if err := w.Rebuild(context.Background(), "", func(int) {}); err != nil {
			t.Fatal(err)
		}
		dump := dbtest.Dump(t, pool)
		if want == "" {
			want = dump
		}
		if dump != want {
			t.Errorf("%s: the tables differ:\n%s", name, firstDifference(want, dump))
		}
	}
}
