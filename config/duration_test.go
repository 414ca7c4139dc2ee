package config

import (
	"testing"

	"github.com/goccy/go-yaml"
)

// TestDuration: SentiOne's words for retention mean ours.
func TestDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int32{
		"duration: 365d": 365, "duration: 365 days": 365, "duration: 1 day": 1, "duration: 8760h": 365, "duration: 25 hours": 2,
		"duration: 24h": 1, "duration: 0": 0, "duration: 0d": 0, "conversations: 7": 7, "texts: 3": 0,
		"duration: 365d\nlimit-per-run: 100000": 365,
		"duration: 365":                         -1, "duration: 1y": -1, "duration: -1d": -1, "duration: 9d\nconversations: 9": -1,
		"limit-per-run: 5\nmost: 6": -1, "duratoin: 9d": -1,
	} {
		var r Retention
		err := yaml.UnmarshalWithOptions([]byte(text), &r, yaml.Strict())
		got := int32(0)
		if r.Conversations != nil {
			got = *r.Conversations
		}
		if err != nil {
			got = -1
		}
		if got != want || text == "duration: 365d\nlimit-per-run: 100000" && r.Most != 100000 {
			t.Errorf("%q: %d days, most %d, %v; want %d", text, got, r.Most, err, want)
		}
	}
}
