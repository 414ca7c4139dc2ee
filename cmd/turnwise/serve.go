package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/access"
	"turnwise/ingest"
	"turnwise/ingest/intake"
	"turnwise/ingest/wire"
	"turnwise/jobs"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/figures"
	"turnwise/web"
)

type serveCmd struct {
	Listen      string   `env:"TURNWISE_LISTEN" default:"127.0.0.1:5754" help:"Address of pages and API (${default})."`
	AdminListen string   `name:"admin-listen" env:"TURNWISE_ADMIN_LISTEN" default:"127.0.0.1:5755" help:"Address of /healthz, /readyz and /metrics (${default})."`
	URL         string   `env:"TURNWISE_URL" help:"Address under which people reach the server; default: the listen address." placeholder:"URL"`
	TimeZone    string   `name:"time-zone" env:"TURNWISE_TIME_ZONE" help:"Time zone of days and times; default: as it is set in Admin." placeholder:"ZONE"`
	Proxies     []string `env:"TURNWISE_TRUSTED_PROXIES" help:"Networks whose X-Forwarded-For is believed." placeholder:"CIDR"`
	Connections int      `name:"page-connections" env:"TURNWISE_PAGE_CONNECTIONS" default:"12" help:"Connections to the database for pages and API (${default}); events and jobs have their own."`
	APIRate     int      `name:"api-rate" env:"TURNWISE_API_RATE" default:"6000" help:"Requests of the JSON API that a token may send in a minute (${default}); 0: any number."`
	APIOrigins  []string `name:"api-origins" env:"TURNWISE_API_ORIGINS" help:"Origins of web pages that may read answers of the JSON API; default: none." placeholder:"URL"`
	FirstAdmin  string   `name:"first-admin" env:"TURNWISE_FIRST_ADMIN" help:"Address of an admin to make, with a random password, when there is no user yet." placeholder:"EMAIL"`
	Demo        bool     `env:"TURNWISE_DEMO" help:"Load demo data when the database is empty."`

	streamFlags `embed:""`
	reportFlags `embed:""`
	signInFlags `embed:""`
}

// settings are the flags, read and judged together.
type settings struct {
	proxies []netip.Prefix
	url     string
}

func (s *serveCmd) settings() (out settings, err error) {
	var all []error
	if _, err = time.LoadLocation(s.TimeZone); err != nil {
		all = append(all, fmt.Errorf("--time-zone: %q is not known; write it as in Europe/Berlin", s.TimeZone))
	}
	for _, p := range s.Proxies {
		prefix, err := netip.ParsePrefix(p)
		if err != nil {
			all = append(all, fmt.Errorf("--proxies: %q is no network such as 10.0.0.0/8", p))
		}
		out.proxies = append(out.proxies, prefix)
	}
	for _, o := range s.APIOrigins {
		if u, err := url.Parse(o); err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" {
			all = append(all, fmt.Errorf("--api-origins: %q is no origin such as https://board.example", o))
		}
	}
	if s.Connections < 4 || s.Connections > 1000 {
		all = append(all, fmt.Errorf("--page-connections: %d is not between 4 and 1000", s.Connections))
	}
	if s.APIRate < 0 {
		all = append(all, fmt.Errorf("--api-rate: %d is less than 0", s.APIRate))
	}
	host, port, err := net.SplitHostPort(s.Listen)
	if err != nil {
		all = append(all, fmt.Errorf("--listen: %q is no address such as 127.0.0.1:5754", s.Listen))
	}
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "localhost"
	}
	out.url = strings.TrimSuffix(s.URL, "/")
	if out.url == "" {
		out.url = "http://" + net.JoinHostPort(host, port)
	}
	if !strings.HasPrefix(out.url, "http://") && !strings.HasPrefix(out.url, "https://") {
		all = append(all, fmt.Errorf("--url: %q does not begin with http:// or https://", s.URL))
	}
	return out, errors.Join(all...)
}

