package report

import (
	"archive/zip"
	"cmp"
	"context"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"
	"golang.org/x/sync/errgroup"

	"turnwise/dashboard"
	"turnwise/metric"
)

// Document is a page of figures as it is handed out.
type Document struct {
	Head
	dashboard.Document
	Report string // that it is sent as; "" for none
	Link   string // address of the page

	pictures [][]byte // of the charts, once they are drawn; nil for one without anything to draw
}

// NewDocument makes a page of figures into a document for who asked for it; site is where the pages are.
func NewDocument(ctx context.Context, v dashboard.Viewer, page dashboard.Document, site string) (Document, error) {
	criteria, err := CriteriaWords(ctx, v.Pool, page.Filter)
	if err != nil {
		return Document{}, err
	}
	head := NewHead(page.Page, dashboard.FilterWords(page.Filter), criteria, v.User.Name, page.Filter, v.Now, v.Zone)
	return Document{Head: head, Document: page, Link: site + page.Address}, nil
}

// heading is the report's name or, where it is no report's, the page's.
func (d *Document) heading() string { return cmp.Or(d.Report, d.Title) }

// rangeLine says of what page and range the figures are.
func (d *Document) rangeLine() string {
	if d.Report != "" && d.Report != d.Title {
		return d.Title + " · " + d.Range
	}
	return d.Range
}

// filterLine says in words what the figures are narrowed to, "" for nothing.
func (d *Document) filterLine() string {
	for _, l := range d.Lines {
		if l.Name == "Filter" && l.Text != "none" {
			return l.Text
		}
	}
	return ""
}

