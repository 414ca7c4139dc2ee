package web

import (
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"turnwise/access"
	"turnwise/static"
	"turnwise/views"
	"turnwise/web/api"
)

// csp lets pages load nothing that is not ours, and run no script that stands in a page.
const csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// routes is the whole site. Whatever stands within signed needs a right that is named beside it.
func (s *server) routes() http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.GetHead, s.recoverPanic, secure(strings.HasPrefix(s.URL, "https://")), cacheNothing)
	r.Method(http.MethodGet, "/static/*", static.Handler())
	if s.Traces != nil {
		r.Method(http.MethodPost, "/v1/traces", s.Traces)
		r.Method(http.MethodPost, "/api/public/otel/v1/traces", s.Traces)
	}
	programs, tools := s.programs()
	r.Mount("/api/v1", programs)
	r.Handle("/mcp", tools) // which says itself what it takes
	r.Group(func(r chi.Router) {
		r.Use(middleware.Compress(5, "text/html"), s.sessions.LoadAndSave, s.loadUser, s.legible)
		r.NotFound(s.handle(s.notFound))
		r.MethodNotAllowed(s.handle(s.notFound))
		r.Get("/login", s.handle(s.loginPage))
		r.Post("/login", s.handle(s.login))
		r.Get("/login/code", s.handle(s.code))
		r.Post("/login/code", s.handle(s.code))
		r.Get("/login/sso", s.handle(s.ssoBegin))
		r.Get("/login/callback", s.handle(s.ssoEnd))
		r.Post("/logout", s.handle(s.logout))
		r.Get("/welcome/{key}", s.handle(s.link)) // the address is the key
		r.Post("/welcome/{key}", s.handle(s.link))
		r.Get("/", s.handle(s.start))
		r.Get("/files/{run}/{key}", s.handle(s.reportFile)) // the address is the key
		r.Get("/unsubscribe/{token}", s.handle(s.unsubscribe))
		r.Post("/unsubscribe/{token}", s.handle(s.unsubscribe))
		for _, route := range s.signed() {
			r.Method(route.method, route.pattern, s.handle(s.need(route)))
		}
	})
	protection := http.NewCrossOriginProtection()
	protection.AddInsecureBypassPattern("/mcp")
	protection.AddInsecureBypassPattern("/api/v1/") // both by tokens alone, which no browser sends by itself
	return protection.Handler(r)
}

type route struct {
	method, pattern string
	right           access.Right
	cost            cost
	handler         handler
}

