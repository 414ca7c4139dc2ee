package jobs_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"turnwise/access"
	"turnwise/demo"
	"turnwise/jobs"
	"turnwise/jobs/posttest"
	"turnwise/queries"
)

// runID is what names of files have of their run.
var runID = regexp.MustCompile(`_[0-9a-f]{8}\b|_[0-9a-f]{8}(_csv)`)

// TestMailedReport: a page comes by mail, with pictures, files and words, to each recipient once; who refuses for a
// while gets it later; nothing in it is loaded from elsewhere.
func TestMailedReport(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: long; it runs without the race detector")
	}
	t.Parallel()
	o := newOffice(t, 300)
	x := o.keep(queries.Schedule{
		Name: "The week\r\nBcc: evil@example.org", Page: "overview", Query: "range=7d",
		Formats: []string{"html", "pdf", "xlsx", "csv"}, Destination: "mail",
		Target: queries.Target{Recipients: []string{"a@example.org", "b@example.org", "c@example.org"}},
	})
	o.post.Refuse("b@example.org", 1)
	o.work()
	o.work() // nothing more is due, and b's time has not come
	got := o.post.Letters()
	if len(got) != 2 || got[0].To != "a@example.org" || got[1].To != "c@example.org" {
		t.Fatalf("%d letters", len(got))
	}
	o.set(noon.Add(2 * time.Minute))
	o.work()
	if got = o.post.Letters(); len(got) != 3 || got[2].To != "b@example.org" {
		t.Fatalf("%d letters after the second try", len(got))
	}
	if runs := o.runs(x); len(runs) != 1 || runs[0].State != queries.RunDone {
		t.Errorf("runs: %+v", runs)
	}
	ids := map[string]bool{}
	for _, l := range got {
		header, all := parts(t, l.Body)
		ids[header.Get("Message-Id")] = true
		if header.Get("Bcc") != "" || header.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" ||
			!strings.Contains(header.Get("List-Unsubscribe"), "https://turnwise.example.org/unsubscribe/") {
			t.Errorf("header: %v", header)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(header.Get("Subject"))
		if err != nil || !strings.HasPrefix(subject, "The week Bcc: evil@example.org: Last 7 days") {
			t.Errorf("subject %q, %v", subject, err)
		}
		html, text := string(all["text/html"]), string(all["text/plain"])
		if !strings.Contains(text, "Containment: ") || !strings.Contains(
			text, "Unsubscribe: https://turnwise.example.org/unsubscribe/",
		) || strings.Contains(text, "invalid") {
			t.Errorf("text: %.400s", text)
		}
		if !strings.Contains(html, `src="cid:volume.png"`) || strings.Contains(html, `src="http`) ||
			strings.Contains(html, "url(") || strings.Contains(html, "<script") ||
			strings.Contains(html, "unsubscribe.invalid") || !strings.Contains(html, "Sent by the service desk") {
			t.Errorf("html: %.600s", html)
		}
		names := runID.ReplaceAllString(strings.Join(slices.Sorted(maps.Keys(all)), "; "), "$1")
		for _, want := range []string{
			"application/pdf overview_2026-10-27_1200.pdf", "application/zip overview_2026-10-27_1200_csv.zip",
			"image/png volume.png", "image/png outcomes.png", "overview_2026-10-27_1200.xlsx",
		} {
			if !strings.Contains(names, want) {
				t.Errorf("%s is not among %s", want, names)
			}
		}
		dir := os.Getenv("TURNWISE_SCREENSHOTS")
		if dir == "" || l.To != "a@example.org" {
			continue
		}
		for k, body := range all {
			if name, ok := strings.CutPrefix(k, "image/png "); ok {
				if err := os.WriteFile(filepath.Join(dir, "mail-"+name), body, 0o600); err != nil {
					t.Fatal(err)
				}
				html = strings.ReplaceAll(html, "cid:"+name, "mail-"+name)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "mail.html"), []byte(html), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if len(ids) != 3 {
		t.Errorf("ids of messages: %v", ids)
	}
}

// TestKilledReport: a worker dies after every letter, another goes on; nobody is left out, and what came twice has one
// id.
func TestKilledReport(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 60)
	x := o.keep(queries.Schedule{
		Name: "Killed", Page: "csat", Query: "range=12d", Formats: []string{"html"}, Destination: "mail",
		Target: queries.Target{
			Recipients: []string{"a@example.org", "b@example.org", "c@example.org", "d@example.org"},
		},
	})
	open, err := jobs.DueReports(t.Context(), o.pool, o.clock())
	if err != nil || len(open) != 1 {
		t.Fatalf("%v, %v", open, err)
	}
	for range 40 {
		ctx, cancel := context.WithCancel(t.Context())
		n := len(o.post.Letters())
		watched := make(chan struct{})
		go func() { // dies as soon as one more letter has come
			defer close(watched)
			for ctx.Err() == nil && len(o.post.Letters()) == n {
				time.Sleep(200 * time.Microsecond)
			}
			cancel()
		}()
		err := o.send(ctx, open[0])
		cancel()
		<-watched
		if o.runs(x)[0].State == queries.RunDone {
			break
		}
		if err == nil {
			t.Fatalf("the worker ended by itself: %+v", o.runs(x)[0])
		}
		o.set(o.clock().Add(time.Minute)) // nobody hears of the worker any more
	}
	if runs := o.runs(x); runs[0].State != queries.RunDone {
		t.Fatalf("run: %+v", runs[0])
	}
	to, err := o.post.Each()
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]int{
		"a@example.org": 1, "b@example.org": 1, "c@example.org": 1, "d@example.org": 1,
	}; !maps.Equal(to, want) {
		t.Errorf("by recipient, copies of one id counted once: %v", to)
	}
}