// draw draws the charts, once for all forms of the document.
func (d *Document) draw(ctx context.Context) error {
	if d.pictures != nil {
		return nil
	}
	all := make([][]byte, len(d.Charts))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(1 + (runtime.GOMAXPROCS(0)-1)/4) // the rest is for those who wait for less
	for i := range d.Charts {
		if c := &d.Charts[i]; c.Drawn() {
			g.Go(func() (err error) {
				all[i], err = Picture(ctx, c, PictureWidth, pictureHeight(c))
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	d.pictures = all
	return nil
}

// cell is a value of a sheet.
type cell struct {
	text string // of words
	v    float64
	unit dashboard.Unit // "": nothing, or a day
	day  time.Time      // that it is; zero for anything else
}

// word is a cell of words.
func word(text string) cell { return cell{text: text, unit: dashboard.Words} }

// count is a cell of a number of things.
func count(n int64) cell { return cell{v: float64(n), unit: dashboard.Counts} }

// cellOf is a figure as a cell.
func cellOf(v dashboard.Value) cell {
	switch {
	case v.Unit == dashboard.Words:
		return word(v.Word)
	case v.None:
		return cell{}
	}
	return cell{v: v.V, unit: v.Unit}
}

// placesOf are the cells that the places of an axis have: of days, which sheets sort and calculate with, where each
// place is one; else of words.
func placesOf(x []dashboard.Tick) []cell {
	days, words := make([]cell, len(x)), make([]cell, len(x))
	all := true
	for i, t := range x {
		words[i] = word(t.Long)
		day, err := time.Parse(time.DateOnly, t.From)
		all = all && err == nil && t.Until == t.From
		days[i] = cell{day: day}
	}
	if all {
		return days
	}
	return words
}

// raw writes the cell as CSV has it: shares from 0 to 1, times in milliseconds.
func (c cell) raw() string {
	if !c.day.IsZero() {
		return c.day.Format(time.DateOnly)
	}
	switch c.unit {
	case "":
		return ""
	case dashboard.Words:
		return Safe(c.text)
	case dashboard.Counts:
		return strconv.FormatFloat(c.v, 'f', 0, 64)
	default:
		return strconv.FormatFloat(c.v, 'f', -1, 64)
	}
}

// sheet is a table of a document.
type sheet struct {
	name string
	head []string
	rows [][]cell
}

// sheets are all the figures of a document as tables. A rate stands with its base, n.
func (d *Document) sheets() []sheet {
	figures := sheet{name: "Figures", head: []string{"Figure", "Value", "Counts", "n", "How it is counted"}}
	for _, c := range d.Cards {
		row := []cell{word(c.Name), cellOf(c.Value), {}, {}, word(c.Formula)}
		if r := c.Rate; r != nil {
			row[2], row[3] = count(r.Of), count(r.Among)
		} else if c.Base.N > 0 { // what it is of is in the words
			row[3] = word(c.Base.Text)
		}
		figures.rows = append(figures.rows, row)
	}
	all := []sheet{figures}
	for _, c := range d.Charts {
		s := sheet{name: c.Title, head: []string{c.First}}
		based := make([]bool, len(c.Series))
		for i, x := range c.Series {
			s.head = append(s.head, x.Name)
			for _, v := range x.Values {
				based[i] = based[i] || v.Base != ""
			}
			if based[i] {
				s.head = append(s.head, x.Name+", n")
			}
		}
		for i, place := range placesOf(c.X) {
			row := []cell{place}
			for j, series := range c.Series {
				row = appendValue(row, series.Values[i], based[j])
			}
			s.rows = append(s.rows, row)
		}
		all = append(all, s)
	}
	for _, b := range d.Tables {
		s := sheet{name: b.Title, head: []string{b.Title}}
		based := make([]bool, len(b.Head))
		for i, name := range b.Head {
			s.head = append(s.head, name)
			for _, r := range b.Rows {
				based[i] = based[i] || i < len(r.Values) && r.Values[i].Base != ""
			}
			if based[i] {
				s.head = append(s.head, name+", n")
			}
		}
		for _, r := range b.Rows {
			row := []cell{word(r.Name)}
			for i, v := range r.Values {
				row = appendValue(row, v, based[i])
			}
			s.rows = append(s.rows, row)
		}
		all = append(all, s)
	}
	return all
}

func appendValue(row []cell, v dashboard.Value, based bool) []cell {
	row = append(row, cellOf(v))
	if !based {
		return row
	}
	if v.Base == "" {
		return append(row, cell{})
	}
	return append(row, count(v.Of))
}

// fileNames gives each sheet a name of its own that files and workbooks can have.
func fileNames(all []sheet, most int) []string {
	names, taken := make([]string, len(all)), map[string]bool{}
	for i, s := range all {
		name := strings.Map(func(r rune) rune {
			if strings.ContainsRune(`[]:*?/\'<>|"`, r) || r < ' ' {
				return -1
			}
			return r
		}, s.name)
		short := []rune(strings.TrimSpace(name))
		short = short[:min(len(short), most-3)]
		name = string(short)
		for n := 2; taken[strings.ToLower(name)]; n++ {
			name = string(short) + " " + strconv.Itoa(n)
		}
		taken[strings.ToLower(name)] = true
		names[i] = name
	}
	return names
}

// WriteCSVZip writes a document as a zip of CSV files, one for each table and a text that says what they hold.
func (d *Document) WriteCSVZip(w io.Writer, now time.Time) error {
	z := zip.NewWriter(w)
	create := func(name string) (io.Writer, error) {
		return z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: now})
	}
	about, err := create("About.txt")
	if err != nil {
		return err
	}
	if _, err := io.WriteString(about, d.about()); err != nil {
		return err
	}
	all := d.sheets()
	for i, name := range fileNames(all, 80) {
		f, err := create(name + ".csv")
		if err != nil {
			return err
		}
		if _, err := io.WriteString(f, "\ufeff"); err != nil {
			return err
		}
		if err := all[i].csv(f); err != nil {
			return err
		}
	}
	return z.Close()
}

func (d *Document) about() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\r\n\r\n", d.Title)
	for _, l := range d.Lines {
		fmt.Fprintf(&b, "%s: %s\r\n", l.Name, l.Text)
	}
	if d.Link != "" {
		fmt.Fprintf(&b, "Page: %s\r\n", d.Link)
	}
	b.WriteString(
		"\r\nShares are written from 0 to 1, times in milliseconds; n is the number that a share or a " +
			"percentile is of.\r\n",
	)
	return b.String()
}

// WriteXLSX writes a document as a workbook with a sheet for each table.
func (d *Document) WriteXLSX(w io.Writer) error {
	book := excelize.NewFile()
	defer book.Close()
	styles := map[dashboard.Unit]int{}
	for u, format := range map[dashboard.Unit]string{
		"":               "yyyy-mm-dd", // of days
		dashboard.Counts: "#,##0", dashboard.Decimals: "0.00", dashboard.Percents: "0.0%", dashboard.Times: "#,##0",
	} {
		style := excelize.Style{CustomNumFmt: text(format)}
		if u == "" {
			style.Alignment = &excelize.Alignment{Horizontal: "left"} // as the words that head rows elsewhere
		}
		id, err := book.NewStyle(&style)
		if err != nil {
			return err
		}
		styles[u] = id
	}
	head, err := book.NewStyle(&excelize.Style{Font: &excelize.Font{Bold: true}})
	if err != nil {
		return err
	}
	about := sheet{name: "About", head: []string{d.Title, ""}}
	for _, l := range d.Lines {
		about.rows = append(about.rows, []cell{word(l.Name), word(l.Text)})
	}
	if d.Link != "" {
		about.rows = append(about.rows, []cell{word("Page"), word(d.Link)})
	}
	about.rows = append(about.rows, []cell{word("Units"), word("times are in milliseconds")})
	all := append([]sheet{about}, d.sheets()...)
	for i, name := range fileNames(all, 31) {
		if i == 0 {
			err = book.SetSheetName("Sheet1", name)
		} else {
			_, err = book.NewSheet(name)
		}
		if err != nil {
			return err
		}
		if err := writeSheet(book, name, all[i], head, styles); err != nil {
			return err
		}
	}
	_, err = book.WriteTo(w)
	return err
}

// writeSheet writes a sheet: its head in bold, and numbers as their unit is written.
func writeSheet(book *excelize.File, name string, x sheet, head int, styles map[dashboard.Unit]int) error {
	out, err := book.NewStreamWriter(name)
	if err != nil {
		return err
	}
	if err := out.SetColWidth(1, 1, 28); err != nil {
		return err
	}
	if n := len(x.head); n > 1 {
		if err := out.SetColWidth(2, n, 16); err != nil {
			return err
		}
	}
	values := make([]any, len(x.head))
	for j, h := range x.head {
		values[j] = excelize.Cell{StyleID: head, Value: cut(h)}
	}
	if err := out.SetRow("A1", values); err != nil {
		return err
	}
	for n, row := range x.rows {
		values := make([]any, len(row))
		for j, c := range row {
			switch {
			case !c.day.IsZero():
				values[j] = excelize.Cell{StyleID: styles[c.unit], Value: c.day}
			case c.unit != dashboard.Words && c.unit != "":
				values[j] = excelize.Cell{StyleID: styles[c.unit], Value: c.v}
			case c.text != "":
				values[j] = cut(c.text)
			}
		}
		if err := out.SetRow("A"+strconv.Itoa(n+2), values); err != nil {
			return err
		}
	}
	return out.Flush()
}

// WriteAs writes a document as pdf, xlsx or csv (a zip of them) and returns the media type and how the file's name
// ends.
func (d *Document) WriteAs(ctx context.Context, w io.Writer, as string, now time.Time) (kind, end string, err error) {
	switch as {
	case "pdf":
		return PDF.ContentType(), ".pdf", d.WritePDF(ctx, w)
	case "xlsx":
		return XLSX.ContentType(), ".xlsx", d.WriteXLSX(w)
	case "csv":
		return "application/zip", "_csv.zip", d.WriteCSVZip(w, now)
	}
	return "", "", &metric.InputError{Field: "as", Msg: "is one of pdf, xlsx, csv"}
}