// signed are the routes for people who signed in, each with the right that it needs and what it may take.
func (s *server) signed() []route {
	return []route{
		{"GET", "/overview", access.SeeFigures, chart, s.overview},
		{"GET", "/flows", access.SeeFigures, chart, s.flows},
		{"GET", "/flow", access.SeeFigures, chart, s.flow},
		{"GET", "/paths", access.SeeFigures, chart, s.paths},
		{"GET", "/funnel", access.SeeFigures, chart, s.funnel},
		{"GET", "/latency", access.SeeFigures, chart, s.latency},
		{"GET", "/csat", access.SeeFigures, chart, s.csat},
		{"GET", "/intents", access.SeeFigures, chart, s.intents},
		{"GET", "/users", access.SeeFigures, chart, s.users},
		{"GET", "/users/list", access.SeeTranscripts, page, s.listUsers},
		{"GET", "/compare", access.SeeFigures, chart, s.comparison},
		{"POST", "/notes", access.SeeFigures, page, s.addNote},
		{"POST", "/notes/{id}/delete", access.SeeFigures, page, s.deleteNote},
		{"GET", "/turns", access.SeeTranscripts, chart, s.turns},
		{"GET", "/conversations", access.SeeTranscripts, page, s.conversations},
		{"GET", "/conversations/volume", access.SeeTranscripts, chart, s.volume},
		{"GET", "/conversations/total", access.SeeTranscripts, chart, s.countList},
		{"POST", "/conversations/act", access.Review, page, s.act},
		{"GET", "/acts/{id}", access.Review, page, s.bulkRun},
		{"POST", "/acts/{id}/undo", access.Review, page, s.undoAct},
		{"POST", "/views", access.SeeTranscripts, page, s.addView},
		{"POST", "/views/{id}", access.SeeTranscripts, page, s.changeView},
		{"POST", "/views/{id}/delete", access.SeeTranscripts, page, s.deleteView},
		{"GET", "/conversations/{id}", access.SeeTranscripts, page, s.transcript},
		{"GET", "/conversations/{id}/test.yml", access.SeeTranscripts, page, s.endToEnd},
		{"GET", "/conversations/{id}/nlu.yml", access.SeeTranscripts, page, s.nlu},
		{"GET", "/conversations/{id}/events.json", access.SeeTranscripts, page, s.eventsJSON},
		{"POST", "/conversations/{id}/reveal", access.SeePersonal, page, s.reveal},
		{"POST", "/conversations/{id}/review", access.Review, page, s.review},
		{"POST", "/conversations/{id}/tags", access.Review, page, s.tagOne},
		{"POST", "/conversations/{id}/notes", access.Review, page, s.noteOne},
		{"POST", "/conversations/{id}/marks", access.Review, page, s.markMessage},
		{"POST", "/conversations/{id}/assign", access.Review, page, s.assignOne},
		{"POST", "/undo", access.Review, page, s.undo},
		{"GET", "/review", access.Review, page, s.reviewPage},
		{"GET", "/review/reports", access.Review, page, s.reports},
		{"GET", "/review/reports/file", access.Review, drawing, s.reportsFile},
		{"GET", "/tags", access.Review, page, s.tags},
		{"POST", "/tags", access.Review, page, s.addTag},
		{"POST", "/tags/{id}", access.ManageReviews, page, s.changeTag},
		{"GET", "/queues/edit", access.ManageReviews, page, s.editQueue},
		{"POST", "/queues", access.ManageReviews, page, s.saveQueue},
		{"GET", "/queues/{id}", access.Review, page, s.queue},
		{"GET", "/queues/{id}/mix", access.Review, page, s.queueMix},
		{"POST", "/queues/{id}/next", access.Review, page, s.nextItem},
		{"POST", "/queues/{id}/replace", access.Review, page, s.replaceItem},
		{"POST", "/queues/{id}/close", access.ManageReviews, page, s.closeQueue},
		{"GET", "/documents/{page}", access.SeeFigures, drawing, s.downloadDocument},
		{"GET", "/reports", access.ExportFigures, page, s.reportsPage},
		{"GET", "/reports/edit", access.ExportFigures, page, s.editSchedule},
		{"GET", "/reports/next", access.ExportFigures, page, s.nextOf},
		{"POST", "/reports", access.ExportFigures, page, s.keepSchedule},
		{"GET", "/reports/{id}", access.ExportFigures, page, s.schedule},
		{"POST", "/reports/{id}/test", access.ExportFigures, page, s.sendNow(true)},
		{"POST", "/reports/{id}/now", access.ExportFigures, page, s.sendNow(false)},
		{"POST", "/reports/{id}/pause", access.ExportFigures, page, s.pauseSchedule},
		{"POST", "/reports/{id}/delete", access.ExportFigures, page, s.deleteSchedule},
		{"POST", "/reports/runs/{run}/retry", access.ExportFigures, page, s.retryDelivery},
		{"GET", "/rows", access.ExportRows, table, s.rows},
		{"POST", "/exports", access.ExportRows, sweep, s.makeExport},
		{"GET", "/exports/{id}", access.ExportRows, page, s.export},
		{"GET", "/exports/{id}/file", access.ExportRows, file, s.downloadExport},
		{"POST", "/exports/{id}/cancel", access.ExportRows, page, s.cancelExport},
		{"GET", "/health", access.SeeHealth, page, s.health},
		{"GET", "/sources/{id}", access.SeeHealth, page, s.source},
		{"POST", "/sources/{id}/pause", access.Administer, page, s.pauseSource},
		{"POST", "/sources/{id}/resume", access.Administer, page, s.resumeSource},
		{"GET", "/rejected", access.ManageRejected, page, s.rejected},
		{"GET", "/rejected/download", access.ManageRejected, sweep, s.downloadRejected},
		{"POST", "/rejected/replay", access.ManageRejected, sweep, s.replayMany},
		{"POST", "/rejected/discard", access.ManageRejected, sweep, s.discardMany},
		{"GET", "/rejected/{id}", access.ManageRejected, page, s.rejectedOne},
		{"GET", "/rejected/{id}/body", access.ManageRejected, page, s.rejectedBody},
		{"POST", "/rejected/{id}/replay", access.ManageRejected, page, s.replayOne},
		{"POST", "/rejected/{id}/discard", access.ManageRejected, page, s.discardOne},
		{"GET", "/criteria", access.Administer, page, s.criteria},
		{"GET", "/criteria/edit", access.Administer, page, s.editCriteria},
		{"POST", "/criteria", access.Administer, page, s.draftCriteria},
		{"GET", "/criteria/{id}", access.Administer, page, s.criteriaVersion},
		{"POST", "/criteria/{id}/use", access.Administer, page, s.useCriteria},
		{"GET", "/account", access.OwnAccount, page, s.account},
		{"POST", "/account/name", access.OwnAccount, page, s.rename},
		{"POST", "/account/password", access.OwnAccount, page, s.changePassword},
		{"POST", "/account/sessions/end", access.OwnAccount, page, s.endSessions},
		{"POST", "/account/second", access.OwnAccount, page, s.offerSecond},
		{"POST", "/account/second/keep", access.OwnAccount, page, s.keepSecond},
		{"POST", "/account/second/remove", access.OwnAccount, page, s.removeSecond},
		{"POST", "/account/codes", access.OwnAccount, page, s.newCodes},
		{"GET", "/admin", access.Administer, page, s.admin},
		{"GET", "/admin/webhooks", access.Administer, page, s.webhooks},
		{"POST", "/admin/webhooks", access.Administer, page, s.keepWebhook},
		{"GET", "/admin/webhooks/new", access.Administer, page, s.newWebhook},
		{"GET", "/admin/webhooks/{id}", access.Administer, page, s.webhook},
		{"POST", "/admin/webhooks/{id}/map", access.Administer, page, s.mapWebhook},
		{"POST", "/admin/webhooks/{id}/remove", access.Administer, page, s.removeWebhook},
		{"GET", outgoingPath, access.Administer, page, s.outgoing},
		{"POST", outgoingPath, access.Administer, page, s.keepOutgoing},
		{"GET", outgoingPath + "/new", access.Administer, page, s.newOutgoing},
		{"GET", outgoingPath + "/{id}", access.Administer, page, s.outgoingWebhook},
		{"GET", outgoingPath + "/{id}/edit", access.Administer, page, s.editOutgoing},
		{"POST", outgoingPath + "/{id}/test", access.Administer, page, s.testOutgoing},
		{"POST", outgoingPath + "/{id}/pause", access.Administer, page, s.pauseOutgoing},
		{"POST", outgoingPath + "/{id}/resume", access.Administer, page, s.resumeOutgoing},
		{"POST", outgoingPath + "/{id}/retry", access.Administer, page, s.retryOutgoing},
		{"POST", outgoingPath + "/{id}/key", access.Administer, page, s.keyOutgoing},
		{"POST", outgoingPath + "/{id}/delete", access.Administer, page, s.deleteOutgoing},
		{"GET", "/admin/users", access.Administer, page, s.accounts},
		{"POST", "/admin/users", access.Administer, page, s.invite},
		{"POST", "/admin/users/sessions", access.Administer, page, s.endEverybody},
		{"GET", "/admin/users/{id}", access.Administer, page, s.oneAccount},
		{"POST", "/admin/users/{id}", access.Administer, page, s.changeAccount},
		{"POST", "/admin/users/{id}/link", access.Administer, page, s.linkAccount},
		{"POST", "/admin/users/{id}/sessions", access.Administer, page, s.endAccountSessions},
		{"POST", "/admin/users/{id}/second", access.Administer, page, s.resetSecond},
		{"GET", "/admin/jobs", access.Administer, page, s.jobsPage},
		{"POST", "/admin/jobs/pause", access.Administer, page, s.pauseJobs(false)},
		{"POST", "/admin/jobs/resume", access.Administer, page, s.pauseJobs(true)},
		{"POST", "/admin/jobs/{id}/retry", access.Administer, page, s.changeJob(false)},
		{"POST", "/admin/jobs/{id}/cancel", access.Administer, page, s.changeJob(true)},
		{"GET", "/admin/retention", access.Administer, page, s.retention},
		{"POST", "/admin/retention", access.Administer, page, s.addRetention},
		{"POST", "/admin/retention/{id}", access.Administer, page, s.changeRetention},
		{"POST", "/admin/retention/{id}/delete", access.Administer, page, s.deleteRetention},
		{"POST", "/admin/holds", access.Administer, page, s.hold},
		{"POST", "/admin/holds/{id}/release", access.Administer, page, s.releaseHold},
		{"GET", "/admin/personal", access.ManagePrivacy, page, s.personal},
		{"POST", "/admin/personal", access.ManagePrivacy, page, s.personal},
		{"POST", "/admin/personal/export", access.ManagePrivacy, sweep, s.exportPerson},
		{"POST", "/admin/personal/erase", access.ManagePrivacy, sweep, s.erasePerson},
		{"GET", "/admin/personal/erasures/{id}", access.ManagePrivacy, sweep, s.erasure},
		{"GET", "/admin/doctor", access.Administer, sweep, s.doctor},
		{"GET", "/admin/settings", access.Administer, page, s.settings},
		{"POST", "/admin/settings", access.Administer, page, s.keepWorkspace},
		{"GET", "/admin/settings.yml", access.Administer, page, s.settingsFile},
		{"GET", "/admin/assistant", access.Administer, page, s.assistant},
		{"POST", "/admin/assistant", access.Administer, page, s.keepAssistant},
		{"POST", "/admin/assistant/markers", access.Administer, page, s.keepPatterns},
		{"POST", "/admin/assistant/fold", access.Administer, page, s.foldAssistant},
		{"POST", "/admin/assistant/merge", access.Administer, page, s.mergeAssistant},
		{"POST", "/admin/assistant/separate", access.Administer, page, s.separateAssistant},
		{"GET", "/admin/sql", access.Administer, page, s.sqlHelp},
		{"GET", "/admin/sql/answer", access.Administer, sweep, s.sqlAnswer},
		{"GET", "/admin/logins", access.Administer, page, s.logins},
		{"POST", "/admin/logins", access.Administer, page, s.makeLogin},
		{"POST", "/admin/logins/remove", access.Administer, page, s.removeLogin},
		{"GET", "/admin/masking", access.Administer, page, s.masking},
		{"POST", "/admin/masking", access.Administer, page, s.keepMasking},
		{"POST", "/admin/masking/run", access.ManagePrivacy, page, s.maskStored},
		{"GET", "/admin/audit", access.Administer, page, s.audit},
		{"GET", "/admin/audit/file", access.Administer, sweep, s.auditFile},
		{"POST", "/admin/audit/verify", access.Administer, sweep, s.verifyAudit},
		{"POST", "/admin/audit/keep", access.Administer, sweep, s.keepAudit},
		{"GET", "/admin/mail", access.Administer, page, s.mailForm},
		{"POST", "/admin/mail", access.Administer, page, s.keepMail},
		{"POST", "/admin/mail/test", access.Administer, page, s.testMail},
		{"POST", "/admin/tokens", access.Administer, page, s.makeToken},
		{"POST", "/admin/tokens/{id}/revoke", access.Administer, page, s.revokeToken},
	}
}