// TestDeadlyReport: a report that ends each server that makes it is not begun for ever, and can be tried again by hand.
func TestDeadlyReport(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 60)
	x := o.keep(queries.Schedule{
		Name: "Deadly", Page: "csat", Query: "range=12d", Formats: []string{"html"}, Destination: "mail",
		Target: queries.Target{Recipients: []string{"a@example.org"}},
	})
	open, err := jobs.DueReports(t.Context(), o.pool, o.clock())
	if err != nil || len(open) != 1 {
		t.Fatalf("%v, %v", open, err)
	}
	for range 20 {
		if _, err := queries.ClaimRun(t.Context(), o.pool, open[0], o.clock().Add(-time.Hour), o.clock()); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.send(t.Context(), open[0]); err != nil {
		t.Fatal(err)
	}
	if r := o.runs(x)[0]; r.State != queries.RunFailed || !strings.Contains(
		r.Error, "ended twenty times",
	) || len(o.post.Letters()) != 0 {
		t.Errorf("%+v, %d letters", r, len(o.post.Letters()))
	}
}

// TestTwoServers: however many servers look at what is due, each run is made once; what was missed is made up once.
func TestTwoServers(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 60)
	x := o.keep(queries.Schedule{
		Name: "Once", Page: "csat", Query: "range=12d", Formats: []string{"html"}, Destination: "mail",
		Target: queries.Target{Recipients: []string{"a@example.org"}},
	})
	o.set(noon.AddDate(0, 0, 5).Add(time.Hour)) // all was down for five days
	var g sync.WaitGroup
	for range 4 {
		g.Go(func() {
			open, err := jobs.DueReports(t.Context(), o.pool, o.clock())
			if err != nil {
				t.Error(err)
			}
			for _, id := range open {
				if err := o.send(t.Context(), id); err != nil && !errors.Is(err, queries.ErrNotFound) {
					t.Error(err)
				}
			}
		})
	}
	g.Wait()
	if n := len(o.post.Letters()); n != 1 {
		t.Errorf("%d letters", n)
	}
	after, err := queries.ScheduleByID(t.Context(), o.pool, x.ID)
	if err != nil || !after.NextAt.Equal(time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)) { // 13:00 in Berlin, in winter
		t.Errorf("next at %v, %v", after.NextAt, err)
	}
}

