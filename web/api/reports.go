package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"turnwise/analytics"
	"turnwise/conversation"
	"turnwise/dashboard"
	"turnwise/jobs"
	"turnwise/queries"
)

// reporters are the roles that reports ask for, literally.
var reporters = []string{"analytics_admin", "admin"}

// Bounds of reports.
const (
	longestBody  = 64 << 10
	longestTitle = 200 // characters
	mostMetrics  = 50
	longestKey   = 255
	usualReports = 20
	mostReports  = 100
)

// ReportRequest is the body of POST /analytics/reports.
type ReportRequest struct {
	Type          *string  `json:"type" enum:"usage,conversations,engagement,agents,nlp,performance,custom"`
	StartDate     *string  `json:"start_date,omitempty" doc:"As the parameter. One of start_date with end_date, days, or period is needed."`
	EndDate       *string  `json:"end_date,omitempty"`
	Days          *int     `json:"days,omitempty"`
	Period        *string  `json:"period,omitempty" enum:"today,week,month,year"`
	Format        *string  `json:"format,omitempty" enum:"pdf,csv,xlsx,json,html" doc:"Default: json."`
	GroupBy       *string  `json:"group_by,omitempty" enum:"hour,day,week,month" doc:"Default: as suits the range."`
	BotID         *string  `json:"bot_id,omitempty" format:"uuid"`
	UserID        *string  `json:"user_id,omitempty" format:"uuid"`
	Timezone      *string  `json:"timezone,omitempty"`
	Title         *string  `json:"title,omitempty" doc:"At most 200 characters."`
	Metrics       []string `json:"metrics,omitempty" doc:"Names of measures, as /measures lists them: of the type custom, and only of it."`
	IncludeCharts *bool    `json:"include_charts,omitempty" doc:"Default: true. false: tables instead."`
}

// AnalyticsReport is a report.
type AnalyticsReport struct {
	ID          string          `json:"id" format:"uuid"`
	Type        string          `json:"type" enum:"usage,conversations,engagement,agents,nlp,performance,custom"`
	Title       string          `json:"title"`
	Format      string          `json:"format" enum:"pdf,csv,xlsx,json,html"`
	Status      string          `json:"status" enum:"pending,running,completed,failed"`
	Progress    int16           `json:"progress" doc:"Percent."`
	StartDate   string          `json:"start_date" format:"date"`
	EndDate     string          `json:"end_date" format:"date" doc:"Included."`
	Timezone    string          `json:"timezone"`
	GroupBy     string          `json:"group_by" enum:"hour,day,week,month"`
	BotID       *string         `json:"bot_id" format:"uuid"`
	UserID      *string         `json:"user_id" format:"uuid"`
	Metrics     []string        `json:"metrics"`
	CreatedBy   string          `json:"created_by" doc:"Name of the token."`
	CreatedAt   time.Time       `json:"created_at"`
	StartedAt   *time.Time      `json:"started_at"`
	CompletedAt *time.Time      `json:"completed_at"`
	ExpiresAt   *time.Time      `json:"expires_at"`
	SizeBytes   *int64          `json:"size_bytes"`
	DownloadURL *string         `json:"download_url"`
	Error       *string         `json:"error"`
	Result      json.RawMessage `json:"result,omitempty" doc:"Of a completed report of the format json."`
}

// ReportList is the answer of GET /analytics/reports.
type ReportList struct {
	Data   []AnalyticsReport `json:"data"`
	Total  int64             `json:"total"`
	Limit  int               `json:"limit"`
	Offset int               `json:"offset"`
}

// reportKinds are the media types of reports.
var reportKinds = []string{
	"application/pdf", "text/csv", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "application/json",
	"text/html",
}

