package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/mail"
	"net/textproto"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/jobs"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/report"
	"turnwise/views"
)

// NewDocuments returns what makes pages of charts into documents, for jobs, each as a user sees it.
func NewDocuments(cfg Config) jobs.Documents {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &server{Config: cfg, grid: queries.NewGrid(cfg.Zone)}
	return func(ctx context.Context, user queries.User, page, query string, at time.Time) (report.Document, error) {
		s := *s
		s.Now = func() time.Time { return at }
		r, err := http.NewRequestWithContext(context.WithValue(ctx, userKey{}, user), http.MethodGet, "/"+page+"?"+query, nil)
		if err != nil {
			return report.Document{}, err
		}
		return s.document(r, page)
	}
}

// MaySend tells whether a user may send reports.
func MaySend(u queries.User) bool { return rightsOf(u.Role)[views.TakeOut] }

// reportsPage answers GET /reports: what is sent by itself, and the files that were asked for.
func (s *server) reportsPage(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	u, _ := userOf(ctx)
	m := views.Sent{Page: s.page(r, "Reports", "Reports"), Admin: rightsOf(u.Role)[views.Administer]}
	of := &u.ID
	if m.Admin {
		of = nil
	}
	all, err := queries.Schedules(ctx, s.Pool, of)
	if err != nil {
		return err
	}
	for _, x := range all {
		row := scheduleRow(x)
		runs, err := queries.RunsOf(ctx, s.Pool, x.ID)
		if err != nil {
			return err
		}
		if len(runs) > 0 {
			last := s.runRow(runs[0], nil)
			row.Last = &last
		}
		m.Schedules = append(m.Schedules, row)
	}
	files, err := queries.Exports(ctx, s.Pool, of)
	if err != nil {
		return err
	}
	for _, e := range files {
		m.Exports = append(m.Exports, s.exportRow(e))
	}
	if m.HasMail, err = queries.HasMail(ctx, s.Pool); err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, views.SentPage(m))
}

func scheduleRow(x queries.Schedule) views.ScheduleRow {
	row := views.ScheduleRow{ID: x.ID.String(), Name: x.Name, Schedule: x.Schedule, By: x.By, NextAt: x.NextAt}
	if row.What = x.Grain + "s"; x.Page != "" {
		row.What = documentPages[x.Page].title
	}
	switch x.Destination {
	case "mail":
		row.To = strings.Join(x.Target.Recipients, ", ")
	case "http":
		row.To = x.Target.URL
	case "folder":
		row.To = "folder " + cmp.Or(x.Target.Folder, "/")
	case "s3":
		row.To = "s3://" + path.Join(x.Target.Bucket, x.Target.Prefix)
	}
	return row
}

func (s *server) runRow(r queries.ReportRun, all []queries.Delivery) views.RunRow {
	row := views.RunRow{ID: r.ID.String(), State: r.State, Error: r.Error, TestFor: r.TestFor, DueAt: r.DueAt, EndedAt: r.EndedAt, RetryAt: r.RetryAt, Rows: r.Rows}
	for i, f := range r.Files {
		if f.Role != "attachment" {
			continue
		}
		file := views.FileRow{Name: f.Name, Size: f.Size}
		if r.EndedAt == nil || s.Now().Sub(*r.EndedAt) < filesLast {
			file.Link = fmt.Sprintf("/files/%s/%d", r.ID, i)
		}
		row.Files = append(row.Files, file)
	}
	for _, d := range all {
		row.Deliveries = append(row.Deliveries, views.DeliveryRow{Recipient: d.Recipient, State: d.State, Error: d.Error, Attempts: d.Attempts, SentAt: d.SentAt, RetryAt: d.RetryAt})
	}
	return row
}

// scheduleByURL returns the schedule of the address, if it is the user's or the user is an admin.
func (s *server) scheduleByURL(r *http.Request, value string) (x queries.Schedule, err error) {
	id, err := conversation.ParseUUID(value)
	if err != nil {
		return x, queries.ErrNotFound
	}
	u, _ := userOf(r.Context())
	x, err = queries.ScheduleByID(r.Context(), s.Pool, id)
	if err == nil && x.UserID != u.ID && !rightsOf(u.Role)[views.Administer] {
		return x, queries.ErrNotFound
	}
	return x, err
}