func secure(https bool) func(next http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			if https {
				h.Set("Strict-Transport-Security", "max-age=31536000") // a year; of this host alone
			}
			h.Set("Content-Security-Policy", csp)
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Referrer-Policy", "no-referrer")
			h.Set("Cross-Origin-Opener-Policy", "same-origin")
			h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
			next.ServeHTTP(w, r)
		})
	}
}

// cacheNothing keeps personal pages out of caches; static files say otherwise themselves.
func cacheNothing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func (s *server) recoverPanic(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		defer func() {
			if cause := recover(); cause == http.ErrAbortHandler { //nolint:errorlint // the value itself
				panic(cause)
			} else if cause != nil {
				s.Log.ErrorContext(ctx, "a handler panicked", "cause", cause, "method", r.Method)
				http.Error(w, "Something went wrong here. The server's log says what.", http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func (s *server) notFound(w http.ResponseWriter, r *http.Request) error {
	s.message(w, r, http.StatusNotFound, views.Message{
		Page: s.page(r, "", ""), Heading: "Not found", Text: "There is nothing under this address.", Back: "/",
		BackText: "To the start",
	})
	return nil
}

// start sends everybody to the first page that is for them.
func (s *server) start(w http.ResponseWriter, r *http.Request) error {
	to := "/login"
	if _, ok := accountOf(r.Context()); ok {
		to = "/overview"
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// cost says what a route may take: how long, and whether it waits for its turn beside others that are as dear.
type cost int

const (
	page    cost = iota // a page, or a change
	chart               // a page that counts over its range: dear when that is long
	drawing             // a document with charts
	sweep               // goes through much that is stored
	table               // rows, as long as somebody reads them
	file                // a large file over a slow line
)

// within is how long a request may take before its queries are cancelled.
func (c cost) within() time.Duration {
	switch c {
	case drawing, sweep:
		return 110 * time.Second
	case table, file:
		return time.Hour
	default:
		return 20 * time.Second
	}
}

// Patterns lists the routes for people who signed in, as "METHOD /path", for tests that walk all of them.
func Patterns() (all []string) {
	for _, r := range new(server).signed() {
		all = append(all, r.method+" "+r.pattern)
	}
	return append(all, api.Patterns()...)
}