// reports are the routes of reports.
func reports() []route {
	id := []param{{name: "report_id", kind: uuid, inPath: true}}
	states := []string{queries.ReportPending, queries.ReportRunning, queries.ReportCompleted, queries.ReportFailed}
	return []route{
		{
			method: "POST", path: "/analytics/reports", id: "createReport", group: "Reports", summary: "Create a report",
			headers: []string{"Idempotency-Key"},
			doc:     "It is made in the background. With the header Idempotency-Key, the same request again within 24 hours answers with the same report.",
			roles:   reporters, body: ReportRequest{}, answer: AnalyticsReport{}, handle: createReport,
		},
		{
			method: "GET", path: "/analytics/reports", id: "listReports", group: "Reports", summary: "List reports",
			roles: reporters, answer: ReportList{}, handle: listReports, check: checkReportList,
			params: []param{
				{name: "limit", kind: number, least: 1, most: mostReports, doc: "Default: 20."},
				{name: "offset", kind: number, least: 0, most: 1 << 30, doc: "Default: 0."},
				{name: "type", kind: word, among: analytics.ReportTypes},
				{name: "status", kind: word, among: states},
				{name: "created_after", kind: instant, doc: "This moment included."},
				{name: "created_before", kind: instant, doc: "This moment not included."},
				{name: "sort", kind: word, among: []string{"created_at", "type"}, doc: "Default: created_at."},
				{name: "order", kind: word, among: []string{"asc", "desc"}, doc: "Default: desc."},
			},
		},
		{
			method: "GET", path: "/analytics/reports/{report_id}", id: "getReport", group: "Reports", summary: "Get a report",
			roles: reporters, params: id, answer: AnalyticsReport{}, handle: getReport,
		},
		{
			method: "GET", path: "/analytics/reports/{report_id}/download", id: "downloadReport", group: "Reports",
			summary: "Download the file of a completed report", roles: reporters, params: id,
			kinds: reportKinds, handle: downloadReport,
		},
	}
}

// body reads the body into the members of ReportRequest, as parameters: their checks are the same.
func (c *call) readBody() (in ReportRequest, faults []Fault, err error) {
	bad := func(pointer, code, detail string) {
		faults = append(faults, Fault{Pointer: pointer, Code: code, Detail: detail})
	}
	if kind, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type")); kind != "" && kind != "application/json" ||
		kind == "" && c.r.Header.Get("Content-Type") != "" {
		bad("", invalid, "Send the body as JSON, with the header Content-Type: application/json.")
		return in, faults, nil
	}
	b, err := io.ReadAll(io.LimitReader(c.r.Body, longestBody+1))
	if err != nil {
		return in, nil, err
	}
	if len(b) > longestBody || !utf8.Valid(b) {
		bad("", invalid, "The body is longer than 64 KiB, or not UTF-8.")
		return in, faults, nil
	}
	members := objectOf(b)
	if members == nil {
		bad("", invalid, "The body is no JSON object.")
		return in, faults, nil
	}
	known := map[string]any{
		"type": &in.Type, "start_date": &in.StartDate, "end_date": &in.EndDate, "days": &in.Days, "period": &in.Period,
		"format": &in.Format, "group_by": &in.GroupBy, "bot_id": &in.BotID, "user_id": &in.UserID, "timezone": &in.Timezone,
		"title": &in.Title, "metrics": &in.Metrics, "include_charts": &in.IncludeCharts,
	}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		into, ok := known[name]
		if !ok {
			bad("/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name), unknown, clip(name)+" is not a member of a report.")
			continue
		}
		if err := json.Unmarshal(members[name], into); err != nil {
			code, what := invalid, "must be text."
			switch name {
			case "days":
				code, what = notAnInteger, "must be a whole number."
			case "metrics":
				what = "must be a list of names."
			case "include_charts":
				what = "must be true or false."
			}
			bad("/"+name, code, name+" "+what)
			reflect.ValueOf(into).Elem().SetZero() // as if it were not there
		}
	}
	return in, faults, nil
}