// madeOf is where the page or list stands that a schedule is made of, and its filter in words.
func (s *server) madeOf(r *http.Request, pageName, query string) (list string, rule []string, err error) {
	kept, err := url.ParseQuery(query)
	if err != nil {
		return "", nil, &metric.InputError{Field: "query", Msg: "is no filter"}
	}
	f, err := metric.ParseFilter(kept, s.Zone)
	if err != nil {
		return "", nil, err
	}
	list, what := "/conversations?", "Conversations"
	if pageName != "" {
		of, ok := documentPages[pageName]
		if !ok {
			return "", nil, &metric.InputError{Field: "page", Msg: "is one of " + strings.Join(documentNames, ", ")}
		}
		list, what = "/"+pageName+"?", of.title
	}
	q := question{path: "/", filter: f, now: s.Now(), zone: s.Zone}
	words, dates := rangeWords(q, s.page(r, "", ""))
	rule = append(rule, what, cmp.Or(words, dates))
	if text := report.FilterWords(f); text != "none" {
		rule = append(rule, text)
	}
	return list + query, rule, nil
}

// schedule answers GET /reports/{id}: one schedule with its log.
func (s *server) schedule(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	x, err := s.scheduleByURL(r, chi.URLParam(r, "id"))
	if err != nil {
		return err
	}
	m := views.Schedule{Page: s.page(r, x.Name, "Reports"), ScheduleRow: scheduleRow(x), Zone: x.Zone, IfEmpty: x.IfEmpty, Incremental: x.Incremental}
	u, _ := userOf(ctx)
	m.Admin = rightsOf(u.Role)[views.Administer]
	m.Said = map[string]string{"kept": "It is kept.", "test": "A test is on its way to " + u.Email + ".", "now": "It is on its way."}[r.URL.Query().Get("said")]
	if m.List, _, err = s.madeOf(r, x.Page, x.Query); err != nil {
		return err
	}
	for _, f := range x.Formats {
		m.Formats = append(m.Formats, map[string]string{"html": "mail", "pdf": "PDF", "xlsx": "Excel", "csv": "CSV", "jsonl": "JSON Lines", "parquet": "Parquet", "sentione": "SentiOne's zip"}[f])
	}
	if x.NextAt != nil {
		if m.Next, err = nextRuns(x.Schedule, x.Zone, *x.NextAt, 3); err != nil {
			return err
		}
	}
	runs, err := queries.RunsOf(ctx, s.Pool, x.ID)
	if err != nil {
		return err
	}
	for _, run := range runs {
		all, err := queries.DeliveriesOf(ctx, s.Pool, run.ID)
		if err != nil {
			return err
		}
		m.Runs = append(m.Runs, s.runRow(run, all))
	}
	if m.Unsubscribed, err = queries.UnsubscribedOf(ctx, s.Pool, x.ID); err != nil {
		return err
	}
	if m.HasMail, err = queries.HasMail(ctx, s.Pool); err != nil {
		return err
	}
	return s.renderEither(w, r, views.SchedulePage(m), views.ScheduleRuns(m))
}

// nextRuns returns the next times of a schedule, the first of which is given.
func nextRuns(text, zoneName string, first time.Time, n int) ([]time.Time, error) {
	zone, err := time.LoadLocation(zoneName)
	if err != nil {
		return nil, &metric.InputError{Field: "zone", Msg: "is not known; write it as in Europe/Berlin"}
	}
	times, err := metric.ParseSchedule(text)
	if err != nil {
		return nil, err
	}
	all := []time.Time{first.In(zone)}
	for len(all) < n {
		all = append(all, times.Next(all[len(all)-1], zone).In(zone))
	}
	return all, nil
}

// nextOf answers GET /reports/next: when a schedule of a form would come due.
func (s *server) nextOf(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	text := ""
	if zone, err := time.LoadLocation(q.Get("zone")); err != nil {
		text = "The time zone is not known; write it as in Europe/Berlin."
	} else if times, err := metric.ParseSchedule(q.Get("schedule")); err != nil {
		if text = "Such as “Mondays 08:00”, “weekdays 7:30”, “first weekday of the month 07:30” or “0 8 * * mon”."; q.Get("schedule") != "" {
			text = "Not understood. " + text
		}
	} else {
		all, err := nextRuns(q.Get("schedule"), q.Get("zone"), times.Next(s.Now(), zone), 3)
		if err != nil {
			return err
		}
		for i, t := range all {
			all := []string{"Next: ", ", ", ", "}
			text += all[i] + t.Format("Mon 2 Jan 2006, 15:04 MST")
		}
	}
	return s.render(w, r, http.StatusOK, views.Text(text))
}