// TestUnsubscribed: who wants no more gets no more; without anything to send nothing is sent, or it is said.
func TestUnsubscribed(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 0)
	say := o.keep(queries.Schedule{
		Name: "Say", Page: "overview", Query: "range=7d", Formats: []string{"html", "pdf"}, IfEmpty: "say",
		Destination: "mail", Target: queries.Target{Recipients: []string{"a@example.org", "b@example.org"}},
	})
	skip := o.keep(queries.Schedule{
		Name: "Skip", Grain: "conversation", Query: "range=7d", Formats: []string{"csv"}, IfEmpty: "skip",
		Destination: "mail", Target: queries.Target{Recipients: []string{"a@example.org"}},
	})
	none := o.keep(queries.Schedule{
		Name: "None", Grain: "conversation", Query: "range=7d", Formats: []string{"csv", "xlsx"}, IfEmpty: "say",
		Destination: "mail", Target: queries.Target{Recipients: []string{"c@example.org"}},
	})
	o.work()
	if r := o.runs(none)[0]; r.State != queries.RunDone || len(
		slices.DeleteFunc(r.Files, func(f queries.ReportFile) bool { return f.Role == "" }),
	) != 2 {
		t.Errorf("nothing, and it says so: %+v", r)
	}
	got := slices.DeleteFunc(o.post.Letters(), func(l posttest.Letter) bool { return l.To == "c@example.org" })
	if len(got) != 2 || o.runs(skip)[0].State != queries.RunSkipped {
		t.Fatalf("%d letters, %+v", len(got), o.runs(skip))
	}
	_, all := parts(t, got[0].Body)
	if !strings.Contains(string(all["text/plain"]), "Nothing began in this range") || len(all) != 2 {
		t.Errorf("%.300s, %d parts", all["text/plain"], len(all))
	}
	who, err := queries.SubscriptionByToken(t.Context(), o.pool, o.deliveries(say)[0].Token)
	if err != nil || who.Recipient != "a@example.org" {
		t.Fatalf("%+v, %v", who, err)
	}
	if err := queries.Unsubscribe(t.Context(), o.pool, who, o.clock()); err != nil {
		t.Fatal(err)
	}
	o.set(noon.AddDate(0, 0, 1).Add(time.Hour))
	o.work()
	if got = slices.DeleteFunc(
		o.post.Letters(), func(l posttest.Letter) bool { return l.To == "c@example.org" },
	); len(got) != 3 || got[2].To != "b@example.org" {
		t.Errorf("%d letters after a unsubscribed", len(got))
	}
}

// TestGroups: each group gets its own part, those of no group all of it, one of which there is nothing nothing; what is
// new for one is new for another.
func TestGroups(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 60)
	x := o.keep(queries.Schedule{Name: "Parts", Grain: "conversation", Query: "range=60d", Formats: []string{"csv"}, IfEmpty: "skip", Incremental: true, Destination: "mail", Target: queries.Target{
		Recipients: []string{"all@example.org"},
		Groups: []queries.RecipientGroup{
			{Assistant: "harbour-bank", Recipients: []string{"bank@example.org", "bank2@example.org"}},
			{Assistant: "parcel-desk", Recipients: []string{"parcel@example.org"}},
			{Assistant: "nobody", Recipients: []string{"nobody@example.org"}},
			{Channel: "webchat", Recipients: []string{"web@example.org"}},
		},
	}})
	o.work()
	if r := o.runs(x)[0]; r.State != queries.RunDone {
		t.Fatalf("%+v", r)
	}
	rows := map[string][]string{}
	for _, l := range o.post.Letters() {
		_, all := parts(t, l.Body)
		for kind, b := range all {
			if strings.HasPrefix(kind, "text/csv") {
				for _, line := range strings.Split(string(b), "\n") {
					if strings.Contains(line, "-") && !strings.HasPrefix(line, "#") {
						rows[l.To] = append(rows[l.To], strings.TrimSpace(line))
					}
				}
			}
		}
	}
	if len(rows) != 5 || rows["nobody@example.org"] != nil {
		t.Fatalf("letters went to %v", slices.Sorted(maps.Keys(rows)))
	}
	for to, want := range map[string]string{
		"bank@example.org": "harbour-bank", "bank2@example.org": "harbour-bank", "parcel@example.org": "parcel-desk",
		"web@example.org": "webchat",
	} {
		var of []string
		for _, line := range rows["all@example.org"] {
			if strings.Contains(line, want) {
				of = append(of, line)
			}
		}
		if len(of) < 3 || !slices.Equal(
			of, slices.DeleteFunc(rows[to], func(line string) bool { return !strings.Contains(line, want) }),
		) {
			t.Errorf("%s got %d rows, of those for all %d are of %s", to, len(rows[to]), len(of), want)
		}
	}
	o.set(noon.AddDate(0, 0, 1).Add(time.Hour))
	o.work()
	if r := o.runs(x)[0]; r.State != queries.RunSkipped || len(o.post.Letters()) != 5 {
		t.Errorf("there is nothing new: %+v, %d letters", r, len(o.post.Letters()))
	}
	for query, g := range map[string]queries.RecipientGroup{
		"assistant=a": {Assistant: "b"}, "channel.not=web": {Channel: "web"},
	} {
		if got, err := g.Narrow(query); err == nil {
			t.Errorf("%s narrowed to %+v is %s", query, g, got)
		}
	}
}

