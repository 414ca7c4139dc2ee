package demo_test

import (
	"testing"
	"time"

	"turnwise/conversation"
	"turnwise/demo"
	"turnwise/ingest/neutral"
	"turnwise/ingest/wire"
)

// TestDesk: every event of the desk fits, its types occur, none lies after the end, and the same seed gives the same.
func TestDesk(t *testing.T) {
	t.Parallel()
	until := time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)
	o := demo.Options{Conversations: 1500, Days: 20, Until: until, Seed: 3}
	g, again := demo.NewDesk(o), demo.NewDesk(o)
	d := neutral.NewDecoder()
	types := map[string]int{}
	for body, ok := g.Next(); ok; body, ok = g.Next() {
		e, rej := d.Decode(string(body), wire.Intake{Assistant: "demo"}, until)
		if rej != nil || e.Flags&conversation.FlagMisfit != 0 || e.At > until.UnixMicro() {
			t.Fatalf("%s: %v", body, rej)
		}
		types[e.Type]++
		if same, _ := again.Next(); string(same) != string(body) {
			t.Fatal("the same seed gives other events")
		}
	}
	for _, typ := range neutral.Types() {
		if types[typ] == 0 && typ != "conversation.updated" && typ != "turn" {
			t.Errorf("no %s", typ)
		}
	}
}