// editSchedule answers GET /reports/edit.
func (s *server) editSchedule(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	m := views.ScheduleForm{PageName: q.Get("page"), Query: q.Get("query"), Grain: cmp.Or(q.Get("grain"), "conversation"), Zone: s.Zone.String(), Schedule: "Mondays 08:00", Destination: "mail", IfEmpty: "send", Formats: map[string]bool{"csv": true}}
	if m.PageName != "" {
		m.Formats, m.Grain = map[string]bool{"html": true}, ""
		if m.Query == "" {
			m.Query = "range=7d"
		}
		m.Name = documentPages[m.PageName].title
	} else {
		m.Name = "Conversations"
	}
	if v := q.Get("of"); v != "" {
		x, err := s.scheduleByURL(r, v)
		if err != nil {
			return err
		}
		t := x.Target
		m = views.ScheduleForm{
			ID: x.ID.String(), Name: x.Name, PageName: x.Page, Query: x.Query, Grain: x.Grain, Revision: x.Revision, Schedule: x.Schedule, Zone: x.Zone, Destination: x.Destination,
			Recipients: strings.Join(t.Recipients, "\n"), Folder: t.Folder, Bucket: t.Bucket, Prefix: t.Prefix, Region: t.Region, Key: t.Key, IfEmpty: x.IfEmpty, Incremental: x.Incremental, Kept: len(x.Sealed) > 0,
			Formats: map[string]bool{},
		}
		if m.URL = t.URL; x.Destination == "s3" {
			m.URL, m.S3 = "", t.URL
		}
		for _, f := range x.Formats {
			m.Formats[f] = true
		}
	}
	return s.scheduleForm(w, r, http.StatusOK, m)
}

func (s *server) scheduleForm(w http.ResponseWriter, r *http.Request, status int, m views.ScheduleForm) (err error) {
	u, _ := userOf(r.Context())
	m.Page, m.HasFolder, m.HasKey, m.Admin = s.page(r, "Report", "Reports"), s.ReportFolder, s.Box != nil, rightsOf(u.Role)[views.Administer]
	if m.List, m.Rule, err = s.madeOf(r, m.PageName, m.Query); err != nil {
		return err
	}
	if m.HasMail, err = queries.HasMail(r.Context(), s.Pool); err != nil {
		return err
	}
	return s.render(w, r, status, views.ScheduleFormPage(m))
}

// keepSchedule answers POST /reports.
func (s *server) keepSchedule(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, 256<<10)
	if err := r.ParseForm(); err != nil {
		return &metric.InputError{Field: "form", Msg: "is too large"}
	}
	p := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	u, _ := userOf(ctx)
	x := queries.Schedule{ID: queries.NewID(), UserID: u.ID, CreatedAt: s.Now()}
	if p("id") != "" {
		var err error
		if x, err = s.scheduleByURL(r, p("id")); err != nil {
			return err
		}
		revision, err := strconv.ParseInt(p("revision"), 10, 32)
		if err != nil || int32(revision) != x.Revision {
			return &metric.InputError{Field: "revision", Msg: "somebody changed this report meanwhile; open it again"}
		}
	}
	was := x
	err := s.parseSchedule(r, &x)
	var input *metric.InputError
	if errors.As(err, &input) {
		m := views.ScheduleForm{
			Error: input.Error(), ID: p("id"), Name: p("name"), PageName: p("page"), Query: p("query"), Grain: p("grain"), Revision: x.Revision, Schedule: p("schedule"), Zone: p("zone"), Destination: p("destination"),
			Recipients: p("recipients"), URL: p("url"), S3: p("s3"), Folder: p("folder"), Bucket: p("bucket"), Prefix: p("prefix"), Region: p("region"), Key: p("key"), IfEmpty: p("if_empty"),
			Incremental: p("incremental") != "", Kept: len(was.Sealed) > 0, Formats: map[string]bool{},
		}
		for _, f := range r.PostForm["formats"] {
			m.Formats[f] = true
		}
		return s.scheduleForm(w, r, http.StatusUnprocessableEntity, m)
	}
	if err != nil {
		return err
	}
	if err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		if p("id") == "" {
			return queries.AddSchedule(ctx, tx, x)
		}
		if err := queries.ForgetUnsubscribed(ctx, tx, x.ID, x.Target.Recipients); err != nil {
			return err
		}
		return queries.ChangeSchedule(ctx, tx, x)
	}); err != nil {
		return err
	}
	http.Redirect(w, r, "/reports/"+x.ID.String()+"?said=kept", http.StatusSeeOther)
	return nil
}

