package web

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/views"
)

// tags answers GET /tags.
func (s *server) tags(w http.ResponseWriter, r *http.Request) error {
	return s.tagsPage(w, r, http.StatusOK, "")
}

func (s *server) tagsPage(w http.ResponseWriter, r *http.Request, status int, trouble string) error {
	m := views.TagsModel{Page: s.page(r, "Tags", "Review"), Error: trouble}
	m.May, m.Lead = m.Rights[views.Review], m.Rights[views.Lead]
	all, err := queries.Tags(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	choices, err := queries.FilterChoices(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	m.Assistants = choices.Assistants
	for _, t := range all {
		f := metric.Filter{Range: metric.Range{Days: metric.MaxDays}, Work: metric.WorkFilter{Tags: []string{t.Name}}}
		if t.Assistant != "" {
			f.Assistants = []string{t.Assistant}
		}
		m.Tags = append(m.Tags, views.TagRow{ID: t.ID.String(), Name: t.Name, Assistant: t.Assistant, Description: t.Description, Color: t.Color, Revision: t.Revision, By: t.By, N: t.Conversations, Link: address(f)})
	}
	return s.render(w, r, status, views.TagsPage(m))
}

func parseTag(r *http.Request) (t queries.Tag, err error) {
	t.Name = strings.Join(strings.Fields(r.PostFormValue("name")), " ")
	t.Description = strings.TrimSpace(r.PostFormValue("description"))
	t.Assistant = r.PostFormValue("assistant")
	if err := named(t.Name, 60); err != nil {
		return t, err
	}
	if utf8.RuneCountInString(t.Description) > 300 || !utf8.ValidString(t.Description) || strings.ContainsRune(t.Description+t.Assistant, 0) || !utf8.ValidString(t.Assistant) || len(t.Assistant) > 1024 {
		return t, &metric.InputError{Field: "description", Msg: "has at most 300 characters"}
	}
	n, err := strconv.Atoi(r.PostFormValue("color"))
	if err != nil || n < 0 || n > 6 {
		return t, &metric.InputError{Field: "color", Msg: "is from 0 to 6"}
	}
	t.Color = int16(n)
	return t, nil
}

// addTag answers POST /tags.
func (s *server) addTag(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	t, err := parseTag(r)
	if err == nil {
		u, _ := userOf(r.Context())
		t.ID, t.CreatedAt = queries.NewID(), s.Now()
		if err = queries.AddTag(r.Context(), s.Pool, t, u.ID); errors.Is(err, queries.ErrConflict) {
			err = &metric.InputError{Field: "name", Msg: "is that of another tag"}
		}
	}
	return s.tagAnswer(w, r, err)
}

// tagAnswer shows the tags, with what was wrong.
func (s *server) tagAnswer(w http.ResponseWriter, r *http.Request, err error) error {
	var input *metric.InputError
	if errors.As(err, &input) {
		return s.tagsPage(w, r, http.StatusUnprocessableEntity, input.Error())
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/tags", http.StatusSeeOther)
	return nil
}

// changeTag answers POST /tags/{id}: renames, merges into another, deletes.
func (s *server) changeTag(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	id, err := conversation.ParseUUID(chi.URLParam(r, "id"))
	if err != nil {
		return queries.ErrNotFound
	}
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		switch r.PostFormValue("do") {
		case "merge":
			into, err := conversation.ParseUUID(r.PostFormValue("into"))
			if err != nil {
				return &metric.InputError{Field: "into", Msg: "is a tag to be chosen first"}
			}
			return queries.MergeTag(ctx, tx, id, into, s.Now())
		case "delete":
			return queries.DeleteTag(ctx, tx, id, s.Now())
		}
		t, err := parseTag(r)
		if err != nil {
			return err
		}
		t.ID = id
		n, err := strconv.Atoi(r.PostFormValue("revision"))
		if err != nil {
			return &metric.InputError{Field: "revision", Msg: "is missing"}
		}
		t.Revision = int32(n)
		return queries.ChangeTag(ctx, tx, t)
	})
	if errors.Is(err, queries.ErrConflict) {
		err = &metric.InputError{Field: "tag", Msg: "was changed meanwhile by somebody else, or the name is that of another tag: what stands here now is theirs; yours was “" + r.PostFormValue("name") + "”"}
	}
	return s.tagAnswer(w, r, err)
}

// reports answers GET /review/reports.
func (s *server) reports(w http.ResponseWriter, r *http.Request) error {
	page := s.page(r, "Review reports", "Review")
	if done, err := s.canonical(w, r); done || err != nil {
		return err
	}
	q, err := s.parseQuestion(r, true)
	if err != nil {
		return err
	}
	f := q.filter
	m := views.ReportsModel{Page: page}
	choices, err := queries.FilterChoices(r.Context(), s.Pool)
	if err != nil {
		return err
	}
	m.Bar = s.bar(q, page, choices)
	m.Bar.Compares = nil
	states := func(f metric.Filter, state string) string {
		if len(f.Work.States) > 0 && !slices.Contains(f.Work.States, state) {
			return "" // there are none
		}
		f.Work.States = []string{state}
		return address(f)
	}
	row := func(c queries.Coverage, f metric.Filter) views.CoverageRow {
		return views.CoverageRow{
			Name: c.Name, All: views.CountValue(c.All, address(f)), Partial: views.CountValue(c.Partial, states(f, metric.PartiallyReviewed)),
			Rate: views.RateValue(metric.Rate{Of: c.Reviewed, Among: c.All}, states(f, metric.Reviewed), address(f), "conversations"), Reviewed: views.CountValue(c.Reviewed, states(f, metric.Reviewed)),
		}
	}
	for _, by := range []string{"", "assistant", "channel", "outcome"} {
		all, err := queries.CoverageOf(r.Context(), s.Pool, f, by, page.Now, s.Zone)
		if err != nil {
			return err
		}
		if by == "" && len(all) > 0 {
			m.All = row(all[0], f)
		}
		if by == "" || len(all) == 0 {
			continue
		}
		t := views.CoverageTable{Name: by}
		for _, c := range all {
			to := f
			switch name := c.Name; {
			case by == "assistant":
				to.Assistants = []string{name}
			case by == "channel" && name == "":
				to.Channels, c.Name = []string{metric.NotTold}, metric.NotTold
			case by == "channel":
				to.Channels = []string{name}
			default:
				to.Outcomes, c.Name = []string{name}, views.OutcomeName(name)
			}
			t.Rows = append(t.Rows, row(c, to))
		}
		m.Tables = append(m.Tables, t)
	}
	people, err := queries.ReviewersOf(r.Context(), s.Pool, f, page.Now, s.Zone)
	if err != nil {
		return err
	}
	for _, p := range people {
		to, link := f, ""
		if id := p.UserID.String(); len(f.Work.Reviewers) == 0 || slices.Equal(f.Work.Reviewers, []string{id}) { // a filter holds one or another, not both
			to.Work.Reviewers = []string{id}
			link = address(to)
		}
		m.Reviewers = append(m.Reviewers, views.ReviewerReport{Name: p.Name, Reviewed: views.CountValue(p.Reviewed, link), Rating: p.Rating, Rated: p.Rated, MedianS: p.MedianS, Timed: p.Timed})
	}
	return s.tagReport(w, r, q, m)
}

// tagReport adds the tags over time.
func (s *server) tagReport(w http.ResponseWriter, r *http.Request, q question, m views.ReportsModel) error {
	from, until := q.filter.Range.Bounds(m.Now, s.Zone)
	used := q.bucket.In(from, until)
	spans := used.Spans(from, until, s.Zone)
	starts := make([]time.Time, len(spans))
	for i, x := range spans {
		starts[i] = x.From
	}
	tags, err := queries.TagsOverTime(r.Context(), s.Pool, q.filter, starts, m.Now, s.Zone)
	if err != nil {
		return err
	}
	c := views.Chart{ID: "tags", Title: "Tags", Quiet: "conversations that have a tag, by their start", Kind: views.Stacked, Unit: views.Counts, X: m.Ticks(spans, used), First: "Start", Wide: true}
	for i, t := range tags {
		color := "--c-other"
		if i < 6 {
			color = "--c-" + strconv.Itoa(i+1)
		}
		link := func(f metric.Filter) string {
			if len(f.Work.Tags) > 0 && !slices.Equal(f.Work.Tags, []string{t.Name}) {
				return "" // a filter holds one or another, not both
			}
			f.Work.Tags = []string{t.Name}
			return address(f)
		}
		series := views.Series{Name: t.Name, Color: color, Link: link(q.filter), N: t.Sum}
		for k, n := range t.Spans {
			series.Values = append(series.Values, views.CountValue(n, link(q.filter.Within(spans[k].From.In(s.Zone), spans[k].Until.In(s.Zone)))))
		}
		c.Series = append(c.Series, series)
	}
	m.Tags, m.AnyTags = c, len(tags) > 0
	return s.renderEither(w, r, views.ReportsPage(m), views.ReportsView(m))
}
