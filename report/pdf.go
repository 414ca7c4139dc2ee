package report

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"turnwise/dashboard"
	"turnwise/metric"

	"codeberg.org/go-pdf/fpdf"
)

// Sizes of the page, A4, in millimetres.
const (
	pageWidth  = 210.0
	pageHeight = 297.0
	margin     = 14.0
	inner      = pageWidth - 2*margin
	foot       = 16.0 // where text ends, from below
)

// page lays a document out: a cursor that goes down and begins new pages.
type page struct {
	pdf   *fpdf.Fpdf
	known map[string]bool // fonts that were added
	title string
}

// rgb are the colours of text, of quiet text and of lines.
var (
	ink   = [3]int{0x15, 0x20, 0x1b}
	quiet = [3]int{0x61, 0x70, 0x6a}
	rule  = [3]int{0xd5, 0xdd, 0xd9}
)

// WritePDF writes a document as a PDF: figures, charts as pictures, tables.
func (d *Document) WritePDF(ctx context.Context, w io.Writer) error {
	p := newPDF(d.Title)
	p.line(d.heading(), bold(), 17, ink, 8)
	p.line(d.rangeLine(), regular(), 10, ink, 5)
	if filter := d.filterLine(); filter != "" {
		p.wrapped(filter, bold(), 10, ink, 5)
	}
	if d.Before != "" {
		p.line(d.Before, regular(), 10, quiet, 5)
	}
	for _, l := range d.Lines {
		if l.Name == "Success criteria" && l.Text != "none" || l.Name == "Made at" {
			p.wrapped(l.Name+": "+l.Text, regular(), 8.5, quiet, 4)
		}
	}
	if d.Link != "" {
		p.wrapped(d.Link, regular(), 8.5, quiet, 4)
	}
	p.pdf.Ln(3)
	if d.Empty {
		p.line("No conversation began in this range.", regular(), 11, ink, 8)
		return p.pdf.Output(w)
	}
	p.cards(d.Cards)
	if err := d.draw(ctx); err != nil {
		return err
	}
	for i := range d.Charts {
		p.chart(&d.Charts[i], d.pictures[i])
	}
	for _, b := range d.Tables {
		p.table(b)
	}
	return p.pdf.Output(w)
}

func newPDF(title string) *page {
	p := &page{pdf: fpdf.New("P", "mm", "A4", ""), known: map[string]bool{}, title: title}
	p.pdf.SetMargins(margin, margin, margin)
	p.pdf.SetAutoPageBreak(false, 0)
	p.pdf.SetTitle(title, true)
	p.pdf.SetCreator("Turnwise", true)
	p.pdf.AliasNbPages("{pages}")
	p.pdf.SetFooterFunc(p.footer)
	p.pdf.AddPage()
	return p
}

func (p *page) footer() {
	p.pdf.SetXY(margin, pageHeight-11)
	p.write(p.title, regular(), 8, quiet)
	text := fmt.Sprintf("page %d of {pages}", p.pdf.PageNo())
	p.pdf.SetX(pageWidth - margin - 24)
	p.write(text, regular(), 8, quiet)
}

// room begins a new page when less than that is left.
func (p *page) room(height float64) bool {
	if p.pdf.GetY()+height <= pageHeight-foot {
		return false
	}
	p.pdf.AddPage()
	return true
}

func (p *page) font(f *typeface, size float64) {
	if !p.known[f.name] {
		p.known[f.name] = true
		p.pdf.AddUTF8FontFromBytes(f.name, "", f.ttf)
	}
	p.pdf.SetFont(f.name, "", size)
}

// width returns how wide a text is, in millimetres.
func (p *page) width(text string, f *typeface, size float64) (w float64) {
	for _, r := range runs(basic(text), f) {
		p.font(r.font, size)
		w += p.pdf.GetStringWidth(r.text)
	}
	return w
}

// write writes a text at the cursor and moves behind it.
func (p *page) write(text string, f *typeface, size float64, color [3]int) {
	p.pdf.SetTextColor(color[0], color[1], color[2])
	for _, r := range runs(basic(text), f) {
		p.font(r.font, size)
		w := p.pdf.GetStringWidth(r.text)
		x, y := p.pdf.GetXY()
		p.pdf.Text(x, y+size*0.3, r.text) // points to millimetres, and down to the base line
		p.pdf.SetXY(x+w, y)
	}
}

