package metric

import (
	"net/url"
	"testing"
	"time"
)

// TestMoving has the bounds of ranges that move, at instants at which they have just moved, and what they are compared
// with.
func TestMoving(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, berlin) }
	for _, tt := range []struct {
		moving        Moving
		now           time.Time
		from, until   time.Time
		before, ended time.Time // what it is compared with
	}{
		{LastMonth, day(2026, 11, 29), day(2026, 10, 1), day(2026, 11, 1), day(2026, 9, 1), day(2026, 10, 1)},
		{LastMonth, day(2026, 12, 1), day(2026, 11, 1), day(2026, 12, 1), day(2026, 10, 1), day(2026, 11, 1)},
		{
			LastMonth, day(2026, 12, 1).Add(-time.Second), day(2026, 10, 1), day(2026, 11, 1), day(2026, 9, 1),
			day(2026, 10, 1),
		},
		{LastMonth, day(2026, 1, 5), day(2025, 12, 1), day(2026, 1, 1), day(2025, 11, 1), day(2025, 12, 1)},
		{
			ThisMonth, day(2026, 3, 31).Add(9 * time.Hour), day(2026, 3, 1), day(2026, 4, 1), day(2026, 2, 1),
			day(2026, 3, 1),
		},
		{
			ThisMonth, day(2026, 11, 10).Add(9 * time.Hour), day(2026, 11, 1), day(2026, 12, 1), day(2026, 10, 1),
			day(2026, 10, 10).Add(9 * time.Hour),
		},
		// a Monday
		{LastWeek, day(2026, 11, 30), day(2026, 11, 23), day(2026, 11, 30), day(2026, 11, 16), day(2026, 11, 23)},
		{LastWeek, day(2026, 11, 29), day(2026, 11, 16), day(2026, 11, 23), day(2026, 11, 9), day(2026, 11, 16)},
		// clocks were changed the day before
		{
			ThisWeek, day(2026, 10, 26).Add(8 * time.Hour), day(2026, 10, 26), day(2026, 11, 2), day(2026, 10, 19),
			day(2026, 10, 19).Add(8 * time.Hour),
		},
		{Yesterday, day(2026, 3, 30), day(2026, 3, 29), day(2026, 3, 30), day(2026, 3, 28), day(2026, 3, 29)},
		{LastYear, day(2026, 1, 1), day(2025, 1, 1), day(2026, 1, 1), day(2024, 1, 1), day(2025, 1, 1)},
	} {
		f, err := ParseFilter(url.Values{"range": {string(tt.moving)}}, berlin)
		if err != nil {
			t.Fatal(err)
		}
		from, until := f.Range.Bounds(tt.now, berlin)
		if !from.Equal(tt.from) || !until.Equal(tt.until) {
			t.Errorf("%s at %s: %s to %s, want %s to %s", tt.moving, tt.now, from, until, tt.from, tt.until)
		}
		if b := WithPrevious.Of(f.Range, tt.now, berlin); !b.From.Equal(tt.before) || !b.Until.Equal(tt.ended) {
			t.Errorf(
				"%s at %s is compared with %s to %s, want %s to %s", tt.moving, tt.now, b.From, b.Until, tt.before,
				tt.ended,
			)
		}
		if q := f.Query().Encode(); q != "range="+string(tt.moving) {
			t.Errorf("%s is written as %q", tt.moving, q)
		}
		if s := f.Range.Shift(-1, tt.now, berlin); !s.From.Equal(tt.before) {
			t.Errorf("before %s comes %s", tt.moving, s.From)
		}
	}
	if _, err := ParseFilter(url.Values{"range": {"next-month"}}, berlin); err == nil {
		t.Error("a range that does not exist is read")
	}
	q, typed, err := Canonical(url.Values{"typed": {"last month"}, "channel": {"rest"}}, day(2026, 11, 29), berlin)
	if err != nil || !typed || q.Encode() != "channel=rest&range=last-month" {
		t.Errorf("last month, typed, is kept as %q, %v", q.Encode(), err)
	}
}