const mostRecipients = 100

// parseSchedule reads the form into the schedule, whose secret it keeps only where it belongs.
func (s *server) parseSchedule(r *http.Request, x *queries.Schedule) error {
	p := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	was := *x
	x.Name, x.Page, x.Query, x.Grain, x.Formats, x.Incremental = strings.Join(strings.Fields(p("name")), " "), p("page"), p("query"), p("grain"), r.PostForm["formats"], p("incremental") != ""
	if x.Name == "" || len([]rune(x.Name)) > 100 {
		return &metric.InputError{Field: "name", Msg: "is needed, and at most 100 characters long"}
	}
	if _, _, err := s.madeOf(r, x.Page, x.Query); err != nil {
		return err
	}
	known := []string{"html", "pdf", "xlsx", "csv"}
	if x.Page != "" {
		x.Grain, x.Incremental = "", false
	} else {
		known = []string{"csv", "xlsx", "jsonl", "parquet", "sentione"}
		if !slices.Contains(queries.Grains, queries.Grain(x.Grain)) {
			return &metric.InputError{Field: "grain", Msg: "is one of conversation, turn, message, event"}
		}
		if x.Incremental && x.Grain == string(queries.ByTurn) {
			return &metric.InputError{Field: "incremental", Msg: "is for conversations, messages and events; turns change as long as their conversation goes on"}
		}
		if slices.Contains(x.Formats, "sentione") {
			if x.Grain = string(queries.ByMessage); len(x.Formats) > 1 {
				return &metric.InputError{Field: "formats", Msg: "SentiOne's zip stands alone: make another report for the others"}
			}
		}
	}
	for _, f := range x.Formats {
		if !slices.Contains(known, f) {
			return &metric.InputError{Field: "formats", Msg: "are some of " + strings.Join(known, ", ")}
		}
	}
	x.Destination, x.IfEmpty, x.Schedule, x.Zone = p("destination"), p("if_empty"), p("schedule"), p("zone")
	if len(x.Formats) == 0 || x.Destination != "mail" && slices.Equal(x.Formats, []string{"html"}) {
		return &metric.InputError{Field: "formats", Msg: "choose at least one file"}
	}
	if !slices.Contains([]string{"send", "say", "skip"}, x.IfEmpty) {
		return &metric.InputError{Field: "if_empty", Msg: "is one of send, say, skip"}
	}
	zone, err := time.LoadLocation(x.Zone)
	if err != nil || x.Zone == "" || x.Zone == "Local" {
		return &metric.InputError{Field: "zone", Msg: "is not known; write it as in Europe/Berlin"}
	}
	times, err := metric.ParseSchedule(x.Schedule)
	if err != nil {
		return err
	}
	x.Schedule = times.String()
	if was.NextAt != nil || was.Revision == 0 { // a paused one stays so
		next := times.Next(s.Now(), zone)
		x.NextAt = &next
	}
	secrets, err := parseTarget(r, x)
	if err != nil {
		return err
	}
	if secrets.Key == "" && secrets.Sign == "" && len(secrets.Headers) == 0 {
		if jobs.SecretPlace(*x) != jobs.SecretPlace(was) {
			x.Sealed = nil
		} else if x.Destination == "http" && x.Sealed != nil {
			x.Target.Headers = was.Target.Headers
		}
		return nil
	}
	text, err := json.Marshal(secrets)
	if err != nil {
		return err
	}
	if x.Sealed, err = s.Box.Seal(string(text), jobs.SecretPlace(*x)); err != nil {
		return &metric.InputError{Field: "secret", Msg: err.Error()}
	}
	return nil
}

