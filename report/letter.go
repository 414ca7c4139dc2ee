package report

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"turnwise/dashboard"
	"turnwise/metric"
	"turnwise/static"
	"turnwise/views"
)

// Part is a part of a mail, or a file beside it.
type Part struct {
	Name string // of a file, or the id of a picture
	Kind string // media type
	Body []byte
}

// Letter is a document as a mail: text, HTML and the pictures in it.
type Letter struct {
	Subject  string
	Text     string
	HTML     []byte
	Pictures []Part
}

// Unsubscriber stands in letters where each recipient's own address goes.
const Unsubscriber = "https://unsubscribe.invalid/"

// mail is the document as a mail, with the pictures of its charts. lines are said at its beginning, brand at its end.
func (d *Document) mail(ctx context.Context, lines []string, brand string) (m views.Mail, pictures []Part, err error) {
	m = views.Mail{
		Title: d.heading(), Range: d.rangeLine(), Filter: d.filterLine(), Before: d.Before, Lines: lines,
		Empty: d.Empty, Link: d.Link, Brand: brand,
	}
	if d.Empty {
		return m, nil, nil
	}
	m.Cards, m.Tables = d.Cards, d.Tables
	if err := d.draw(ctx); err != nil {
		return m, nil, err
	}
	for i := range d.Charts {
		c := &d.Charts[i]
		if !c.Drawn() {
			continue
		}
		pictures = append(pictures, Part{c.ID + ".png", "image/png", d.pictures[i]})
		drawn := views.MailChart{Title: c.Title, Quiet: c.Quiet, CID: c.ID + ".png", Foot: c.Foot}
		if c.Kind == dashboard.Stacked {
			for _, s := range c.Series {
				drawn.Legend = append(drawn.Legend, views.MailKey{
					Name: s.Name, Share: s.Share, Color: static.LightColors()[s.Color],
				})
			}
		}
		m.Charts = append(m.Charts, drawn)
	}
	return m, pictures, nil
}

// Letter writes the document as a mail with the pictures of its charts. lines are said at its beginning, brand at its
// end.
func (d *Document) Letter(ctx context.Context, subject string, lines []string, brand string) (Letter, error) {
	m, pictures, err := d.mail(ctx, lines, brand)
	if err != nil {
		return Letter{Subject: subject}, err
	}
	m.Unsubscribe = Unsubscriber
	var b bytes.Buffer
	err = views.MailPage(m).Render(ctx, &b)
	return Letter{Subject: subject, Pictures: pictures, HTML: b.Bytes(), Text: plainText(m)}, err
}

// WriteHTML writes the document as a page that stands by itself, its pictures in it.
func (d *Document) WriteHTML(ctx context.Context, w io.Writer) error {
	m, pictures, err := d.mail(ctx, nil, "")
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := views.MailPage(m).Render(ctx, &b); err != nil {
		return err
	}
	page := b.String()
	for _, p := range pictures {
		page = strings.ReplaceAll(
			page, `src="cid:`+p.Name+`"`, `src="data:`+p.Kind+`;base64,`+base64.StdEncoding.EncodeToString(p.Body)+`"`,
		)
	}
	_, err = io.WriteString(w, page)
	return err
}

// Note is a letter without figures: that files come with it, or why none do.
func Note(ctx context.Context, subject, title string, lines []string, link, brand string) (Letter, error) {
	m := views.Mail{Title: title, Lines: lines, Link: link, Brand: brand, Unsubscribe: Unsubscriber}
	var b bytes.Buffer
	err := views.MailPage(m).Render(ctx, &b)
	return Letter{Subject: subject, HTML: b.Bytes(), Text: plainText(m)}, err
}

// plainText is the mail for programs that show no HTML.
func plainText(m views.Mail) string {
	var b strings.Builder
	line := func(parts ...string) {
		text := strings.TrimSpace(strings.Join(parts, " "))
		b.WriteString(text + "\r\n")
	}
	line(m.Title)
	for _, s := range append([]string{m.Range, m.Filter, m.Before}, m.Lines...) {
		if s != "" {
			line(s)
		}
	}
	if m.Empty {
		line()
		line("Nothing began in this range.")
	}
	if len(m.Cards) > 0 {
		line()
	}
	for _, c := range m.Cards {
		text := c.Name + ": " + c.Value.Text()
		if c.Base.Text != "" {
			text += " (" + c.Base.Text + ")"
		}
		if c.Delta.Text != "" {
			text += ", " + strings.TrimSpace(c.Delta.Arrow+" "+c.Delta.Text+" "+c.Delta.From)
		}
		line(text)
	}
	for _, t := range m.Tables {
		if len(t.Rows) > 0 {
			line()
			plainTable(t, line)
		}
	}
	line()
	if m.Link != "" {
		line(m.Link)
	}
	if m.Brand != "" {
		line(m.Brand)
	}
	if m.Unsubscribe != "" {
		line("Unsubscribe: " + m.Unsubscribe)
	}
	return b.String()
}

// plainTable writes the first rows of a table.
func plainTable(t dashboard.Breakdown, line func(parts ...string)) {
	line(t.Title + ": " + strings.Join(t.Head, ", "))
	for _, r := range t.Rows[:min(len(t.Rows), 15)] {
		values := make([]string, len(r.Values))
		for i, v := range r.Values {
			values[i] = v.Text()
		}
		name := metric.NameOf(r.Name)
		line("- " + name + ": " + strings.Join(values, ", "))
	}
	if n := len(t.Rows) - 15; n > 0 {
		line(fmt.Sprintf("- and %d more", n))
	}
}