// basic leaves out what fonts of PDFs cannot have: characters beyond the basic plane and controls.
func basic(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069:
			return -1
		case r > 0xffff:
			return '□'
		}
		return r
	}, s)
}

// line writes one line, cut off where the page ends.
func (p *page) line(text string, f *typeface, size float64, color [3]int, height float64) {
	p.room(height)
	p.pdf.SetX(margin)
	p.write(p.fit(text, f, size, inner), f, size, color)
	p.pdf.SetXY(margin, p.pdf.GetY()+height)
}

// fit cuts a text off at a width.
func (p *page) fit(text string, f *typeface, size, width float64) string {
	if p.width(text, f, size) <= width {
		return text
	}
	all := []rune(text)
	low, high := 0, len(all)
	for low < high {
		mid := (low + high + 1) / 2
		if p.width(string(all[:mid])+"…", f, size) <= width {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return string(all[:low]) + "…"
}

// wrapped writes a text over as many lines as it needs.
func (p *page) wrapped(text string, f *typeface, size float64, color [3]int, height float64) {
	var current string
	for _, word := range strings.Fields(text) {
		next := strings.TrimSpace(current + " " + word)
		if current != "" && p.width(next, f, size) > inner {
			p.line(current, f, size, color, height)
			next = word
		}
		current = next
	}
	p.line(current, f, size, color, height)
}

// cards are the headline figures, four beside each other.
func (p *page) cards(all []dashboard.Card) {
	const across, height = 4, 23.0
	width := inner / across
	for i := 0; i < len(all); i += across {
		p.room(height)
		y := p.pdf.GetY()
		p.rule(y)
		for j, c := range all[i:min(i+across, len(all))] {
			x := margin + float64(j)*width
			at := func(dy float64, text string, f *typeface, size float64, color [3]int) {
				p.pdf.SetXY(x, y+dy)
				p.write(p.fit(text, f, size, width-3), f, size, color)
			}
			at(4, c.Name, regular(), 8.5, quiet)
			at(9.5, c.Value.Text(), bold(), 14, ink)
			if text := strings.TrimSpace(c.Delta.Arrow + " " + c.Delta.Text + " " + c.Delta.From); text != "" {
				at(15.5, text, regular(), 7.5, quiet)
			}
			if c.Base.Text != "" {
				at(19, c.Base.Text, regular(), 7.5, quiet)
			}
		}
		p.pdf.SetXY(margin, y+height)
	}
	p.pdf.Ln(2)
}

func (p *page) rule(y float64) {
	p.pdf.SetDrawColor(rule[0], rule[1], rule[2])
	p.pdf.SetLineWidth(0.2)
	p.pdf.Line(margin, y, pageWidth-margin, y)
}

// chart is a chart with its heading, its legend and the picture.
func (p *page) chart(c *dashboard.Chart, picture []byte) {
	if picture == nil {
		return
	}
	width, height := PictureWidth, pictureHeight(c)
	tall := inner * float64(height) / float64(width)
	p.room(tall + 16)
	p.rule(p.pdf.GetY())
	p.pdf.SetY(p.pdf.GetY() + 4.5)
	p.pdf.SetX(margin)
	p.write(c.Title, bold(), 10, ink)
	p.write("   "+c.Quiet, regular(), 8.5, quiet)
	p.pdf.SetXY(margin, p.pdf.GetY()+5)
	p.legend(c)
	p.pdf.RegisterImageOptionsReader(c.ID, fpdf.ImageOptions{ImageType: "PNG"}, bytes.NewReader(picture))
	p.pdf.ImageOptions(c.ID, margin, p.pdf.GetY(), inner, tall, false, fpdf.ImageOptions{ImageType: "PNG"}, 0, "")
	p.pdf.SetXY(margin, p.pdf.GetY()+tall+2)
	if c.Foot != "" {
		p.line(c.Foot, regular(), 7.5, quiet, 4)
	}
	p.pdf.Ln(2)
}

// legend names the colours of stacked bars; lines have their names beside them.
func (p *page) legend(c *dashboard.Chart) {
	if c.Kind != dashboard.Stacked || len(c.Series) < 2 {
		return
	}
	p.pdf.SetX(margin)
	for _, s := range c.Series {
		text := strings.TrimSpace(s.Name + " " + s.Share)
		if p.pdf.GetX()+p.width(text, regular(), 8)+10 > pageWidth-margin {
			p.pdf.SetXY(margin, p.pdf.GetY()+4)
		}
		r, g, b := colorOf(s.Color)
		x, y := p.pdf.GetXY()
		p.pdf.SetFillColor(r, g, b)
		p.pdf.Rect(x, y, 2.4, 2.4, "F")
		p.pdf.SetX(x + 3.6)
		p.write(text, regular(), 8, ink)
		p.pdf.SetX(p.pdf.GetX() + 4)
	}
	p.pdf.SetXY(margin, p.pdf.GetY()+4.5)
}

// table is a table whose head stands on every page that it reaches.
func (p *page) table(b dashboard.Breakdown) {
	if len(b.Rows) == 0 {
		return
	}
	const height, above = 5.2, 3.2 // of a row, and of a head's first line where it has two
	first, widths := p.columns(b)
	lines := make([][2]string, len(b.Head))
	tall := height
	for i, h := range b.Head {
		if lines[i] = [2]string{"", h}; p.width(h, bold(), 7.5) > widths[i]-columnGap {
			if at := strings.IndexByte(h, ' '); at > 0 {
				lines[i], tall = [2]string{h[:at], h[at+1:]}, height+above
			}
		}
	}
	head := func() {
		top := p.pdf.GetY()
		p.rule(top)
		y := top + 1.2 + tall - height
		p.pdf.SetXY(margin, y)
		p.write(p.fit(b.Title, bold(), 8, first-2), bold(), 8, quiet)
		x := margin + first
		for i, l := range lines {
			x += widths[i]
			p.right(l[0], bold(), 7.5, quiet, x, widths[i]-columnGap, y-above)
			p.right(l[1], bold(), 7.5, quiet, x, widths[i]-columnGap, y)
		}
		p.pdf.SetXY(margin, top+tall)
	}
	p.room(height*4 + 4)
	head()
	for _, r := range b.Rows {
		if p.room(height) {
			head()
		}
		top := p.pdf.GetY()
		p.rule(top)
		y := top + 1.1 // the text stands between this rule and the next
		p.pdf.SetXY(margin, y)
		name := metric.NameOf(r.Name)
		p.write(p.fit(name, regular(), 8.5, first-2), regular(), 8.5, ink)
		x := margin + first
		for i, v := range r.Values {
			color := ink
			if v.None || v.Few {
				color = quiet
			}
			if i < len(widths) {
				x += widths[i]
				p.right(v.Text(), regular(), 8.5, color, x, widths[i]-columnGap, y)
			}
		}
		p.pdf.SetXY(margin, top+height)
	}
	p.pdf.Ln(5)
}

// columnGap stands before each column but the first; leastFirst is what the first has at least.
const (
	columnGap  = 2.5
	leastFirst = 38
	mostColumn = 60
)

// columns are as wide as what stands in them, as far as there is room; the widest are cut first.
func (p *page) columns(b dashboard.Breakdown) (first float64, widths []float64) {
	widths = make([]float64, len(b.Head))
	sum := 0.0
	for i, h := range b.Head {
		for word := range strings.FieldsSeq(h) {
			widths[i] = max(widths[i], p.width(word, bold(), 7.5))
		}
		for _, r := range b.Rows[:min(len(b.Rows), 200)] {
			if i < len(r.Values) {
				widths[i] = max(widths[i], p.width(r.Values[i].Text(), regular(), 8.5))
			}
		}
		widths[i] = min(widths[i], mostColumn) + columnGap + 0.5
		sum += widths[i]
	}
	for sum > inner-leastFirst && len(widths) > 0 {
		widest := 0
		for i, w := range widths {
			if w > widths[widest] {
				widest = i
			}
		}
		widths[widest]--
		sum--
	}
	return inner - sum, widths
}

// right writes a text that ends at x.
func (p *page) right(text string, f *typeface, size float64, color [3]int, x, width, y float64) {
	text = p.fit(text, f, size, width)
	p.pdf.SetXY(x-p.width(text, f, size), y)
	p.write(text, f, size, color)
}

func colorOf(token string) (r, g, b int) {
	v, err := strconv.ParseUint(strings.TrimPrefix(lightColor(token), "#"), 16, 32)
	if err != nil {
		return 0x87, 0x94, 0x8e
	}
	return int(v >> 16), int(v >> 8 & 0xff), int(v & 0xff)
}