// warehouse takes uploads.
type warehouse struct {
	mu     sync.Mutex
	t      *testing.T
	answer int
	files  []string
	asked  int
}

func (h *warehouse) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	body, err := io.ReadAll(r.Body)
	if err != nil {
		h.t.Error(err)
	}
	at, sum, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Turnwise-Signature"), "t="), ",v1=")
	mac := hmac.New(sha256.New, []byte("sign me"))
	mac.Write([]byte(at + "." + string(body)))
	if sum != hex.EncodeToString(mac.Sum(nil)) || r.Header.Get("Authorization") != "Bearer s3cret" ||
		r.Header.Get("Turnwise-Delivery") == "" {
		h.t.Errorf("header %v", r.Header)
	}
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		h.t.Error(err)
	}
	for in := multipart.NewReader(bytes.NewReader(body), params["boundary"]); ; {
		p, err := in.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || p.FormName() != "uploads" {
			h.t.Errorf("%v, %v", err, p)
			break
		}
		b, err := io.ReadAll(p)
		if err != nil {
			h.t.Error(err)
		}
		if h.answer < 300 {
			h.files = append(h.files, string(b))
		}
	}
	w.WriteHeader(h.answer)
}

func (h *warehouse) set(answer int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = answer
}

// TestChat: a channel gets the headline figures of a page, as they are on it, and none of what was said.
func TestChat(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 0)
	var mu sync.Mutex
	var said []string
	answer := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if err != nil || r.URL.Path != "/hooks/s3cret" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%v %s %v", err, r.URL, r.Header)
		}
		w.WriteHeader(answer)
		if answer == http.StatusOK {
			said = append(said, string(b))
		}
	}))
	t.Cleanup(server.Close)
	feed(t, o.pool, demo.New(demo.Options{Conversations: 60, Days: 6, Until: noon.Add(-3 * time.Hour), Seed: 9}).Next)
	x := queries.Schedule{
		Name: "Figures", Page: "overview", Query: "range=30d", Formats: []string{"html"}, Destination: "chat",
		Target: queries.Target{URL: server.URL},
	}
	secrets, err := json.Marshal(jobs.Secrets{URL: server.URL + "/hooks/s3cret"})
	if err != nil {
		t.Fatal(err)
	}
	if x.Sealed, err = o.sent.Box.Seal(string(secrets), jobs.SecretPlace(x)); err != nil {
		t.Fatal(err)
	}
	o.keep(x)
	mu.Lock()
	answer = http.StatusBadGateway // it is tried again
	mu.Unlock()
	for range 4 {
		o.work()
		o.set(o.clock().Add(time.Hour))
		mu.Lock()
		answer = http.StatusOK
		mu.Unlock()
	}
	mu.Lock()
	defer mu.Unlock()
	if len(said) == 0 {
		t.Fatal("nothing was said")
	}
	var m struct{ Text string }
	if err := json.Unmarshal([]byte(said[0]), &m); err != nil || !strings.HasPrefix(m.Text, "Figures: Last 30 days") ||
		!strings.Contains(m.Text, "• Conversations: 60") || !strings.Contains(m.Text, "• Containment: ") || !strings.Contains(m.Text, "/overview?range=30d") {
		t.Errorf("it says %s", said[0])
	}
}