// parseTarget reads where to.
func parseTarget(r *http.Request, x *queries.Schedule) (secrets jobs.Secrets, err error) {
	p := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	x.Target = queries.Target{}
	web := func(field, text string) error {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || len(text) > 2000 {
			return &metric.InputError{Field: field, Msg: "is an address such as https://warehouse.example.org/upload, without a password in it"}
		}
		x.Target.URL = text
		return nil
	}
	switch x.Destination {
	case "mail":
		for _, line := range strings.FieldsFunc(r.PostFormValue("recipients"), func(c rune) bool { return c == '\n' || c == ',' || c == ';' || c == '\r' }) {
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			a, err := mail.ParseAddress(line)
			if err != nil || strings.ContainsAny(a.Address, "\r\n") {
				return secrets, &metric.InputError{Field: "recipients", Msg: fmt.Sprintf("%.80q is no address such as ann@example.org", line)}
			}
			if !slices.ContainsFunc(x.Target.Recipients, func(t string) bool { return strings.EqualFold(t, a.Address) }) {
				x.Target.Recipients = append(x.Target.Recipients, a.Address)
			}
		}
		if n := len(x.Target.Recipients); n == 0 || n > mostRecipients {
			return secrets, &metric.InputError{Field: "recipients", Msg: fmt.Sprintf("are one to %d addresses", mostRecipients)}
		}
	case "http":
		if err := web("url", p("url")); err != nil {
			return secrets, err
		}
		for line := range strings.Lines(r.PostFormValue("headers")) {
			if strings.TrimSpace(line) == "" {
				continue
			}
			name, value, ok := strings.Cut(line, ":")
			name, value = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value)
			if !ok || !headerName(name) || value == "" || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }) || slices.Contains([]string{"Host", "Content-Length", "Content-Type", "Transfer-Encoding"}, name) {
				return secrets, &metric.InputError{Field: "headers", Msg: "are lines such as “Authorization: Bearer …”; host, length and type are set by us"}
			}
			if secrets.Headers == nil {
				secrets.Headers = map[string]string{}
			}
			secrets.Headers[name] = value
			x.Target.Headers = append(x.Target.Headers, name)
		}
		secrets.Sign = p("sign")
	case "folder":
		x.Target.Folder = strings.TrimPrefix(path.Clean("/"+p("folder")), "/")
	case "s3":
		if err := web("s3", p("s3")); err != nil {
			return secrets, err
		}
		x.Target.Bucket, x.Target.Prefix, x.Target.Region, x.Target.Key, secrets.Key = p("bucket"), strings.Trim(p("prefix"), "/"), p("region"), p("key"), p("secretkey")
		if x.Target.Bucket == "" || x.Target.Key == "" {
			return secrets, &metric.InputError{Field: "bucket", Msg: "and access key are needed"}
		}
	default:
		return secrets, &metric.InputError{Field: "destination", Msg: "is one of mail, http, folder, s3"}
	}
	return secrets, nil
}

func headerName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-'
	})
}

// sendNow answers POST /reports/{id}/now and /test.
func (s *server) sendNow(test bool) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		ctx := r.Context()
		x, err := s.scheduleByURL(r, chi.URLParam(r, "id"))
		if err != nil {
			return err
		}
		u, _ := userOf(ctx)
		now := s.Now()
		run := queries.ReportRun{ID: queries.NewID(), ScheduleID: x.ID, DueAt: now, State: queries.RunWaiting, CreatedAt: now}
		said := "now"
		if test {
			run.TestFor, said = u.Email, "test"
		}
		if err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
			if err := queries.AddRun(ctx, tx, run); err != nil {
				return err
			}
			return s.Jobs.Add(ctx, tx, jobs.ReportArgs{ID: run.ID.String()})
		}); err != nil {
			return err
		}
		http.Redirect(w, r, "/reports/"+x.ID.String()+"?said="+said, http.StatusSeeOther)
		return nil
	}
}