// objectOf reads a JSON object; nil for anything else.
func objectOf(b []byte) (members map[string]json.RawMessage) {
	if json.Unmarshal(b, &members) != nil {
		return nil
	}
	return members
}

// asParams reads members as the parameters of the same names, so that they are checked alike.
func (c *call) asParams(in *ReportRequest, wrong []Fault) (faults []Fault) {
	c.given, c.values, c.numbers = map[string]bool{}, map[string]string{}, map[string]int{}
	c.ids = map[string]*conversation.UUID{}
	params := append(
		ranged("hour", "day", "week", "month"), param{name: "type", kind: word, among: analytics.ReportTypes, needed: true},
		param{name: "format", kind: word, among: analytics.ReportFormats},
	)
	var days *string
	if in.Days != nil {
		text := strconv.Itoa(*in.Days)
		days = &text
	}
	given := map[string]*string{
		"start_date": in.StartDate, "end_date": in.EndDate, "days": days, "period": in.Period, "group_by": in.GroupBy,
		"timezone": in.Timezone, "bot_id": in.BotID, "user_id": in.UserID, "type": in.Type, "format": in.Format,
	}
	told := func(name string) bool {
		return slices.ContainsFunc(wrong, func(f Fault) bool { return f.Pointer == "/"+name })
	}
	for i := range params {
		p := &params[i]
		v := given[p.name]
		c.given[p.name] = v != nil || told(p.name)
		var f *Fault
		switch {
		case v != nil:
			f = c.read(p, *v)
		case p.needed && !told(p.name):
			f = &Fault{Code: missing, Detail: p.name + " is needed."}
		}
		if f != nil {
			faults = append(faults, Fault{Pointer: "/" + p.name, Code: f.Code, Detail: f.Detail})
		}
	}
	return faults
}

// wanted reads what report is asked for.
func (c *call) wanted() (r queries.AnalyticsReport, err error) {
	in, faults, err := c.readBody()
	if err != nil {
		return r, err
	}
	if len(faults) > 0 && faults[0].Pointer == "" {
		return r, faulty(faults)
	}
	bad := func(pointer, code, detail string) {
		faults = append(faults, Fault{Pointer: pointer, Code: code, Detail: detail})
	}
	faults = append(faults, c.asParams(&in, faults)...)
	ranges := []string{"start_date", "end_date", "days", "period"}
	if !slices.ContainsFunc(ranges, func(name string) bool { return c.given[name] }) {
		bad("/days", missing, "One of start_date with end_date, days, or period is needed.")
	} else {
		for _, f := range c.ask(lastDays, suiting) {
			bad("/"+f.Parameter, f.Code, f.Detail)
		}
	}
	kind := c.values["type"]
	switch {
	case kind == "custom" && len(in.Metrics) == 0:
		bad("/metrics", missing, "metrics are needed for a custom report.")
	case kind != "custom" && kind != "" && in.Metrics != nil:
		bad("/metrics", conflict, "metrics are for custom reports alone.")
	case len(in.Metrics) > mostMetrics:
		bad("/metrics", outOfRange, "metrics are at most 50.")
	}
	for i, name := range in.Metrics {
		if _, ok := dashboard.MeasureNamed(name); !ok {
			bad("/metrics/"+strconv.Itoa(i), notInList, clip(name)+" is no measure: /api/v1/measures lists them.")
		}
	}
	if in.Title != nil && (utf8.RuneCountInString(*in.Title) > longestTitle || strings.ContainsRune(*in.Title, 0)) {
		bad("/title", outOfRange, "title must have at most 200 characters.")
	}
	if len(faults) > 0 {
		return r, faulty(faults)
	}
	return c.report(&in), nil
}