// TestIncrement: each run of an incremental export has what is new since the last that arrived, whatever arrives late
// and whichever run fails: nothing is missed, nothing comes twice.
func TestIncrement(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 0)
	h := &warehouse{t: t}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	x := queries.Schedule{
		Name: "Warehouse", Grain: "message", Query: "range=60d", Formats: []string{"csv"}, Incremental: true,
		Destination: "http", Target: queries.Target{URL: server.URL + "/upload"},
	}
	secrets, err := json.Marshal(jobs.Secrets{
		Headers: map[string]string{"Authorization": "Bearer s3cret"}, Sign: "sign me",
	})
	if err != nil {
		t.Fatal(err)
	}
	if x.Sealed, err = o.sent.Box.Seal(string(secrets), jobs.SecretPlace(x)); err != nil {
		t.Fatal(err)
	}
	x = o.keep(x)
	// Conversations arrive between the runs, in any order of their times.
	var bodies [][]byte
	next := demo.New(demo.Options{Conversations: 120, Days: 12, Until: noon.Add(-3 * time.Hour), Seed: 4}).Next
	for b, ok := next(); ok; b, ok = next() {
		bodies = append(bodies, bytes.Clone(b))
	}
	for i := range 6 {
		part := bodies[i*len(bodies)/6 : (i+1)*len(bodies)/6]
		feed(t, o.pool, func() ([]byte, bool) {
			if len(part) == 0 {
				return nil, false
			}
			b := part[0]
			part = part[1:]
			return b, true
		})
		h.set(http.StatusNoContent)
		if i == 2 { // this run never arrives, however often it is tried
			h.set(http.StatusBadGateway)
		}
		for range 8 {
			o.work()
			o.set(o.clock().Add(2*time.Hour + 30*time.Minute))
		}
		o.set(o.clock().Truncate(24 * time.Hour).Add(36*time.Hour + time.Minute))
	}
	seen := map[string]int{}
	for _, f := range h.files {
		r := csv.NewReader(strings.NewReader(strings.TrimPrefix(f, "\ufeff")))
		r.FieldsPerRecord = -1
		lines, err := r.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		column := -1
		for _, l := range lines {
			if i := slices.Index(l, "message_id"); i >= 0 {
				column = i
			} else if column >= 0 {
				seen[l[column]]++
			}
		}
	}
	var want int
	if err := o.pool.QueryRow(t.Context(), `select count(*) from messages`).Scan(&want); err != nil {
		t.Fatal(err)
	}
	if len(seen) != want || want == 0 {
		t.Errorf("%d messages came, there are %d", len(seen), want)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
	failed := 0
	for _, r := range o.runs(x) {
		if r.State == queries.RunFailed {
			failed++
		}
	}
	if failed != 1 || len(h.files) < 4 {
		t.Errorf("%d runs failed, %d files came", failed, len(h.files))
	}
}

// TestTargets: files reach folders; nothing reaches private addresses, and no secret another host.
func TestTargets(t *testing.T) {
	t.Parallel()
	o := newOffice(t, 60)
	o.sent.Folder = t.TempDir()
	folder := o.keep(queries.Schedule{
		Name: "Folder", Grain: "conversation", Query: "range=20d", Formats: []string{"csv", "parquet"},
		Destination: "folder", Target: queries.Target{Folder: "../../warehouse/daily"},
	})
	zip := o.keep(queries.Schedule{
		Name: "Zip", Grain: "message", Query: "range=20d", Formats: []string{"sentione"}, Destination: "folder",
		Target: queries.Target{Folder: "s"},
	})
	o.work()
	for _, x := range []queries.Schedule{folder, zip} {
		if runs := o.runs(x); runs[0].State != queries.RunDone {
			t.Errorf("%s: %+v, %+v", x.Name, runs[0], o.deliveries(x))
		}
	}
	for _, name := range []string{
		"warehouse/daily/conversations_2026-10-27_1200.csv", "warehouse/daily/conversations_2026-10-27_1200.parquet",
		"s/sentione_2026-10-27_1200.zip",
	} {
		end := filepath.Ext(name)
		files, err := filepath.Glob(filepath.Join(o.sent.Folder, strings.TrimSuffix(name, end)+"_????????"+end))
		if err != nil || len(files) != 1 {
			t.Fatalf("%s: %v, %v", name, files, err)
		}
		if info, err := os.Stat(files[0]); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A bucket gets the file whole, signed.
	var stored []byte
	bucketServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut ||
			runID.ReplaceAllString(r.URL.Path, "") != "/warehouse/turnwise/conversations_2026-10-27_1200.csv" ||
			!strings.Contains(r.Header.Get("Authorization"), "Credential=access/") {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		stored = b
		w.Header().Set("ETag", `"x"`)
	}))
	t.Cleanup(bucketServer.Close)
	s3 := queries.Schedule{
		Name: "S3", Grain: "conversation", Query: "range=20d", Formats: []string{"csv"}, Destination: "s3",
		Target: queries.Target{
			URL: bucketServer.URL, Bucket: "warehouse", Prefix: "turnwise", Key: "access", Region: "eu-central-1",
		},
	}
	sealed, err := o.sent.Box.Seal(`{"key":"secret"}`, jobs.SecretPlace(s3))
	if err != nil {
		t.Fatal(err)
	}
	s3.Sealed = sealed
	s3 = o.keep(s3)
	o.work()
	if runs := o.runs(s3); runs[0].State != queries.RunDone || !strings.Contains(string(stored), "conversation_id") {
		t.Errorf("%+v, %+v, %.200s", runs[0], o.deliveries(s3), stored)
	}
	o.sent.Internal = nil
	server := httptest.NewServer(
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a private address was asked") }),
	)
	t.Cleanup(server.Close)
	private := o.keep(queries.Schedule{
		Name: "Private", Grain: "conversation", Query: "range=20d", Formats: []string{"csv"}, Destination: "http",
		Target: queries.Target{URL: server.URL},
	})
	bucket := o.keep(queries.Schedule{
		Name: "Bucket", Grain: "conversation", Query: "range=20d", Formats: []string{"csv"}, Destination: "s3",
		Target: queries.Target{URL: server.URL, Bucket: "bucket", Key: "k", Region: "eu"},
	})
	moved := queries.Schedule{
		Name: "Moved", Grain: "conversation", Query: "range=20d", Formats: []string{"csv"}, Destination: "http",
		Target: queries.Target{URL: "https://good.example.org/"},
	}
	if moved.Sealed, err = o.sent.Box.Seal("{}", jobs.SecretPlace(moved)); err != nil {
		t.Fatal(err)
	}
	moved.Target.URL = "https://evil.example.org/"
	moved = o.keep(moved)
	o.work()
	for _, x := range []struct {
		of   queries.Schedule
		want string
	}{{private, "private network"}, {bucket, "private network"}, {moved, "enter the secret again"}} {
		if all := o.deliveries(x.of); len(all) != 1 || !strings.Contains(all[0].Error, x.want) {
			t.Errorf("%s: %+v", x.of.Name, all)
		}
	}
	for _, a := range []string{
		"127.0.0.1", "10.1.2.3", "172.20.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1",
		"fe80::1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "224.0.0.1", "2002:a00:1::",
	} {
		if (jobs.Networks{}).Allows(netip.MustParseAddr(a)) {
			t.Errorf("%s is allowed", a)
		}
	}
	if !(jobs.Networks{}).Allows(
		netip.MustParseAddr("93.184.215.14"),
	) || !(jobs.Networks{netip.MustParsePrefix("10.0.0.0/8")}).Allows(netip.MustParseAddr("::ffff:10.0.0.1")) {
		t.Error("a public address, or an allowed one, is refused")
	}
}