// Run serves until the context ends.
func (s *serveCmd) Run(c *cli) error {
	set, err := s.settings()
	if err != nil {
		return err
	}
	sources, err := s.configured(c.getenv)
	if err != nil {
		return err
	}
	sso, err := s.sso()
	if err != nil {
		return err
	}
	queue, err := s.queue()
	if err != nil {
		return err
	}
	limitMemory(streamMemory)
	release, err := c.alone()
	if err != nil {
		return err
	}
	defer release()
	// The database must outlive the requests that are finished after the signal.
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.ctx))
	defer cancel()
	log := c.logger()
	pool, done, err := c.open(c.ctx, log, 10+connections(sources)+jobConnections)
	if err != nil {
		return err
	}
	defer done()
	// Pages and ingest have pools of their own, so that neither waits for the other's connections.
	pages, err := queries.OpenForPages(c.ctx, pool.Config().ConnString(), s.Connections)
	if err != nil {
		return err
	}
	defer closePool(pages)
	return s.serve(ctx, c, pool, pages, log, set, sources, sso, queue)
}

// serve serves until the context ends or something breaks.
func (s *serveCmd) serve(
	ctx context.Context, c *cli, pool, pages *pgxpool.Pool, log *slog.Logger, set settings, sources []sourceConfig,
	sso *web.SSO, queue *jobs.JobQueue,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	workspace, zone, err := takeUp(ctx, pool, s.TimeZone)
	if err != nil {
		return err
	}
	login, err := s.firstAdmin(ctx, c, pool)
	if err != nil {
		return err
	}
	writer := ingest.NewWriter(pool, log)
	registry := newRegistry(pool)
	writer.Measure(ingest.NewMetrics(registry))
	site, sends, stopSite, err := s.site( //nolint:contextcheck // it ends when it is told to
		c, pool, pages, log, set, writer, zone, sso,
	)
	if err != nil {
		return err
	}
	defer stopSite()
	reading := new(streams)
	ready := &readiness{pool: pages, writer: writer, streams: func() []ingest.Status { return reading.statuses() }}
	servers, failed, err := listen(ctx, log, map[string]http.Handler{
		s.Listen: site, s.AdminListen: ready.handler(registry, c.Pprof),
	})
	if err == nil && s.Demo {
		err = loadDemo(c, pool, writer)
	}
	if err != nil {
		return err
	}
	c.welcome(set.url, login)
	begin := func(zone *time.Location) (*jobs.Client, error) {
		return startJobs(ctx, jobs.Config{
			Pool: pool, Log: log, Version: version, Zone: zone, Reports: sends, Queue: queue, Fold: intake.NewHistory(pool, writer, log).FoldStored,
		})
	}
	work, err := begin(zone)
	if err != nil {
		return err
	}
	reading = startStreams(ctx, writer, sources, log)
	ready.begun.Store(true)
	work, err = s.workOn(ctx, c, pages, log, workspace, work, func(zone *time.Location) (*jobs.Client, error) {
		site.UseZone(zone)
		return begin(zone)
	}, reading.failed, failed)
	ready.stopping.Store(true)
	err = why(ctx, pool, err)
	log.InfoContext(ctx, "stopping")
	stopAll(reading.wait, func() {
		if work != nil {
			stopJobs(ctx, log, work)
		}
	}, func() { stopServers(ctx, log, servers) })
	return err
}

// startJobs begins with jobs, once roll-ups fit the time zone.
func startJobs(ctx context.Context, cfg jobs.Config) (*jobs.Client, error) {
	if err := figures.PrepareRollups(ctx, cfg.Pool, figures.NewGrid(cfg.Zone)); err != nil {
		return nil, err
	}
	return jobs.Start(ctx, cfg)
}

// workOn does jobs until the process is to end or something fails; when the settings of the workspace change, they
// begin again, as what they count by days changes. It returns what does jobs then, nil for nothing.
func (s *serveCmd) workOn(
	ctx context.Context, c *cli, pages *pgxpool.Pool, log *slog.Logger, workspace queries.Workspace, work *jobs.Client,
	begin func(zone *time.Location) (*jobs.Client, error), streams, listeners <-chan error,
) (_ *jobs.Client, err error) {
	look := func(ctx context.Context) (queries.Workspace, error) { return queries.WorkspaceSettings(ctx, pages) }
	again := func() (queries.Workspace, *jobs.Client, error) {
		now, zone, err := takeUp(ctx, pages, s.TimeZone)
		if err != nil {
			return now, nil, err
		}
		work, err := begin(zone)
		return now, work, err
	}
	for {
		select {
		case <-c.ctx.Done():
			return work, nil
		case err = <-streams:
		case err = <-listeners:
		case err = <-work.Outdated():
		case <-changed(ctx, workspace, look):
			log.InfoContext(ctx, "the settings of the workspace changed")
			stopJobs(ctx, log, work)
			if workspace, work, err = takeUpAgain(ctx, c, log, again); work != nil && err == nil {
				continue
			}
		}
		return work, err
	}
}