// report is the report of a request that is right.
func (c *call) report(in *ReportRequest) queries.AnalyticsReport {
	q := &c.asked
	r := queries.AnalyticsReport{
		ID: queries.NewID(), TokenID: c.token.ID, CreatedBy: c.token.Name, Assistants: c.token.Assistants,
		Type: c.values["type"], Format: cmp.Or(c.values["format"], "json"), FromAt: q.From, UntilAt: q.Until.Truncate(time.Second),
		Timezone: c.zone.String(), GroupBy: string(q.Bucket), BotID: q.Bot, UserID: q.User,
		Metrics: append([]string{}, in.Metrics...), Charts: in.IncludeCharts == nil || *in.IncludeCharts, Status: queries.ReportPending,
		CreatedAt: c.now,
	}
	if !r.FromAt.Before(r.UntilAt) { // it began this second
		r.UntilAt = r.FromAt.Add(time.Second)
	}
	if in.Title != nil {
		r.Title = strings.TrimSpace(*in.Title)
	}
	if r.Title == "" {
		first, last := daysOf(&r)
		r.Title = r.Type + " " + first + " – " + last
	}
	return r
}

// createReport answers POST /analytics/reports.
func createReport(c *call) (any, error) {
	r, err := c.wanted()
	if err != nil {
		return nil, err
	}
	if _, err := analytics.Ask(c.ctx, c.asked); err != nil {
		return nil, err
	}
	key := c.r.Header.Get("Idempotency-Key")
	if len(key) > longestKey || strings.ContainsRune(key, 0) || !utf8.ValidString(key) {
		return nil, faulty([]Fault{{Parameter: "Idempotency-Key", Code: outOfRange, Detail: "Idempotency-Key must have at most 255 characters."}})
	}
	what := r
	what.ID, what.CreatedAt = conversation.UUID{}, time.Time{}
	if c.given["period"] || c.given["start_date"] && !c.given["end_date"] { // until now
		what.UntilAt = time.Time{}
	}
	b, err := json.Marshal(what)
	if err != nil {
		return nil, err
	}
	asked := sha256.Sum256(b)
	err = pgx.BeginFunc(c.ctx, c.Pool, func(tx pgx.Tx) error {
		stored, fresh, err := queries.AddAnalyticsReport(c.ctx, tx, r, key, asked[:])
		if err != nil || !fresh {
			r = stored
			return err
		}
		return c.Jobs.Add(c.ctx, tx, jobs.AnalyticsReportArgs{ID: r.ID.String()})
	})
	if errors.Is(err, queries.ErrConflict) {
		return nil, &Problem{
			Type: "conflict", Status: http.StatusConflict, Detail: "This Idempotency-Key stands for another report.",
		}
	}
	if err != nil {
		return nil, err
	}
	c.header.Set("Location", "/api/v1/analytics/reports/"+r.ID.String())
	return c.reportOf(&r), nil
}

// daysOf are the first and the last day of a report, as its zone has them.
func daysOf(r *queries.AnalyticsReport) (first, last string) {
	zone, err := time.LoadLocation(r.Timezone)
	if err != nil {
		zone = time.UTC
	}
	return r.FromAt.In(zone).Format(time.DateOnly), r.UntilAt.Add(-time.Microsecond).In(zone).Format(time.DateOnly)
}

// reportOf is a report as answers have it.
func (c *call) reportOf(r *queries.AnalyticsReport) AnalyticsReport {
	out := AnalyticsReport{
		ID: r.ID.String(), Type: r.Type, Title: r.Title, Format: r.Format, Status: r.Status, Progress: r.Progress,
		Timezone: r.Timezone, GroupBy: r.GroupBy, Metrics: append([]string{}, r.Metrics...), CreatedBy: r.CreatedBy,
		CreatedAt: r.CreatedAt.In(c.zone), StartedAt: in(r.StartedAt, c.zone), CompletedAt: in(r.CompletedAt, c.zone),
		ExpiresAt: in(r.ExpiresAt, c.zone), SizeBytes: r.Size,
	}
	out.StartDate, out.EndDate = daysOf(r)
	for id, into := range map[*conversation.UUID]**string{r.BotID: &out.BotID, r.UserID: &out.UserID} {
		if id != nil {
			text := id.String()
			*into = &text
		}
	}
	if r.Status == queries.ReportCompleted {
		at := "/api/v1/analytics/reports/" + out.ID + "/download"
		out.DownloadURL = &at
	}
	if r.Error != "" {
		out.Error = &r.Error
	}
	return out
}

