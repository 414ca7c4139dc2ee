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
)

// csp lets pages load nothing that is not ours, and run no script that stands in a page.
const csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// routes is the whole site. Whatever stands within signed needs a right that is named beside it.
func (s *server) routes() http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.GetHead, s.recoverPanic, secure(strings.HasPrefix(s.URL, "https://")), cacheNothing)
	r.Method(http.MethodGet, "/static/*", static.Handler())
	r.Method(http.MethodPost, "/api/v1/ingest/rasa", s.Ingest)
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
			r.Method(route.method, route.pattern, s.handle(s.need(route.right, route.handler)))
		}
	})
	return http.NewCrossOriginProtection().Handler(r)
}

type route struct {
	method, pattern string
	right           access.Right
	handler         handler
}

// signed are the routes for people who signed in, each with the right that it needs.
func (s *server) signed() []route {
	return []route{
		{"GET", "/overview", access.SeeFigures, s.overview},
		{"GET", "/flows", access.SeeFigures, s.flows},
		{"GET", "/flow", access.SeeFigures, s.flow},
		{"GET", "/paths", access.SeeFigures, s.paths},
		{"GET", "/funnel", access.SeeFigures, s.funnel},
		{"GET", "/latency", access.SeeFigures, s.latency},
		{"GET", "/csat", access.SeeFigures, s.csat},
		{"GET", "/intents", access.SeeFigures, s.intents},
		{"GET", "/users", access.SeeFigures, s.users},
		{"GET", "/users/list", access.SeeTranscripts, s.listUsers},
		{"GET", "/compare", access.SeeFigures, s.comparison},
		{"POST", "/notes", access.SeeFigures, s.addNote},
		{"POST", "/notes/{id}/delete", access.SeeFigures, s.deleteNote},
		{"GET", "/turns", access.SeeTranscripts, s.turns},
		{"GET", "/conversations", access.SeeTranscripts, s.conversations},
		{"GET", "/conversations/volume", access.SeeTranscripts, s.volume},
		{"GET", "/conversations/total", access.SeeTranscripts, s.countList},
		{"POST", "/conversations/act", access.Review, s.act},
		{"GET", "/acts/{id}", access.Review, s.bulkRun},
		{"POST", "/acts/{id}/undo", access.Review, s.undoAct},
		{"POST", "/views", access.SeeTranscripts, s.addView},
		{"POST", "/views/{id}", access.SeeTranscripts, s.changeView},
		{"POST", "/views/{id}/delete", access.SeeTranscripts, s.deleteView},
		{"GET", "/conversations/{id}", access.SeeTranscripts, s.transcript},
		{"GET", "/conversations/{id}/test.yml", access.SeeTranscripts, s.endToEnd},
		{"GET", "/conversations/{id}/nlu.yml", access.SeeTranscripts, s.nlu},
		{"GET", "/conversations/{id}/events.json", access.SeeTranscripts, s.eventsJSON},
		{"POST", "/conversations/{id}/reveal", access.SeePersonal, s.reveal},
		{"POST", "/conversations/{id}/review", access.Review, s.review},
		{"POST", "/conversations/{id}/tags", access.Review, s.tagOne},
		{"POST", "/conversations/{id}/notes", access.Review, s.noteOne},
		{"POST", "/conversations/{id}/marks", access.Review, s.markMessage},
		{"POST", "/conversations/{id}/assign", access.Review, s.assignOne},
		{"POST", "/undo", access.Review, s.undo},
		{"GET", "/review", access.Review, s.reviewPage},
		{"GET", "/review/reports", access.Review, s.reports},
		{"GET", "/review/reports/file", access.Review, s.reportsFile},
		{"GET", "/tags", access.Review, s.tags},
		{"POST", "/tags", access.Review, s.addTag},
		{"POST", "/tags/{id}", access.ManageReviews, s.changeTag},
		{"GET", "/queues/edit", access.ManageReviews, s.editQueue},
		{"POST", "/queues", access.ManageReviews, s.saveQueue},
		{"GET", "/queues/{id}", access.Review, s.queue},
		{"GET", "/queues/{id}/mix", access.Review, s.queueMix},
		{"POST", "/queues/{id}/next", access.Review, s.nextItem},
		{"POST", "/queues/{id}/replace", access.Review, s.replaceItem},
		{"POST", "/queues/{id}/close", access.ManageReviews, s.closeQueue},
		{"GET", "/documents/{page}", access.SeeFigures, s.downloadDocument},
		{"GET", "/reports", access.ExportFigures, s.reportsPage},
		{"GET", "/reports/edit", access.ExportFigures, s.editSchedule},
		{"GET", "/reports/next", access.ExportFigures, s.nextOf},
		{"POST", "/reports", access.ExportFigures, s.keepSchedule},
		{"GET", "/reports/{id}", access.ExportFigures, s.schedule},
		{"POST", "/reports/{id}/test", access.ExportFigures, s.sendNow(true)},
		{"POST", "/reports/{id}/now", access.ExportFigures, s.sendNow(false)},
		{"POST", "/reports/{id}/pause", access.ExportFigures, s.pauseSchedule},
		{"POST", "/reports/{id}/delete", access.ExportFigures, s.deleteSchedule},
		{"POST", "/reports/runs/{run}/retry", access.ExportFigures, s.retryDelivery},
		{"GET", "/rows", access.ExportRows, s.rows},
		{"POST", "/exports", access.ExportRows, s.makeExport},
		{"GET", "/exports/{id}", access.ExportRows, s.export},
		{"GET", "/exports/{id}/file", access.ExportRows, s.downloadExport},
		{"POST", "/exports/{id}/cancel", access.ExportRows, s.cancelExport},
		{"GET", "/health", access.SeeHealth, s.health},
		{"GET", "/sources/{id}", access.SeeHealth, s.source},
		{"POST", "/sources/{id}/pause", access.Administer, s.pauseSource},
		{"POST", "/sources/{id}/resume", access.Administer, s.resumeSource},
		{"GET", "/rejected", access.ManageRejected, s.rejected},
		{"GET", "/rejected/download", access.ManageRejected, s.downloadRejected},
		{"POST", "/rejected/replay", access.ManageRejected, s.replayMany},
		{"POST", "/rejected/discard", access.ManageRejected, s.discardMany},
		{"GET", "/rejected/{id}", access.ManageRejected, s.rejectedOne},
		{"GET", "/rejected/{id}/body", access.ManageRejected, s.rejectedBody},
		{"POST", "/rejected/{id}/replay", access.ManageRejected, s.replayOne},
		{"POST", "/rejected/{id}/discard", access.ManageRejected, s.discardOne},
		{"GET", "/criteria", access.Administer, s.criteria},
		{"GET", "/criteria/edit", access.Administer, s.editCriteria},
		{"POST", "/criteria", access.Administer, s.draftCriteria},
		{"GET", "/criteria/{id}", access.Administer, s.criteriaVersion},
		{"POST", "/criteria/{id}/use", access.Administer, s.useCriteria},
		{"GET", "/account", access.Account, s.account},
		{"POST", "/account/name", access.Account, s.rename},
		{"POST", "/account/password", access.Account, s.changePassword},
		{"POST", "/account/sessions/end", access.Account, s.endSessions},
		{"POST", "/account/second", access.Account, s.offerSecond},
		{"POST", "/account/second/keep", access.Account, s.keepSecond},
		{"POST", "/account/second/remove", access.Account, s.removeSecond},
		{"POST", "/account/codes", access.Account, s.newCodes},
		{"GET", "/admin", access.Administer, s.admin},
		{"GET", "/admin/users", access.Administer, s.people},
		{"POST", "/admin/users", access.Administer, s.invite},
		{"POST", "/admin/users/sessions", access.Administer, s.endEverybody},
		{"GET", "/admin/users/{id}", access.Administer, s.person},
		{"POST", "/admin/users/{id}", access.Administer, s.changePerson},
		{"POST", "/admin/users/{id}/link", access.Administer, s.linkPerson},
		{"POST", "/admin/users/{id}/sessions", access.Administer, s.endPerson},
		{"POST", "/admin/users/{id}/second", access.Administer, s.resetSecond},
		{"GET", "/admin/jobs", access.Administer, s.jobsPage},
		{"POST", "/admin/jobs/pause", access.Administer, s.pauseJobs(false)},
		{"POST", "/admin/jobs/resume", access.Administer, s.pauseJobs(true)},
		{"POST", "/admin/jobs/{id}/retry", access.Administer, s.changeJob(false)},
		{"POST", "/admin/jobs/{id}/cancel", access.Administer, s.changeJob(true)},
		{"GET", "/admin/retention", access.Administer, s.retention},
		{"POST", "/admin/retention", access.Administer, s.addRetention},
		{"POST", "/admin/retention/{id}", access.Administer, s.changeRetention},
		{"POST", "/admin/retention/{id}/delete", access.Administer, s.deleteRetention},
		{"POST", "/admin/holds", access.Administer, s.hold},
		{"POST", "/admin/holds/{id}/release", access.Administer, s.releaseHold},
		{"GET", "/admin/personal", access.ManagePrivacy, s.personal},
		{"POST", "/admin/personal", access.ManagePrivacy, s.personal},
		{"POST", "/admin/personal/export", access.ManagePrivacy, s.exportPerson},
		{"POST", "/admin/personal/erase", access.ManagePrivacy, s.erasePerson},
		{"GET", "/admin/personal/erasures/{id}", access.ManagePrivacy, s.erasure},
		{"GET", "/admin/doctor", access.Administer, s.doctor},
		{"GET", "/admin/settings", access.Administer, s.settings},
		{"POST", "/admin/settings", access.Administer, s.keepWorkspace},
		{"GET", "/admin/settings.yml", access.Administer, s.settingsFile},
		{"GET", "/admin/assistant", access.Administer, s.assistant},
		{"POST", "/admin/assistant", access.Administer, s.keepAssistant},
		{"POST", "/admin/assistant/fold", access.Administer, s.foldAssistant},
		{"POST", "/admin/assistant/merge", access.Administer, s.mergeAssistant},
		{"POST", "/admin/assistant/separate", access.Administer, s.separateAssistant},
		{"GET", "/admin/masking", access.Administer, s.masking},
		{"POST", "/admin/masking", access.Administer, s.keepMasking},
		{"POST", "/admin/masking/run", access.ManagePrivacy, s.maskStored},
		{"GET", "/admin/audit", access.Administer, s.audit},
		{"GET", "/admin/audit/file", access.Administer, s.auditFile},
		{"POST", "/admin/audit/verify", access.Administer, s.verifyAudit},
		{"POST", "/admin/audit/keep", access.Administer, s.keepAudit},
		{"GET", "/admin/mail", access.Administer, s.mailForm},
		{"POST", "/admin/mail", access.Administer, s.keepMail},
		{"POST", "/admin/mail/test", access.Administer, s.testMail},
		{"POST", "/admin/tokens", access.Administer, s.makeToken},
		{"POST", "/admin/tokens/{id}/revoke", access.Administer, s.revokeToken},
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
		Page: s.page(r, "", ""), Heading: "Not found", Text: "There is nothing under this address.", Back: "/", BackText: "To the start",
	})
	return nil
}

