package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"turnwise/dashboard"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/report"
)

// attachMost is how large the files of a mail are at most; larger ones become links.
const attachMost = 10 << 20

// build makes all files of the run and stores them.
func (s *sending) build(ctx context.Context) error {
	if err := errors.Join(s.claim.Begin(ctx, s.pool), queries.ForgetRows(ctx, s.pool, s.run.ID)); err != nil {
		return err
	}
	b := &files{ctx: ctx, pool: s.pool, claim: s.claim}
	var rows int64
	subject := s.schedule.Name
	if s.run.TestFor != "" {
		subject = "Test: " + subject
	}
	if s.schedule.Incremental && s.run.TestFor == "" {
		if err := s.noteRows(ctx); err != nil {
			return err
		}
	}
	any, made := false, map[string]bool{}
	for i, g := range s.groups() {
		if i == 0 && len(g.Recipients) == 0 || made[g.Part()] {
			continue
		}
		made[g.Part()] = true
		query, err := g.Narrow(s.schedule.Query)
		if err != nil {
			return err
		}
		b.of, b.words = g.Part(), g.Words()
		var n int64
		if s.schedule.Page != "" {
			err = s.buildPage(ctx, b, subject, query)
		} else {
			n, err = s.buildRows(ctx, b, subject, query)
		}
		if errors.Is(err, errNothing) { // of this group
			b.leave()
			continue
		}
		if err != nil {
			return err
		}
		any = true
		rows += n
	}
	if !any {
		return errNothing
	}
	s.run.Files = b.all
	return s.claim.Made(ctx, s.pool, b.all, rows)
}

// groups are those of the run's recipients; the first are of none.
func (s *sending) groups() []queries.RecipientGroup {
	if s.schedule.Destination == "mail" && s.run.TestFor == "" {
		return append([]queries.RecipientGroup{{Recipients: s.schedule.Target.Recipients}}, s.schedule.Target.Groups...)
	}
	return []queries.RecipientGroup{{Recipients: s.recipients()}}
}

// partOf returns the part of the report that a recipient gets; false for somebody who gets nothing.
func (s *sending) partOf(recipient string) (string, bool) {
	for _, g := range s.groups() {
		if slices.Contains(g.Recipients, recipient) {
			part := g.Part()
			return part, slices.ContainsFunc(
				s.run.Files, func(f queries.ReportFile) bool { return f.Of == part && f.Role != "" },
			)
		}
	}
	return "", false
}

// buildPage makes a page of charts into the mail and the files that are wanted.
func (s *sending) buildPage(ctx context.Context, b *files, subject, query string) error {
	asked, err := url.ParseQuery(query)
	if err != nil {
		return err
	}
	v := dashboard.NewViewer(s.Pages, s.owner, s.zone, s.run.DueAt)
	page, err := v.Document(ctx, s.schedule.Page, asked)
	if err != nil {
		return err
	}
	d, err := report.NewDocument(ctx, v, page, s.URL)
	if err != nil {
		return err
	}
	if d.Empty && s.schedule.IfEmpty == "skip" && s.run.TestFor == "" {
		return errNothing
	}
	d.Report = s.schedule.Name
	for _, as := range s.schedule.Formats {
		if as == "html" || d.Empty && s.schedule.IfEmpty == "say" {
			continue
		}
		var out bytes.Buffer
		kind, end, err := d.WriteAs(ctx, &out, as, s.now())
		if err != nil {
			return err
		}
		if err := b.add(
			queries.ReportFile{Name: s.fileName(d.Name, b.words) + end, Kind: kind, Role: "attachment"}, out.Bytes(),
		); err != nil {
			return err
		}
	}
	if s.schedule.Destination == "chat" && s.run.TestFor == "" {
		return keepChatMessage(b, &d, s.schedule.Name)
	}
	if !s.byMail() {
		return nil
	}
	lines := s.links(b)
	if !slices.Contains(s.schedule.Formats, "html") {
		d.Cards, d.Charts, d.Tables = nil, nil, nil
		lines = append([]string{"The figures are in the files that come with this mail."}, lines...)
	}
	letter, err := d.Letter(ctx, subject+": "+d.Range, lines, s.mail.Line)
	if err != nil {
		return err
	}
	return b.letter(letter)
}

