package schedule

import (
	"testing"
	"time"
)

func TestBusiest(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 10, 20, 9, 0, 0, 0, zone) // the clocks change within the weeks
	for text, want := range map[string]struct {
		runs  int
		least time.Duration
	}{
		"* * * * *":          {1440, time.Minute},
		"0,15 * * * *":       {48, 15 * time.Minute},
		"daily 6:00":         {1, 24 * time.Hour},
		"50 23 * * 1":        {1, 7 * 24 * time.Hour},
		"59 23,0 * * *":      {2, time.Hour},
		"monthly on 1 08:00": {1, 35 * 24 * time.Hour},
		"30 2 * * *":         {1, 24 * time.Hour},
	} {
		s, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if runs, least := Busiest(s, now, zone); runs != want.runs || least != want.least {
			t.Errorf("%s: %d runs, %v; want %+v", text, runs, least, want)
		}
	}
}