// TestHanging: servers that take a connection and say nothing delay no other report: of their owner while they are two,
// of others however many.
func TestHanging(t *testing.T) {
	t.Parallel()
	for hanging, other := range map[int]bool{2: false, 40: true} {
		o := newOffice(t, 0)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		var mu sync.Mutex
		held := 0
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				mu.Lock()
				held++
				mu.Unlock()
				t.Cleanup(func() { conn.Close() })
			}
		}()
		for i := range hanging {
			o.keep(queries.Schedule{
				Name: fmt.Sprint("Hanging ", i), Page: "csat", Query: "range=12d", Formats: []string{"csv"},
				Destination: "http", Target: queries.Target{URL: "http://" + l.Addr().String()},
			})
		}
		if other {
			o.user = access.Account{
				ID: queries.NewID(), Email: "ben@example.org", Name: "Ben", Role: "supervisor", PasswordHash: "x",
				CreatedAt: noon,
			}
			if err := queries.AddAccount(t.Context(), o.pool, o.user); err != nil {
				t.Fatal(err)
			}
		}
		o.keep(queries.Schedule{
			Name: "Zebra", Page: "csat", Query: "range=12d", Formats: []string{"csv"}, Destination: "mail",
			Target: queries.Target{Recipients: []string{"a@example.org"}},
		})
		client, err := jobs.Start(t.Context(), jobs.Config{
			Pool: o.pool, Log: slog.New(slog.DiscardHandler), Zone: time.UTC, Now: o.clock, Reports: o.sent,
		})
		if err != nil {
			t.Fatal(err)
		}
		enough := func() bool {
			mu.Lock()
			defer mu.Unlock()
			return held >= min(hanging, 4) && len(o.post.Letters()) == 1
		}
		for deadline := time.Now().Add(45 * time.Second); !enough() && time.Now().Before(deadline); {
			time.Sleep(50 * time.Millisecond)
		}
		if !enough() {
			t.Errorf("beside %d that hang, %d of them connected, %d letters came", hanging, held, len(o.post.Letters()))
		}
		mu.Lock()
		if held > 4 {
			t.Errorf("%d of one owner are under way", held)
		}
		mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		client.Stop(ctx)
		cancel()
	}
}