// stopAll stops things side by side, so that together it takes no longer than the longest of them.
func stopAll(all ...func()) {
	var ends sync.WaitGroup
	for _, stop := range all {
		ends.Go(stop)
	}
	ends.Wait()
}

// site makes the pages, and what reports are sent by.
func (s *serveCmd) site(
	c *cli, pool, pages *pgxpool.Pool, log *slog.Logger, set settings, writer *ingest.Writer, zone *time.Location,
	sso *web.SSO,
) (*web.Site, jobs.Reports, func(), error) {
	box, err := s.box(c)
	if err != nil {
		return nil, jobs.Reports{}, nil, err
	}
	sends, err := s.reports(box, pages, set.url)
	if err != nil {
		return nil, jobs.Reports{}, nil, err
	}
	queue, err := jobs.NewQueue(pages)
	if err != nil {
		return nil, jobs.Reports{}, nil, err
	}
	history := intake.NewHistory(pool, writer, log)
	taken := intake.New(pool, writer, log)
	hooks := intake.NewWebhooks(taken, box)
	site, stop := web.New(web.Config{
		Pool: pages, Log: log, Zone: zone, FixedZone: s.TimeZone != "", URL: set.url, Version: version,
		Proxies: set.proxies,
		Ingest:  taken, Webhooks: hooks, Traces: intake.Traces{Handler: taken}, Mappings: mappings{history}, Replay: replay(pool, writer), Knows: ingest.Knows, Jobs: queue, Box: box,
		SSO: sso, ReportFolder: s.ReportFolder != "",
		SignedIn: c.forgetFirst(log), Internal: sends.Internal, ReportLeast: s.ReportLeast, ReportMails: s.ReportMails,
		Rate: s.APIRate, Origins: s.APIOrigins,
		Keeping: func(ctx context.Context, do func(*pgxpool.Pool) error) error { return c.keeping(ctx, pool, do) },
	})
	waiting, cancel := context.WithCancel(context.Background())
	var maps sync.WaitGroup
	maps.Go(func() { history.MapWaiting(waiting) })
	return site, sends, func() {
		stop()
		cancel()
		maps.Wait()
		hooks.Close()
	}, nil
}

// welcome says where the pages are, and how events come in.
func (c *cli) welcome(url, login string) {
	where := ""
	if c.DataDir != "" && c.DatabaseURL == "" && c.DatabaseURLFile == "" {
		where = " --data-dir " + c.DataDir
	}
	fmt.Fprintf(
		c.stdout,
		"\nTurnwise %s is ready: %s\n%s\nSend events of your own:  turnwise token create%s my-bot   then   curl -H "+
			"'Authorization: Bearer TOKEN' --data-binary @events.ndjson %s/api/v1/ingest/rasa\nor from a file:     "+
			"      turnwise import%s events.ndjson.gz --assistant my-bot\nCtrl-C stops everything.\n\n",
		version, url, login, where, url, where,
	)
}