func in(at *time.Time, zone *time.Location) *time.Time {
	if at == nil {
		return nil
	}
	local := at.In(zone)
	return &local
}

// stored returns the report that the path names.
func (c *call) stored(ctx context.Context) (queries.AnalyticsReport, error) {
	return queries.AnalyticsReportByID(ctx, c.Pool, *c.ids["report_id"], c.account.Assistants, c.now)
}

// getReport answers GET /analytics/reports/{report_id}.
func getReport(c *call) (any, error) {
	r, err := c.stored(c.ctx)
	if err != nil {
		return nil, err
	}
	out := c.reportOf(&r)
	if r.Format == "json" && r.Status == queries.ReportCompleted {
		body, err := queries.AnalyticsReportBody(c.ctx, c.Pool, r.ID)
		if err != nil {
			return nil, err
		}
		out.Result = bytes.TrimSpace(body)
	}
	return out, nil
}

// downloadReport answers GET /analytics/reports/{report_id}/download.
func downloadReport(c *call) (any, error) {
	r, err := c.stored(c.ctx)
	if err != nil {
		return nil, err
	}
	body, err := queries.AnalyticsReportBody(c.ctx, c.Pool, r.ID)
	if errors.Is(err, queries.ErrNotFound) {
		p := &Problem{Type: "conflict", Status: http.StatusConflict, retry: 2, Detail: "The report is " + r.Status + ": ask for it again once it is completed."}
		if r.Status == queries.ReportFailed {
			p.retry, p.Detail = 0, "The report failed: "+r.Error
		}
		return nil, p
	}
	if err != nil {
		return nil, err
	}
	return sent(func(w http.ResponseWriter, _ *http.Request) {
		out := w.Header()
		out.Set("Content-Type", r.MediaType)
		out.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": r.FileName}))
		out.Set("Content-Length", strconv.Itoa(len(body)))
		out.Set("Cache-Control", "no-store")
		_, _ = w.Write(body) // the client may be gone
	}), nil
}

// checkReportList reads the bounds of a list of reports.
func checkReportList(c *call) (faults []Fault) {
	after, before := c.moment("created_after"), c.moment("created_before")
	if after != nil && before != nil && !after.Before(*before) {
		faults = append(faults, Fault{
			Parameter: "created_before", Code: startNotBefore, Detail: "created_after must lie before created_before.",
		})
	}
	return faults
}

// moment is a parameter as a time; nil for none.
func (c *call) moment(name string) *time.Time {
	v := c.values[name]
	if v == "" {
		return nil
	}
	at, _, err := parseDate(v, c.zone)
	if err != nil {
		return nil // it was told
	}
	return &at
}

// listReports answers GET /analytics/reports.
func listReports(c *call) (any, error) {
	f := queries.ReportFilter{
		Type: c.values["type"], Status: c.values["status"], After: c.moment("created_after"),
		Before: c.moment("created_before"), ByType: c.values["sort"] == "type", Ascending: c.values["order"] == "asc",
		Limit: cmp.Or(c.numbers["limit"], usualReports), Offset: c.numbers["offset"],
	}
	all, total, err := queries.AnalyticsReports(c.ctx, c.Pool, f, c.account.Assistants, c.now)
	if err != nil {
		return nil, err
	}
	list := ReportList{Data: []AnalyticsReport{}, Total: total, Limit: f.Limit, Offset: f.Offset}
	for i := range all {
		list.Data = append(list.Data, c.reportOf(&all[i]))
	}
	return list, nil
}
