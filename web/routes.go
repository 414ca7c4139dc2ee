package web

import (
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

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
	right           views.Right
	handler         handler
}

// signed are the routes for people who signed in, each with the right that it needs.
func (s *server) signed() []route {
	return []route{
		{"GET", "/overview", views.SeeFigures, s.overview},
		{"GET", "/flows", views.SeeFigures, s.flows},
		{"GET", "/flow", views.SeeFigures, s.flow},
		{"GET", "/paths", views.SeeFigures, s.paths},
		{"GET", "/funnel", views.SeeFigures, s.funnel},
		{"GET", "/latency", views.SeeFigures, s.latency},
		{"GET", "/csat", views.SeeFigures, s.csat},
		{"GET", "/intents", views.SeeFigures, s.intents},
		{"GET", "/users", views.SeeFigures, s.users},
		{"GET", "/users/list", views.SeeTranscripts, s.listUsers},
		{"GET", "/compare", views.SeeFigures, s.comparison},
		{"POST", "/notes", views.SeeFigures, s.addNote},
		{"POST", "/notes/{id}/delete", views.SeeFigures, s.deleteNote},
		{"GET", "/turns", views.SeeTranscripts, s.turns},
		{"GET", "/conversations", views.SeeTranscripts, s.conversations},
		{"GET", "/conversations/volume", views.SeeTranscripts, s.volume},
		{"GET", "/conversations/total", views.SeeTranscripts, s.countList},
		{"POST", "/conversations/act", views.Review, s.act},
		{"GET", "/acts/{id}", views.Review, s.bulkRun},
		{"POST", "/acts/{id}/undo", views.Review, s.undoAct},
		{"POST", "/views", views.SeeTranscripts, s.addView},
		{"POST", "/views/{id}", views.SeeTranscripts, s.changeView},
		{"POST", "/views/{id}/delete", views.SeeTranscripts, s.deleteView},
		{"GET", "/conversations/{id}", views.SeeTranscripts, s.transcript},
		{"GET", "/conversations/{id}/test.yml", views.SeeTranscripts, s.endToEnd},
		{"GET", "/conversations/{id}/nlu.yml", views.SeeTranscripts, s.nlu},
		{"GET", "/conversations/{id}/events.json", views.SeeTranscripts, s.eventsJSON},
		{"POST", "/conversations/{id}/reveal", views.SeePersonal, s.reveal},
		{"POST", "/conversations/{id}/review", views.Review, s.review},
		{"POST", "/conversations/{id}/tags", views.Review, s.tagOne},
		{"POST", "/conversations/{id}/notes", views.Review, s.noteOne},
		{"POST", "/conversations/{id}/marks", views.Review, s.markMessage},
		{"POST", "/conversations/{id}/assign", views.Review, s.assignOne},
		{"POST", "/undo", views.Review, s.undo},
		{"GET", "/review", views.Review, s.reviewPage},
		{"GET", "/review/reports", views.Review, s.reports},
		{"GET", "/review/reports/file", views.Review, s.reportsFile},
		{"GET", "/tags", views.Review, s.tags},
		{"POST", "/tags", views.Review, s.addTag},
		{"POST", "/tags/{id}", views.Lead, s.changeTag},
		{"GET", "/queues/edit", views.Lead, s.editQueue},
		{"POST", "/queues", views.Lead, s.saveQueue},
		{"GET", "/queues/{id}", views.Review, s.queue},
		{"GET", "/queues/{id}/mix", views.Review, s.queueMix},
		{"POST", "/queues/{id}/next", views.Review, s.nextItem},
		{"POST", "/queues/{id}/replace", views.Review, s.replaceItem},
		{"POST", "/queues/{id}/close", views.Lead, s.closeQueue},
		{"GET", "/documents/{page}", views.SeeFigures, s.downloadDocument},
		{"GET", "/reports", views.TakeOut, s.reportsPage},
		{"GET", "/reports/edit", views.TakeOut, s.editSchedule},
		{"GET", "/reports/next", views.TakeOut, s.nextOf},
		{"POST", "/reports", views.TakeOut, s.keepSchedule},
		{"GET", "/reports/{id}", views.TakeOut, s.schedule},
		{"POST", "/reports/{id}/test", views.TakeOut, s.sendNow(true)},
		{"POST", "/reports/{id}/now", views.TakeOut, s.sendNow(false)},
		{"POST", "/reports/{id}/pause", views.TakeOut, s.pauseSchedule},
		{"POST", "/reports/{id}/delete", views.TakeOut, s.deleteSchedule},
		{"POST", "/reports/runs/{run}/retry", views.TakeOut, s.retryDelivery},
		{"GET", "/rows", views.TakeRows, s.rows},
		{"POST", "/exports", views.TakeRows, s.makeExport},
		{"GET", "/exports/{id}", views.TakeRows, s.export},
		{"GET", "/exports/{id}/file", views.TakeRows, s.downloadExport},
		{"POST", "/exports/{id}/cancel", views.TakeRows, s.cancelExport},
		{"GET", "/health", views.SeeHealth, s.health},
		{"GET", "/sources/{id}", views.SeeHealth, s.source},
		{"POST", "/sources/{id}/pause", views.Administer, s.pauseSource},
		{"POST", "/sources/{id}/resume", views.Administer, s.resumeSource},
		{"GET", "/rejected", views.MendRejected, s.rejected},
		{"GET", "/rejected/download", views.MendRejected, s.downloadRejected},
		{"POST", "/rejected/replay", views.MendRejected, s.replayMany},
		{"POST", "/rejected/discard", views.MendRejected, s.discardMany},
		{"GET", "/rejected/{id}", views.MendRejected, s.rejectedOne},
		{"GET", "/rejected/{id}/body", views.MendRejected, s.rejectedBody},
		{"POST", "/rejected/{id}/replay", views.MendRejected, s.replayOne},
		{"POST", "/rejected/{id}/discard", views.MendRejected, s.discardOne},
		{"GET", "/criteria", views.Administer, s.criteria},
		{"GET", "/criteria/edit", views.Administer, s.editCriteria},
		{"POST", "/criteria", views.Administer, s.draftCriteria},
		{"GET", "/criteria/{id}", views.Administer, s.criteriaVersion},
		{"POST", "/criteria/{id}/use", views.Administer, s.useCriteria},
		{"GET", "/account", views.HaveAccount, s.account},
		{"POST", "/account/name", views.HaveAccount, s.rename},
		{"POST", "/account/password", views.HaveAccount, s.changePassword},
		{"POST", "/account/sessions/end", views.HaveAccount, s.endSessions},
		{"POST", "/account/second", views.HaveAccount, s.offerSecond},
		{"POST", "/account/second/keep", views.HaveAccount, s.keepSecond},
		{"POST", "/account/second/remove", views.HaveAccount, s.removeSecond},
		{"POST", "/account/codes", views.HaveAccount, s.newCodes},
		{"GET", "/admin", views.Administer, s.admin},
		{"GET", "/admin/users", views.Administer, s.people},
		{"POST", "/admin/users", views.Administer, s.invite},
		{"POST", "/admin/users/sessions", views.Administer, s.endEverybody},
		{"GET", "/admin/users/{id}", views.Administer, s.person},
		{"POST", "/admin/users/{id}", views.Administer, s.changePerson},
		{"POST", "/admin/users/{id}/link", views.Administer, s.linkPerson},
		{"POST", "/admin/users/{id}/sessions", views.Administer, s.endPerson},
		{"POST", "/admin/users/{id}/second", views.Administer, s.resetSecond},
		{"GET", "/admin/jobs", views.Administer, s.jobsPage},
		{"POST", "/admin/jobs/pause", views.Administer, s.pauseJobs(false)},
		{"POST", "/admin/jobs/resume", views.Administer, s.pauseJobs(true)},
		{"POST", "/admin/jobs/{id}/retry", views.Administer, s.changeJob(false)},
		{"POST", "/admin/jobs/{id}/cancel", views.Administer, s.changeJob(true)},
		{"GET", "/admin/retention", views.Administer, s.retention},
		{"POST", "/admin/retention", views.Administer, s.addRetention},
		{"POST", "/admin/retention/{id}", views.Administer, s.changeRetention},
		{"POST", "/admin/retention/{id}/delete", views.Administer, s.deleteRetention},
		{"POST", "/admin/holds", views.Administer, s.hold},
		{"POST", "/admin/holds/{id}/release", views.Administer, s.releaseHold},
		{"GET", "/admin/personal", views.HandlePeople, s.personal},
		{"POST", "/admin/personal", views.HandlePeople, s.personal},
		{"POST", "/admin/personal/export", views.HandlePeople, s.exportPerson},
		{"POST", "/admin/personal/erase", views.HandlePeople, s.erasePerson},
		{"GET", "/admin/personal/erasures/{id}", views.HandlePeople, s.erasure},
		{"GET", "/admin/doctor", views.Administer, s.doctor},
		{"GET", "/admin/settings", views.Administer, s.settings},
		{"POST", "/admin/settings", views.Administer, s.keepWorkspace},
		{"GET", "/admin/settings.yml", views.Administer, s.settingsFile},
		{"GET", "/admin/assistant", views.Administer, s.assistant},
		{"POST", "/admin/assistant", views.Administer, s.keepAssistant},
		{"POST", "/admin/assistant/fold", views.Administer, s.foldAssistant},
		{"POST", "/admin/assistant/merge", views.Administer, s.mergeAssistant},
		{"POST", "/admin/assistant/separate", views.Administer, s.separateAssistant},
		{"GET", "/admin/masking", views.Administer, s.masking},
		{"POST", "/admin/masking", views.Administer, s.keepMasking},
		{"POST", "/admin/masking/run", views.HandlePeople, s.maskStored},
		{"GET", "/admin/audit", views.Administer, s.audit},
		{"GET", "/admin/audit/file", views.Administer, s.auditFile},
		{"POST", "/admin/audit/verify", views.Administer, s.verifyAudit},
		{"POST", "/admin/audit/keep", views.Administer, s.keepAudit},
		{"GET", "/admin/mail", views.Administer, s.mailForm},
		{"POST", "/admin/mail", views.Administer, s.keepMail},
		{"POST", "/admin/mail/test", views.Administer, s.testMail},
		{"POST", "/admin/tokens", views.Administer, s.makeToken},
		{"POST", "/admin/tokens/{id}/revoke", views.Administer, s.revokeToken},
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
