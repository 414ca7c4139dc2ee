package report

import (
	"bytes"
	"regexp"
	"strconv"
	"testing"

	"turnwise/dashboard"
)

// TestTableRules holds that no line of a table runs through a text, on the first page and on those behind it.
func TestTableRules(t *testing.T) {
	t.Parallel()
	p := newPDF("Rules")
	p.pdf.SetCompression(false)
	b := dashboard.Breakdown{Title: "Assistant", Head: []string{"Conversations", "p95"}}
	for i := range 120 {
		b.Rows = append(b.Rows, dashboard.BreakdownRow{
			Name:   "gyroscope-" + strconv.Itoa(i),
			Values: []dashboard.Value{dashboard.Count(1234, ""), dashboard.Duration(20500, "", 1)},
		})
	}
	p.table(b)
	var out bytes.Buffer
	if err := p.pdf.Output(&out); err != nil {
		t.Fatal(err)
	}
	rules := regexp.MustCompile(`([\d.]+) ([\d.]+) m ([\d.]+) ([\d.]+) l S`)
	words := regexp.MustCompile(`BT ([\d.]+) ([\d.]+) Td`)
	size := regexp.MustCompile(`/F\S+ ([\d.]+) Tf`)
	number := func(b []byte) float64 {
		f, err := strconv.ParseFloat(string(b), 64)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	pages := bytes.Split(out.Bytes(), []byte("endstream"))
	checked := 0
	for _, page := range pages {
		var lines []float64
		for _, m := range rules.FindAllSubmatch(page, -1) {
			lines = append(lines, number(m[2]))
		}
		if len(lines) < 10 {
			continue
		}
		points := 8.5
		if m := size.FindSubmatch(page); m != nil {
			points = number(m[1])
		}
		for _, m := range words.FindAllSubmatch(page, -1) {
			base := number(m[2]) // upwards from the foot of the page
			for _, y := range lines {
				if y > base-0.25*points && y < base+0.75*points {
					t.Fatalf("a line at %.1f runs through a text whose base is at %.1f", y, base)
				}
			}
			checked++
		}
	}
	if checked < 300 {
		t.Fatalf("only %d texts were looked at", checked)
	}
}