// firstAdmin makes the first user, and returns what to say about signing in.
func (s *serveCmd) firstAdmin(ctx context.Context, c *cli, pool *pgxpool.Pool) (string, error) {
	users, err := queries.Accounts(ctx, pool)
	if err != nil {
		return "", err
	}
	if len(users) > 0 || s.FirstAdmin == "" {
		if len(users) == 0 {
			return "Nobody can sign in yet:   turnwise user add you@example.org --role admin", nil
		}
		hint := ""
		if dir, err := c.dataDir(); err == nil && c.DatabaseURL == "" && c.DatabaseURLFile == "" {
			if _, err := os.Stat(filepath.Join(dir, loginFile)); err == nil {
				hint = " The first admin's password is in " + filepath.Join(dir, loginFile) + "."
			}
		}
		who := slices.IndexFunc(users, func(u access.Account) bool { return u.Role == "admin" && !u.Disabled })
		if who < 0 {
			return "No admin can sign in:   turnwise user add you@example.org --role admin", nil
		}
		return "Sign in as " + users[who].Email + " or another user." + hint, nil
	}
	password := rand.Text()[:16]
	if err := addUser(ctx, pool, s.FirstAdmin, "First admin", "admin", password); err != nil {
		return "", err
	}
	login := fmt.Sprintf("Sign in as %s with the password %s", s.FirstAdmin, password)
	if dir, err := c.dataDir(); err == nil && c.DatabaseURL == "" && c.DatabaseURLFile == "" {
		if err := os.WriteFile(
			filepath.Join(dir, loginFile), []byte(s.FirstAdmin+"\n"+password+"\n"), 0o600,
		); err != nil {
			return "", err
		}
		login += " (kept in " + filepath.Join(dir, loginFile) + " until it is used)"
	}
	return login, nil
}

const loginFile = "first-admin.txt"

// forgetFirst returns what removes the file with the first admin's password once that was used.
func (c *cli) forgetFirst(log *slog.Logger) func(email string) {
	dir, err := c.dataDir()
	if err != nil || c.DatabaseURL != "" || c.DatabaseURLFile != "" {
		return nil
	}
	name := filepath.Join(dir, loginFile)
	return func(email string) {
		text, err := os.ReadFile(name)
		if whose, _, _ := strings.Cut(string(text), "\n"); err != nil || !strings.EqualFold(whose, email) {
			return
		}
		if err := os.Remove(name); err != nil {
			log.Warn("the file with the first admin's password was not removed", "error", err)
		}
	}
}

// replay stores a rejected body once more.
func replay(pool *pgxpool.Pool, w *ingest.Writer) web.Replay {
	return func(ctx context.Context, r queries.RejectedEvent, body []byte) error {
		src := ingest.Source{
			ID: r.SourceID, Name: r.Source, Assistant: r.Assistant, Environment: r.Environment,
			Format: ingest.FormatOf(uint8(r.Format)),
		}
		bodies := []string{string(body)}
		if r.Mapping != "" {
			mapping, done, err := replayMapping(ctx, pool, r.Mapping)
			if err != nil {
				return &metric.InputError{Field: "body", Msg: "was to be mapped by " + r.Mapping + ", which this server does not have"}
			}
			defer done()
			m := mapping.Map(bodies[0])[0]
			if bodies = m.Events; m.Reject != nil {
				return &metric.InputError{Field: "body", Msg: m.Reject.Detail}
			}
		}
		for _, body := range bodies {
			if err := replayOne(ctx, w, src, body); err != nil {
				return err
			}
		}
		return nil
	}
}

func replayOne(ctx context.Context, w *ingest.Writer, src ingest.Source, body string) error {
	e, rej := src.NewDecoder().Decode(
		body, wire.Intake{Assistant: src.Assistant, Environment: src.Environment}, time.Now(),
	)
	if rej != nil {
		return &metric.InputError{Field: "body", Msg: rej.Detail}
	}
	counts, err := w.StoreOne(ctx, src, e)
	if err == nil && counts.Rejected > 0 {
		return &metric.InputError{
			Field: "body",
			Msg:   "the database refused it, or it would change a conversation of which retention removed the texts",
		}
	}
	return err
}

type healthcheckCmd struct {
	AdminListen string `name:"admin-listen" env:"TURNWISE_ADMIN_LISTEN" default:"127.0.0.1:5755" help:"Admin address of the server (${default})."`
}

func (h healthcheckCmd) Run(c *cli) error {
	ctx, cancel := context.WithTimeout(c.ctx, 3*time.Second)
	defer cancel()
	_, port, err := net.SplitHostPort(h.AdminListen)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+port+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", resp.Status)
	}
	_, err = fmt.Fprintln(c.stdout, "ready")
	return err
}