// buildRows makes conversations, or what they consist of, into the files that are wanted.
func (s *sending) buildRows(ctx context.Context, b *files, subject, query string) (rows int64, err error) {
	kept, err := url.ParseQuery(query)
	if err != nil {
		return 0, err
	}
	f, err := metric.ParseFilter(kept, s.zone)
	if err != nil {
		return 0, err
	}
	if f, err = seenBy(ctx, s.pool, f, s.owner); err != nil {
		return 0, err
	}
	now := s.run.DueAt // what was missed is made up as it would have been
	x := report.Wanted{Grain: queries.Grain(s.schedule.Grain), Filter: f, Title: s.schedule.Name, By: s.owner.Name}
	if s.schedule.Incremental && s.run.TestFor == "" {
		x.Only = &queries.Increment{Schedule: s.schedule.ID, Run: s.run.ID}
		x.Filter = s.increment(f)
	}
	for _, as := range s.schedule.Formats {
		file := queries.ReportFile{
			Name: s.fileName(s.schedule.Grain+"s", b.words) + "." + as, Role: "attachment",
			Kind: report.Format(as).ContentType(),
		}
		if as == "sentione" {
			file.Name, file.Kind = s.fileName("sentione", b.words)+".zip", "application/zip"
		}
		out := b.begin(file)
		if as == "sentione" {
			rows, err = report.WriteSentiOne(ctx, s.pool, out, x, now, s.zone)
		} else {
			x.Format = report.Format(as)
			rows, err = report.WriteRows(ctx, s.pool, out, x, now, s.zone, func(int64) {})
		}
		if err == nil {
			err = out.end()
		}
		if err != nil {
			return rows, err
		}
	}
	if rows == 0 && s.schedule.IfEmpty == "skip" && s.run.TestFor == "" {
		return 0, errNothing
	}
	if !s.byMail() {
		return rows, nil
	}
	return rows, s.rowsLetter(ctx, b, subject, f, rows)
}

// rowsLetter writes the mail with which rows come.
func (s *sending) rowsLetter(ctx context.Context, b *files, subject string, f metric.Filter, rows int64) error {
	lines := []string{report.RangeWords(f, s.run.DueAt, s.zone)}
	if words := dashboard.FilterWords(f); words != "none" {
		lines = append(lines, words)
	}
	lines = append(lines, fmt.Sprintf("%d rows, a row for each %s.", rows, s.schedule.Grain))
	if rows == 0 {
		lines[len(lines)-1] = "There is nothing new."
		if s.schedule.IfEmpty == "say" {
			b.leave() // without the empty files
		}
	}
	lines = append(lines, s.links(b)...)
	letter, err := report.Note(ctx, subject, s.schedule.Name, lines, "", s.mail.Line)
	if err != nil {
		return err
	}
	return b.letter(letter)
}

// notPlain is what names of files had better not have.
var notPlain = regexp.MustCompile(`[^\pL\pN]+`)

// increment widens a filter to what is new, which may be old: the range only says from when on, as of when the report
// was made.
func (s *sending) increment(f metric.Filter) metric.Filter {
	from, _ := f.Range.Bounds(s.schedule.CreatedAt, s.zone)
	f.Range = metric.Range{From: from, Until: s.run.DueAt.AddDate(0, 0, 1)}
	return f
}

// noteRows notes what the run sends of all that no run before has sent, whoever gets which part of it.
func (s *sending) noteRows(ctx context.Context) error {
	kept, err := url.ParseQuery(s.schedule.Query)
	if err != nil {
		return err
	}
	f, err := metric.ParseFilter(kept, s.zone)
	if err != nil {
		return err
	}
	if f, err = queries.LimitTo(ctx, s.pool, f, s.owner.Assistants); err != nil {
		return err
	}
	if f, err = queries.SearchAs(ctx, s.pool, f, s.owner.SeesPersonal()); err != nil {
		return err
	}
	return queries.NoteIncrement(
		ctx, s.pool, queries.Grain(s.schedule.Grain), s.increment(f),
		queries.Increment{Schedule: s.schedule.ID, Run: s.run.ID}, s.run.DueAt, s.zone,
	)
}

// fileName begins the name of a file: what it is, and of which time.
func (s *sending) fileName(what, part string) string {
	if part = strings.Trim(notPlain.ReplaceAllString(part, "-"), "-"); part != "" {
		what += "_" + part
	}
	// reports may meet in a folder
	return what + "_" + s.run.DueAt.In(s.zone).Format("2006-01-02_1504") + "_" + s.run.ID.String()[:8]
}

// links say where files can be fetched that are too large for a mail.
func (s *sending) links(b *files) (lines []string) {
	if sizeOf(b.all, b.of) <= attachMost {
		return nil
	}
	for _, f := range b.all {
		if f.Of != b.of || f.Role != "attachment" {
			continue
		}
		lines = append(
			lines,
			fmt.Sprintf(
				"%s (%d MB), for seven days: %s/files/%s/%s", f.Name, (f.Size+500_000)/1_000_000, s.URL, s.run.ID,
				f.Key,
			),
		)
	}
	return lines
}

// sizeOf returns how large the files of a part are.
func sizeOf(all []queries.ReportFile, of string) (n int64) {
	for _, f := range all {
		if f.Role == "attachment" && f.Of == of {
			n += f.Size
		}
	}
	return n
}
