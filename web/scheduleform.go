package web

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/mail"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/access"
	"turnwise/dashboard"
	"turnwise/format"
	"turnwise/jobs"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/schedule"
	"turnwise/views"
)

// nextRuns returns the next times of a schedule, the first of which is given.
func nextRuns(text, zoneName string, first time.Time, n int) ([]time.Time, error) {
	zone, err := time.LoadLocation(zoneName)
	if err != nil {
		return nil, &metric.InputError{Field: "zone", Msg: "is not known; write it as in Europe/Berlin"}
	}
	times, err := schedule.Parse(text)
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
	} else if times, err := schedule.Parse(q.Get("schedule")); err != nil {
		if text = "Such as “Mondays 08:00”, “weekdays 7:30”, “first weekday of the month 07:30” or “0 8 " +
			"* * mon”."; q.Get("schedule") != "" {
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
	m := views.ScheduleForm{
		PageName: q.Get("page"), Query: q.Get("query"), Grain: cmp.Or(q.Get("grain"), "conversation"),
		Zone: s.Zone.String(), Schedule: "Mondays 08:00", Destination: "mail", IfEmpty: "send",
		Formats: map[string]bool{"csv": true},
	}
	if m.PageName != "" {
		m.Formats, m.Grain = map[string]bool{"html": true}, ""
		m.Name = dashboard.DocumentTitle(m.PageName)
	} else {
		m.Name = "Conversations"
	}
	if v := q.Get("of"); v != "" {
		x, err := s.scheduleByURL(r, v)
		if err != nil {
			return err
		}
		if x.Queued {
			return queuedReport
		}
		t := x.Target
		m = views.ScheduleForm{
			ID: x.ID.String(), Name: x.Name, PageName: x.Page, Query: x.Query, Grain: x.Grain, Revision: x.Revision,
			Schedule: x.Schedule, Zone: x.Zone, Destination: x.Destination,
			Recipients: strings.Join(t.Recipients, "\n"), Groups: groupRows(t.Groups), Folder: t.Folder,
			Bucket: t.Bucket, Prefix: t.Prefix, Region: t.Region, Key: t.Key, IfEmpty: x.IfEmpty,
			Incremental: x.Incremental, Kept: len(x.Sealed) > 0,
			Formats: map[string]bool{},
		}
		switch m.URL = t.URL; x.Destination {
		case "s3":
			m.URL, m.S3 = "", t.URL
		case "chat":
			m.URL, m.Chat = "", t.URL
		}
		for _, f := range x.Formats {
			m.Formats[f] = true
		}
	}
	return s.scheduleForm(w, r, http.StatusOK, m)
}

func (s *server) scheduleForm(w http.ResponseWriter, r *http.Request, status int, m views.ScheduleForm) (err error) {
	u, _ := accountOf(r.Context())
	m.Page, m.HasFolder, m.HasKey, m.Admin = s.page(r, "Report", "Reports"), s.ReportFolder, s.Box != nil,
		u.Rights()[access.Administer]
	if m.List, m.Rule, err = s.madeOf(r, m.PageName, m.Query); err != nil {
		return err
	}
	if m.HasMail, err = queries.HasMail(r.Context(), s.Pool); err != nil {
		return err
	}
	choices, err := s.viewer(r.Context()).Choices(r.Context())
	if err != nil {
		return err
	}
	m.Assistants, m.Environments, m.Channels = choices.Assistants, choices.Environments, choices.Channels
	if len(m.Groups) == 0 {
		m.Groups = groupRows(nil)
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
	u, _ := accountOf(ctx)
	x := queries.Schedule{ID: queries.NewID(), AccountID: u.ID, CreatedAt: s.Now()}
	if p("id") != "" {
		var err error
		if x, err = s.scheduleByURL(r, p("id")); err != nil {
			return err
		}
		if x.Queued {
			return queuedReport
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
			Error: input.Error(), ID: p("id"), Name: p("name"), PageName: p("page"), Query: p("query"),
			Grain: p("grain"), Revision: x.Revision, Schedule: p("schedule"), Zone: p("zone"),
			Destination: p("destination"),
			Recipients:  p("recipients"), Groups: groupRows(groupsOf(r)), URL: p("url"), S3: p("s3"),
			Folder: p("folder"), Bucket: p("bucket"), Prefix: p("prefix"), Region: p("region"), Key: p("key"),
			IfEmpty:     p("if_empty"),
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
	if err := s.audited(r, func(tx pgx.Tx) (deed, error) {
		d := deed{act: queries.AuditReportKept, id: x.ID.String(), name: x.Name, after: scheduleDeed(x)}
		if p("id") == "" {
			return d, queries.AddSchedule(ctx, tx, x)
		}
		d.before = scheduleDeed(was)
		if err := queries.ForgetUnsubscribed(ctx, tx, x.ID, x.Target.Everybody()); err != nil {
			return d, err
		}
		return d, queries.ChangeSchedule(ctx, tx, x)
	}); err != nil {
		return err
	}
	http.Redirect(w, r, "/reports/"+x.ID.String()+"?said=kept", http.StatusSeeOther)
	return nil
}

// scheduleDeed is what the audit log tells of a report: what leaves when, and to whom.
func scheduleDeed(x queries.Schedule) map[string]any {
	row := scheduleRow(x)
	return map[string]any{"what": row.What, "to": row.To, "formats": x.Formats, "schedule": x.Schedule, "zone": x.Zone}
}

const mostRecipients = 100

// parseAddresses reads addresses, a line each, but for those that are known already.
func parseAddresses(text string, known []string) (all []string, err error) {
	for _, line := range strings.FieldsFunc(
		text, func(c rune) bool { return c == '\n' || c == ',' || c == ';' || c == '\r' },
	) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		a, err := mail.ParseAddress(line)
		if err != nil || strings.ContainsAny(a.Address, "\r\n") {
			return nil, &metric.InputError{
				Field: "recipients", Msg: fmt.Sprintf("%.80q is no address such as ann@example.org", line),
			}
		}
		same := func(t string) bool { return strings.EqualFold(t, a.Address) }
		if slices.ContainsFunc(known, same) {
			return nil, &metric.InputError{
				Field: "recipients", Msg: fmt.Sprintf("%.80q stands in two groups", a.Address),
			}
		}
		if !slices.ContainsFunc(all, same) {
			all = append(all, a.Address)
		}
	}
	return all, nil
}

// groupsOf reads the groups of a form, as they were typed.
func groupsOf(r *http.Request) (all []queries.RecipientGroup) {
	f := r.PostForm
	for i, to := range f["group_recipients"] {
		at := func(name string) string {
			if i < len(f[name]) {
				return f[name][i]
			}
			return ""
		}
		if strings.TrimSpace(to) != "" {
			all = append(all, queries.RecipientGroup{
				Assistant: at("group_assistant"), Environment: at("group_environment"), Channel: at("group_channel"),
				Recipients: []string{to},
			})
		}
	}
	return all
}

// groupRows are groups as the form shows them, and one more that is empty.
func groupRows(all []queries.RecipientGroup) (rows []views.GroupRow) {
	for _, g := range all {
		rows = append(rows, views.GroupRow{
			Assistant: g.Assistant, Environment: g.Environment, Channel: g.Channel,
			Recipients: strings.Join(g.Recipients, "\n"),
		})
	}
	return append(rows, views.GroupRow{})
}

// parseSchedule reads the form into the schedule, whose secret it keeps only where it belongs.
func (s *server) parseSchedule(r *http.Request, x *queries.Schedule) error {
	p := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	was := *x
	x.Name, x.Page, x.Query, x.Grain, x.Formats, x.Incremental = strings.Join(
		strings.Fields(p("name")), " ",
	), p("page"), p("query"), p("grain"), r.PostForm["formats"], p("incremental") != ""
	if x.Name == "" || len([]rune(x.Name)) > 100 {
		return &metric.InputError{Field: "name", Msg: "is needed, and at most 100 characters long"}
	}
	if _, _, err := s.madeOf(r, x.Page, x.Query); err != nil {
		return err
	}
	x.Destination, x.IfEmpty, x.Schedule, x.Zone = p("destination"), p("if_empty"), p("schedule"), p("zone")
	if err := checkContent(r, x); err != nil {
		return err
	}
	runs, err := s.parseTimes(x, was)
	if err != nil {
		return err
	}
	secrets, err := parseTarget(r, x, was)
	if err != nil {
		return err
	}
	if n := runs * len(x.Target.Everybody()); x.Destination == "mail" && s.ReportMails > 0 && n > s.ReportMails {
		return &metric.InputError{
			Field: "recipients",
			Msg: fmt.Sprintf(
				"would get %s mails a day together; the most that is set is %s", format.Count(n),
				format.Count(s.ReportMails),
			),
		}
	}
	if at, err := url.Parse(x.Target.URL); err == nil && x.Target.URL != "" {
		field := "url"
		if x.Destination == "s3" || x.Destination == "chat" {
			field = x.Destination
		}
		if err := s.Internal.Admits(r.Context(), at); err != nil {
			return &metric.InputError{Field: field, Msg: err.Error()}
		}
	}
	return s.seal(x, was, secrets)
}

// checkContent checks what a schedule sends: pages of figures or rows, as which files.
func checkContent(r *http.Request, x *queries.Schedule) error {
	known := []string{"html", "pdf", "xlsx", "csv"}
	if x.Page != "" {
		x.Grain, x.Incremental = "", false
	} else {
		if !may(r.Context(), access.ExportRows) {
			return &metric.InputError{Field: "rows", Msg: "are what was said: you may send pages of figures only"}
		}
		known = []string{"csv", "xlsx", "jsonl", "parquet", "sentione"}
		if !slices.Contains(queries.Grains, queries.Grain(x.Grain)) {
			return &metric.InputError{Field: "grain", Msg: "is one of conversation, turn, message, event"}
		}
		if x.Incremental && x.Grain == string(queries.ByTurn) {
			return &metric.InputError{
				Field: "incremental",
				Msg:   "is for conversations, messages and events; turns change as long as their conversation goes on",
			}
		}
		if slices.Contains(x.Formats, "sentione") {
			if x.Grain = string(queries.ByMessage); len(x.Formats) > 1 {
				return &metric.InputError{
					Field: "formats", Msg: "SentiOne's zip stands alone: make another report for the others",
				}
			}
		}
	}
	for _, f := range x.Formats {
		if !slices.Contains(known, f) {
			return &metric.InputError{Field: "formats", Msg: "are some of " + strings.Join(known, ", ")}
		}
	}
	if x.Destination == "chat" {
		if x.Formats = []string{"html"}; x.Page == "" {
			return &metric.InputError{Field: "destination", Msg: "chats get pages of figures: send rows by mail or to a server"}
		}
	}
	if len(x.Formats) == 0 || x.Destination != "chat" && x.Destination != "mail" && slices.Equal(x.Formats, []string{"html"}) {
		return &metric.InputError{Field: "formats", Msg: "choose at least one file"}
	}
	if !slices.Contains([]string{"send", "say", "skip"}, x.IfEmpty) {
		return &metric.InputError{Field: "if_empty", Msg: "is one of send, say, skip"}
	}
	return nil
}

// parseTimes reads when a schedule runs, and returns how often it does on its busiest day.
func (s *server) parseTimes(x *queries.Schedule, was queries.Schedule) (runs int, err error) {
	zone, err := time.LoadLocation(x.Zone)
	if err != nil || x.Zone == "" || x.Zone == "Local" {
		return 0, &metric.InputError{Field: "zone", Msg: "is not known; write it as in Europe/Berlin"}
	}
	times, err := schedule.Parse(x.Schedule)
	if err != nil {
		return 0, err
	}
	x.Schedule = times.String()
	runs, least := schedule.Busiest(times, s.Now(), zone)
	if least < s.ReportLeast {
		return 0, &metric.InputError{
			Field: "schedule",
			Msg: fmt.Sprintf(
				"runs every %s; the least distance that is set is %s", format.Span(least), format.Span(s.ReportLeast),
			),
		}
	}
	if was.NextAt != nil || was.Revision == 0 { // a paused one stays so
		next := times.Next(s.Now(), zone)
		x.NextAt = &next
	}
	return runs, nil
}

// seal keeps the secrets of a schedule, those that it had where none are told and it goes to the same place.
func (s *server) seal(x *queries.Schedule, was queries.Schedule, secrets jobs.Secrets) error {
	if secrets.Key == "" && secrets.Sign == "" && secrets.URL == "" && len(secrets.Headers) == 0 {
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

// parseRecipients reads to whom mail goes.
func parseRecipients(r *http.Request, x *queries.Schedule) (err error) {
	if x.Target.Recipients, err = parseAddresses(r.PostFormValue("recipients"), nil); err != nil {
		return err
	}
	for _, g := range groupsOf(r) {
		if g.Recipients, err = parseAddresses(strings.Join(g.Recipients, "\n"), x.Target.Everybody()); err != nil {
			return err
		}
		if len(g.Recipients) == 0 {
			continue
		}
		if _, err := g.Narrow(x.Query); err != nil {
			return err
		}
		x.Target.Groups = append(x.Target.Groups, g)
	}
	if n := len(x.Target.Everybody()); n == 0 || n > mostRecipients {
		return &metric.InputError{
			Field: "recipients", Msg: fmt.Sprintf("are one to %d addresses", mostRecipients),
		}
	}
	return nil
}

// parseHeaders reads the headers that are sent with a file, and their names in order.
func parseHeaders(text string) (all map[string]string, names []string, err error) {
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		name, err := jobs.Header(name, value)
		if err != nil {
			return nil, nil, &metric.InputError{
				Field: "headers",
				Msg:   "are lines such as “Authorization: Bearer …”; host, length and type are set by us",
			}
		}
		if all == nil {
			all = map[string]string{}
		}
		all[name] = strings.TrimSpace(value)
		names = append(names, name)
	}
	return all, names, nil
}

// parseTarget reads where to.
func parseTarget(r *http.Request, x *queries.Schedule, was queries.Schedule) (secrets jobs.Secrets, err error) {
	p := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	x.Target = queries.Target{}
	web := func(field, text string) error {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil ||
			len(text) > 2000 {
			return &metric.InputError{
				Field: field,
				Msg:   "is an address such as https://warehouse.example.org/upload, without a password in it",
			}
		}
		x.Target.URL = text
		return nil
	}
	switch x.Destination {
	case "mail":
		return secrets, parseRecipients(r, x)
	case "http":
		if err := web("url", p("url")); err != nil {
			return secrets, err
		}
		if secrets.Headers, x.Target.Headers, err = parseHeaders(r.PostFormValue("headers")); err != nil {
			return secrets, err
		}
		secrets.Sign = p("sign")
	case "chat":
		if p("chat") == "" && was.Destination == "chat" && len(x.Sealed) > 0 {
			x.Target.URL = was.Target.URL
			return secrets, nil // the address that is kept
		}
		if err := web("chat", p("chat")); err != nil {
			return secrets, err
		}
		at, err := url.Parse(p("chat"))
		if err != nil {
			return secrets, err
		}
		secrets.URL, x.Target.URL = p("chat"), at.Scheme+"://"+at.Host // the rest is a secret
	case "folder":
		x.Target.Folder = strings.TrimPrefix(path.Clean("/"+p("folder")), "/")
	case "s3":
		if err := web("s3", p("s3")); err != nil {
			return secrets, err
		}
		x.Target.Bucket, x.Target.Prefix, x.Target.Region, x.Target.Key, secrets.Key = p("bucket"),
			strings.Trim(p("prefix"), "/"), p("region"), p("key"), p("secretkey")
		if x.Target.Bucket == "" || x.Target.Key == "" {
			return secrets, &metric.InputError{Field: "bucket", Msg: "and access key are needed"}
		}
	default:
		return secrets, &metric.InputError{Field: "destination", Msg: "is one of mail, http, folder, s3, chat"}
	}
	return secrets, nil
}