// start sends everybody to the first page that is for them.
func (s *server) start(w http.ResponseWriter, r *http.Request) error {
	to := "/login"
	if _, ok := userOf(r.Context()); ok {
		to = "/overview"
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// slowRequest is how long a page may take before its queries are cancelled; what goes through all rejected
// events may take longer.
const (
	slowRequest = 20 * time.Second
	longRequest = 110 * time.Second
	fileRequest = time.Hour // a large file over a slow line
)

func patience(path string) time.Duration {
	switch path {
	case "/exports", "/rejected/download", "/rejected/replay", "/rejected/discard":
		return longRequest
	}
	if strings.HasPrefix(path, "/documents/") || path == "/review/reports/file" || path == "/admin/doctor" || strings.HasPrefix(path, "/admin/audit/") || strings.HasPrefix(path, "/admin/personal/") { // charts are drawn
		return longRequest
	}
	if strings.HasPrefix(path, "/exports/") && strings.HasSuffix(path, "/file") || strings.HasPrefix(path, "/files/") || path == "/rows" {
		return fileRequest
	}
	return slowRequest
}

// Patterns lists the routes for people who signed in, as "METHOD /path", for tests that walk all of them.
func Patterns() (all []string) {
	for _, r := range new(server).signed() {
		all = append(all, r.method+" "+r.pattern)
	}
	return all
}
