package figures

import (
	"time"

	"turnwise/metric"
)

// Grid is how the rollups divide time: slots of a length that fits the zone's offsets, and the zone's days.
type Grid struct {
	Zone *time.Location
	Slot time.Duration // an hour, a half or a quarter
}

// NewGrid returns the grid of a zone.
func NewGrid(zone *time.Location) Grid {
	g := Grid{zone, time.Hour}
	for at := time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2040; {
		_, end := at.In(zone).ZoneBounds()
		_, offset := at.In(zone).Zone()
		for g.Slot > 15*time.Minute && time.Duration(offset)*time.Second%g.Slot != 0 {
			g.Slot /= 2
		}
		if end.IsZero() {
			break
		}
		at = end
	}
	return g
}

// SlotOf returns the start of the slot in which t lies.
func (g Grid) SlotOf(t time.Time) time.Time { return t.Truncate(g.Slot) }

// DayOf returns the start of the day in which t lies.
func (g Grid) DayOf(t time.Time) time.Time { return metric.DayOf(t, g.Zone) }

// hourKey names an hour (UTC) of an assistant.
type hourKey struct {
	Hour      int64 // microseconds
	Assistant int32
}