// pauseSchedule answers POST /reports/{id}/pause: pauses, or goes on.
func (s *server) pauseSchedule(w http.ResponseWriter, r *http.Request) error {
	x, err := s.scheduleByURL(r, chi.URLParam(r, "id"))
	if err != nil {
		return err
	}
	var next *time.Time
	if x.NextAt == nil {
		zone, err := time.LoadLocation(x.Zone)
		if err != nil {
			return err
		}
		times, err := metric.ParseSchedule(x.Schedule)
		if err != nil {
			return err
		}
		at := times.Next(s.Now(), zone)
		next = &at
	}
	if err := queries.SetNextRun(r.Context(), s.Pool, x.ID, next); err != nil {
		return err
	}
	http.Redirect(w, r, "/reports/"+x.ID.String(), http.StatusSeeOther)
	return nil
}

// deleteSchedule answers POST /reports/{id}/delete.
func (s *server) deleteSchedule(w http.ResponseWriter, r *http.Request) error {
	x, err := s.scheduleByURL(r, chi.URLParam(r, "id"))
	if err == nil {
		err = queries.DeleteSchedule(r.Context(), s.Pool, x.ID)
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/reports", http.StatusSeeOther)
	return nil
}

// retryDelivery answers POST /reports/runs/{run}/retry: one recipient is tried again.
func (s *server) retryDelivery(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	id, err := conversation.ParseUUID(chi.URLParam(r, "run"))
	if err != nil {
		return queries.ErrNotFound
	}
	run, err := queries.RunByID(ctx, s.Pool, id)
	if err != nil {
		return err
	}
	x, err := s.scheduleByURL(r, run.ScheduleID.String())
	if err != nil {
		return err
	}
	switch {
	case run.EndedAt != nil && s.Now().Sub(*run.EndedAt) > filesLast:
		return &metric.InputError{Field: "files", Msg: "of this run have expired: send the report now instead"}
	case x.Incremental:
		return &metric.InputError{Field: "report", Msg: "what this run would have sent comes with the next one"}
	}
	if err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		if err := queries.RetryDelivery(ctx, tx, id, r.PostFormValue("recipient")); err != nil {
			return err
		}
		return s.Jobs.Add(ctx, tx, jobs.ReportArgs{ID: id.String()})
	}); err != nil {
		return err
	}
	http.Redirect(w, r, "/reports/"+x.ID.String(), http.StatusSeeOther)
	return nil
}

// filesLast is how long files of a run can be fetched.
const filesLast = 7 * 24 * time.Hour

// reportFile answers GET /files/{run}/{n}, which needs no login: the address cannot be guessed, stands in the mail instead of a file
// that is too large for it, and expires.
func (s *server) reportFile(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	id, err := conversation.ParseUUID(chi.URLParam(r, "run"))
	if err != nil {
		return queries.ErrNotFound
	}
	n, err := strconv.Atoi(chi.URLParam(r, "n"))
	if err != nil {
		return queries.ErrNotFound
	}
	run, err := queries.RunByID(ctx, s.Pool, id)
	if err != nil {
		return err
	}
	if n < 0 || n >= len(run.Files) || run.Files[n].Role != "attachment" || run.EndedAt != nil && s.Now().Sub(*run.EndedAt) > filesLast {
		return queries.ErrNotFound
	}
	f := run.Files[n]
	return s.sendParts(w, r, f.Kind, f.Name, f.Size, func(part int) ([]byte, error) { return queries.ReportPart(ctx, s.Pool, id, n, part) })
}

// unsubscribe answers GET and POST /unsubscribe/{token}, which need no login.
func (s *server) unsubscribe(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	token, err := conversation.ParseUUID(chi.URLParam(r, "token"))
	if err != nil {
		return queries.ErrNotFound
	}
	x, err := queries.SubscriptionByToken(ctx, s.Pool, token)
	if err != nil {
		return err
	}
	m := views.Unsubscribe{Page: s.page(r, "Unsubscribe", ""), Report: x.Name, Recipient: x.Recipient, Token: token.String(), Done: r.Method == http.MethodPost}
	if m.Done {
		if err := queries.Unsubscribe(ctx, s.Pool, x, s.Now()); err != nil {
			return err
		}
	}
	return s.render(w, r, http.StatusOK, views.UnsubscribePage(m))
}
