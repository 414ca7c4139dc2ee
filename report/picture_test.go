package report_test

import (
	"bytes"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"turnwise/dashboard"
	"turnwise/report"
)

func chart(kind dashboard.ChartKind, unit dashboard.Unit) *dashboard.Chart {
	c := &dashboard.Chart{
		ID: "c", Kind: kind, Unit: unit, Main: "One", Wide: true,
		Markers: []dashboard.Marker{{At: 9, Name: "release 4.2"}},
	}
	for i := range 30 {
		c.X = append(c.X, dashboard.Tick{Label: "Day", Long: "Day", Unfinished: i == 29})
	}
	for n, name := range []string{"One", "Zürich 東京"} {
		s := dashboard.Series{Name: name, Color: []string{"--c-1", "--c-open"}[n]}
		for i := range 30 {
			v := dashboard.Value{V: float64(20 + (i*7+n*11)%30), None: i == 12, Of: 10, Few: i == 15}
			if unit == dashboard.Percents {
				v.V /= 60
			}
			s.Values = append(s.Values, v)
		}
		c.Series = append(c.Series, s)
	}
	return c
}

func TestPictures(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: long; it runs without the race detector")
	}
	t.Parallel()
	dir := os.Getenv("TURNWISE_SCREENSHOTS")
	for name, c := range map[string]*dashboard.Chart{
		"stack": chart(dashboard.Stacked, dashboard.Counts), "lines": chart(dashboard.Lines, dashboard.Percents),
		"heat": chart(dashboard.Heat, dashboard.Counts),
	} {
		b, err := report.Picture(t.Context(), c, 640, 220)
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(b))
		if err != nil || img.Bounds().Dx() != 1280 || img.Bounds().Dy() != 440 {
			t.Fatalf("%s: %v, %v", name, img.Bounds(), err)
		}
		seen := map[color.Color]int{}
		for y := range 440 {
			for x := range 1280 {
				seen[color.NRGBAModel.Convert(img.At(x, y))]++
			}
		}
		// The page's own colours are there, as areas or as lines, and so are texts.
		want := map[string]map[color.NRGBA]int{
			"stack": {
				{0x03, 0x5d, 0xb0, 0xff}: 50_000, {0x87, 0x94, 0x8e, 0xff}: 500,
			}, "lines": {{0x03, 0x5d, 0xb0, 0xff}: 2000}, "heat": {{0x0f, 0x5f, 0x50, 0xff}: 2000},
		}
		for c, n := range want[name] {
			if seen[c] < n {
				t.Errorf("%s: %d pixels are %v, want at least %d", name, seen[c], c, n)
			}
		}
		if n := seen[color.NRGBA{0x61, 0x70, 0x6a, 0xff}]; n < 300 {
			t.Errorf("%s: %d pixels of text", name, n)
		}
		if dir != "" {
			if err := os.WriteFile(filepath.Join(dir, "picture-"+name+".png"), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
