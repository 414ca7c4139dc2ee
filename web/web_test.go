package web_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/access"
	"turnwise/demo"
	"turnwise/ingest"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/dbtest"
	"turnwise/queries/store"
	"turnwise/web"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

const password = "correct horse battery"

// addUsers makes a user of every role.
func addUsers(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	hash, err := access.HashPassword(password)
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range access.Roles {
		if err := queries.AddAccount(t.Context(), pool, access.Account{
			ID: queries.NewID(), Email: role + "@example.org", Name: role, Role: role, PasswordHash: hash,
			CreatedAt: time.Now(),
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// site serves the pages on a database of its own, with a user of every role.
func site(t *testing.T, replay web.Replay) (*httptest.Server, *pgxpool.Pool) {
	t.Helper()
	pool := dbtest.Pool(t)
	addUsers(t, pool)
	handler, stop := web.New(web.Config{
		Pool: pool, Log: slog.New(slog.DiscardHandler), Zone: time.UTC, URL: "http://localhost",
		Ingest: http.NotFoundHandler(), Replay: replay, Knows: ingest.Knows,
	})
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.Close()
		stop()
	})
	return server, pool
}

// change changes what a user is and may.
func change(t *testing.T, pool *pgxpool.Pool, email string, do func(u *access.Account)) error {
	t.Helper()
	u, err := queries.AccountByEmail(t.Context(), pool, email)
	if err != nil {
		return err
	}
	do(&u)
	return pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { return queries.ChangeAccount(t.Context(), tx, u) })
}

func client(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{
		Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func signIn(t *testing.T, base, role string) *http.Client {
	t.Helper()
	c := client(t)
	if role == "" {
		return c
	}
	resp, err := c.PostForm(base+"/login", url.Values{"email": {role + "@example.org"}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign in as %s: %s", role, resp.Status)
	}
	return c
}

func get(t *testing.T, c *http.Client, method, address string, header ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

// TestRights walks every route with every role; a route that is missing here fails.
func TestRights(t *testing.T) {
	t.Parallel()
	server, _ := site(t, func(context.Context, queries.RejectedEvent, []byte) error { return nil })
	const id = "/0d3c6a50-6d5b-4f3a-9f7e-2f8f1c1f9a11"
	open := []string{"GET /api/v1/openapi.json"}
	routes := map[string][5]int{ // anonymous, viewer, reviewer, supervisor, admin
		"GET /overview":                       {303, 200, 200, 200, 200},
		"GET /flows":                          {303, 200, 200, 200, 200},
		"GET /flow":                           {303, 404, 404, 404, 404},
		"GET /paths":                          {303, 404, 404, 404, 404},
		"GET /funnel":                         {303, 200, 200, 200, 200},
		"GET /latency":                        {303, 200, 200, 200, 200},
		"GET /csat":                           {303, 200, 200, 200, 200},
		"GET /intents":                        {303, 200, 200, 200, 200},
		"GET /compare":                        {303, 200, 200, 200, 200},
		"GET /users":                          {303, 200, 200, 200, 200},
		"GET /users/list":                     {303, 403, 200, 200, 200},
		"POST /notes":                         {303, 400, 400, 400, 400},
		"POST /notes/{id}/delete":             {303, 404, 404, 404, 404},
		"GET /turns":                          {303, 403, 200, 200, 200},
		"GET /overview?range=x":               {303, 400, 400, 400, 400},
		"GET /conversations":                  {303, 403, 200, 200, 200},
		"GET /conversations/{id}":             {303, 403, 404, 404, 404},
		"GET /conversations/volume":           {303, 403, 200, 200, 200},
		"GET /conversations/total":            {303, 403, 200, 200, 200},
		"POST /conversations/act":             {303, 403, 400, 400, 400},
		"GET /acts/{id}":                      {303, 403, 404, 404, 404},
		"POST /acts/{id}/undo":                {303, 403, 404, 404, 404},
		"POST /views":                         {303, 403, 400, 400, 400},
		"POST /views/{id}":                    {303, 403, 404, 404, 404},
		"POST /views/{id}/delete":             {303, 403, 404, 404, 404},
		"GET /conversations/{id}/test.yml":    {303, 403, 404, 404, 404},
		"GET /conversations/{id}/nlu.yml":     {303, 403, 404, 404, 404},
		"GET /conversations/{id}/events.json": {303, 403, 404, 404, 404},
		"POST /conversations/{id}/reveal":     {303, 403, 403, 403, 404},
		"GET /admin/doctor":                   {303, 403, 403, 403, 200},
		"GET /admin/settings":                 {303, 403, 403, 403, 200},
		"POST /admin/settings":                {303, 403, 403, 403, 422},
		"GET /admin/settings.yml":             {303, 403, 403, 403, 200},
		"GET /admin/assistant":                {303, 403, 403, 403, 404},
		"POST /admin/assistant":               {303, 403, 403, 403, 404},
		"POST /admin/assistant/markers":       {303, 403, 403, 403, 404},
		"POST /admin/assistant/fold":          {303, 403, 403, 403, 404},
		"POST /admin/assistant/merge":         {303, 403, 403, 403, 404},
		"POST /admin/assistant/separate":      {303, 403, 403, 403, 404},
		"GET /admin/masking":                  {303, 403, 403, 403, 200},
		"POST /admin/masking":                 {303, 403, 403, 403, 303},
		"POST /admin/masking/run":             {303, 403, 403, 403, 422},
		"POST /conversations/{id}/review":     {303, 403, 404, 404, 404},
		"POST /conversations/{id}/tags":       {303, 403, 404, 404, 404},
		"POST /conversations/{id}/notes":      {303, 403, 404, 404, 404},
		"POST /conversations/{id}/marks":      {303, 403, 404, 404, 404},
		"POST /conversations/{id}/assign":     {303, 403, 404, 404, 404},
		"POST /undo":                          {303, 403, 404, 404, 404},
		"GET /review":                         {303, 403, 200, 200, 200},
		"GET /review/reports":                 {303, 403, 200, 200, 200},
		"GET /review/reports/file":            {303, 403, 400, 400, 400},
		"GET /tags":                           {303, 403, 200, 200, 200},
		"POST /tags":                          {303, 403, 422, 422, 422},
		"POST /tags/{id}":                     {303, 403, 403, 422, 422},
		"GET /queues/edit":                    {303, 403, 403, 200, 200},
		"POST /queues":                        {303, 403, 403, 422, 422},
		"GET /queues/{id}":                    {303, 403, 404, 404, 404},
		"GET /queues/{id}/mix":                {303, 403, 404, 404, 404},
		"POST /queues/{id}/next":              {303, 403, 303, 303, 303},
		"POST /queues/{id}/replace":           {303, 403, 404, 404, 404},
		"POST /queues/{id}/close":             {303, 403, 403, 404, 404},
		"GET /documents/{page}":               {303, 404, 404, 404, 404},
		"GET /reports":                        {303, 403, 403, 200, 200},
		"GET /reports/edit":                   {303, 403, 403, 200, 200},
		"GET /reports/next":                   {303, 403, 403, 200, 200},
		"POST /reports":                       {303, 403, 403, 422, 422},
		"GET /reports/{id}":                   {303, 403, 403, 404, 404},
		"POST /reports/{id}/test":             {303, 403, 403, 404, 404},
		"POST /reports/{id}/now":              {303, 403, 403, 404, 404},
		"POST /reports/{id}/pause":            {303, 403, 403, 404, 404},
		"POST /reports/{id}/delete":           {303, 403, 403, 404, 404},
		"POST /reports/runs/{run}/retry":      {303, 403, 403, 404, 404},
		"GET /admin/jobs":                     {303, 403, 403, 403, 200},
		"POST /admin/jobs/pause":              {303, 403, 403, 403, 404},
		"POST /admin/jobs/resume":             {303, 403, 403, 403, 404},
		"POST /admin/jobs/{id}/retry":         {303, 403, 403, 403, 404},
		"POST /admin/jobs/{id}/cancel":        {303, 403, 403, 403, 404},
		"GET /admin/retention":                {303, 403, 403, 403, 200},
		"POST /admin/retention":               {303, 403, 403, 403, 303},
		"POST /admin/retention/{id}":          {303, 403, 403, 403, 404},
		"POST /admin/retention/{id}/delete":   {303, 403, 403, 403, 404},
		"POST /admin/holds":                   {303, 403, 403, 403, 422},
		"POST /admin/holds/{id}/release":      {303, 403, 403, 403, 404},
		"GET /admin/personal":                 {303, 403, 403, 403, 200},
		"POST /admin/personal":                {303, 403, 403, 403, 200},
		"POST /admin/personal/export":         {303, 403, 403, 403, 404},
		"POST /admin/personal/erase":          {303, 403, 403, 403, 422},
		"GET /admin/personal/erasures/{id}":   {303, 403, 403, 403, 404},
		"GET /admin/audit":                    {303, 403, 403, 403, 200},
		"GET /admin/audit/file":               {303, 403, 403, 403, 400},
		"POST /admin/audit/verify":            {303, 403, 403, 403, 200},
		"POST /admin/audit/keep":              {303, 403, 403, 403, 303},
		"GET /admin/mail":                     {303, 403, 403, 403, 200},
		"POST /admin/mail":                    {303, 403, 403, 403, 422},
		"POST /admin/mail/test":               {303, 403, 403, 403, 404},
		"GET /rows":                           {303, 403, 403, 400, 400},
		"POST /exports":                       {303, 403, 403, 400, 400},
		"GET /exports/{id}":                   {303, 403, 403, 404, 404},
		"GET /exports/{id}/file":              {303, 403, 403, 404, 404},
		"POST /exports/{id}/cancel":           {303, 403, 403, 404, 404},
		"GET /health":                         {303, 200, 200, 200, 200},
		"GET /sources/{id}":                   {303, 404, 404, 404, 404},
		"POST /sources/{id}/pause":            {303, 403, 403, 403, 404},
		"POST /sources/{id}/resume":           {303, 403, 403, 403, 404},
		"GET /rejected":                       {303, 403, 403, 403, 200},
		"GET /rejected/download":              {303, 403, 403, 403, 200},
		"POST /rejected/replay":               {303, 403, 403, 403, 303},
		"POST /rejected/discard":              {303, 403, 403, 403, 303},
		"GET /rejected/{id}":                  {303, 403, 403, 403, 404},
		"GET /rejected/{id}/body":             {303, 403, 403, 403, 404},
		"POST /rejected/{id}/replay":          {303, 403, 403, 403, 404},
		"POST /rejected/{id}/discard":         {303, 403, 403, 403, 404},
		"GET /criteria":                       {303, 403, 403, 403, 200},
		"GET /criteria/edit":                  {303, 403, 403, 403, 404},
		"POST /criteria":                      {303, 403, 403, 403, 404},
		"GET /criteria/{id}":                  {303, 403, 403, 403, 404},
		"POST /criteria/{id}/use":             {303, 403, 403, 403, 404},
		"GET /admin":                          {303, 403, 403, 403, 200},
		"GET /account":                        {303, 200, 200, 200, 200},
		"POST /account/name":                  {303, 422, 422, 422, 422},
		"POST /account/password":              {303, 422, 422, 422, 422},
		"POST /account/sessions/end":          {303, 303, 303, 303, 303},
		"POST /account/second":                {303, 404, 404, 404, 404},
		"POST /account/second/keep":           {303, 404, 404, 404, 404},
		"POST /account/second/remove":         {303, 422, 422, 422, 422},
		"POST /account/codes":                 {303, 404, 404, 404, 404},
		"GET /admin/sql":                      {303, 403, 403, 403, 200},
		"GET /admin/sql/answer":               {303, 403, 403, 403, 404},
		"GET /admin/logins":                   {303, 403, 403, 403, 200},
		"POST /admin/logins":                  {303, 403, 403, 403, 422},
		"POST /admin/logins/remove":           {303, 403, 403, 403, 404},
		"GET /admin/webhooks":                 {303, 403, 403, 403, 200},
		"POST /admin/webhooks":                {303, 403, 403, 403, 422},
		"GET /admin/webhooks/new":             {303, 403, 403, 403, 200},
		"GET /admin/webhooks/{id}":            {303, 403, 403, 403, 404},
		"POST /admin/webhooks/{id}/map":       {303, 403, 403, 403, 404},
		"POST /admin/webhooks/{id}/remove":    {303, 403, 403, 403, 404},

		"GET /admin/outgoing-webhooks":              {303, 403, 403, 403, 200},
		"POST /admin/outgoing-webhooks":             {303, 403, 403, 403, 400},
		"GET /admin/outgoing-webhooks/new":          {303, 403, 403, 403, 200},
		"GET /admin/outgoing-webhooks/{id}":         {303, 403, 403, 403, 404},
		"GET /admin/outgoing-webhooks/{id}/edit":    {303, 403, 403, 403, 404},
		"POST /admin/outgoing-webhooks/{id}/test":   {303, 403, 403, 403, 404},
		"POST /admin/outgoing-webhooks/{id}/pause":  {303, 403, 403, 403, 404},
		"POST /admin/outgoing-webhooks/{id}/resume": {303, 403, 403, 403, 404},
		"POST /admin/outgoing-webhooks/{id}/retry":  {303, 403, 403, 403, 404},
		"POST /admin/outgoing-webhooks/{id}/key":    {303, 403, 403, 403, 404},
		"POST /admin/outgoing-webhooks/{id}/delete": {303, 403, 403, 403, 404},

		"GET /admin/users":                {303, 403, 403, 403, 200},
		"POST /admin/users":               {303, 403, 403, 403, 422},
		"POST /admin/users/sessions":      {303, 403, 403, 403, 303},
		"GET /admin/users/{id}":           {303, 403, 403, 403, 404},
		"POST /admin/users/{id}":          {303, 403, 403, 403, 404},
		"POST /admin/users/{id}/link":     {303, 403, 403, 403, 404},
		"POST /admin/users/{id}/sessions": {303, 403, 403, 403, 404},
		"POST /admin/users/{id}/second":   {303, 403, 403, 403, 404},
		"POST /admin/tokens":              {303, 403, 403, 403, 422},
		"POST /admin/tokens/{id}/revoke":  {303, 403, 403, 403, 404},
		"GET /":                           {303, 303, 303, 303, 303},
		"GET /login":                      {200, 303, 303, 303, 303},
		"GET /no/such/page":               {404, 404, 404, 404, 404},
		"DELETE /conversations":           {404, 404, 404, 404, 404},
		"GET /api/v1/ingest/rasa":         {404, 404, 404, 404, 404},
		"GET /api/v1/ingest/events":       {404, 404, 404, 404, 404},
		"POST /mcp":                       {401, 401, 401, 401, 401},
		"GET /mcp":                        {401, 401, 401, 401, 401},
		"GET /static/x/nothing.css":       {404, 404, 404, 404, 404},
		"GET /conversations?from=x":       {303, 403, 400, 400, 400},
		"GET /conversations/:id":          {303, 403, 404, 404, 404},
	}
	for _, r := range web.Patterns() {
		if strings.Contains(r, " /api/v1/") { // by tokens alone, whoever signed in; TestRoles walks these with tokens
			routes[r] = [5]int{401, 401, 401, 401, 401}
			if slices.Contains(open, r) {
				routes[r] = [5]int{200, 200, 200, 200, 200}
			}
			if strings.Contains(r, "/ingest/") { // which is not here
				routes[r] = [5]int{404, 404, 404, 404, 404}
			}
		}
		if _, ok := routes[r]; !ok {
			t.Errorf("%s is not in this table", r)
		}
	}
	for i, role := range append([]string{""}, access.Roles...) {
		c := signIn(t, server.URL, role)
		for route, want := range routes {
			method, path, _ := strings.Cut(route, " ")
			path = strings.ReplaceAll(path, "/{id}", id)
			if got, body, _ := get(t, c, method, server.URL+path); got != want[i] && (got != 405 || want[i] != 404) {
				t.Errorf("%s as %q: got %d, want %d: %.200s", route, role, got, want[i], body)
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	server, _ := site(t, nil)
	_, _, h := get(t, client(t), "GET", server.URL+"/login")
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
	} {
		if !strings.Contains(h.Get(name), want) {
			t.Errorf("%s: %q lacks %q", name, h.Get(name), want)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/login", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if z, err := gzip.NewReader(resp.Body); err != nil || resp.Header.Get("Content-Encoding") != "gzip" ||
		!strings.Contains(strings.ToLower(strings.Join(resp.Header.Values("Vary"), ",")), "accept-encoding") {
		t.Errorf("a page is not compressed: %v, %v", err, resp.Header)
	} else if page, err := io.ReadAll(z); err != nil || !bytes.Contains(page, []byte("<html")) {
		t.Errorf("compressed, a page is broken: %v", err)
	}
	if strings.Contains(h.Get("Content-Security-Policy"), "unsafe") {
		t.Error("the policy allows something unsafe")
	}
}

func TestRejected(t *testing.T) {
	t.Parallel()
	var replayed []string
	server, pool := site(t, func(_ context.Context, r queries.RejectedEvent, body []byte) error {
		if strings.Contains(string(body), "broken") {
			return &metric.InputError{Field: "body", Msg: "still broken"}
		}
		replayed = append(replayed, r.Assistant+" "+string(body))
		return nil
	})
	src, err := store.AddSource(t.Context(), pool, "a topic", "http", 1)
	if err != nil {
		t.Fatal(err)
	}
	var rows []queries.RejectedEvent
	for _, body := range []string{"{broken <script>alert(1)</script>", `{"fine":1}`, `{"fine":2}`} {
		rows = append(rows, queries.RejectedEvent{
			ID: queries.NewID(), SourceID: src, LastAt: time.Now(), Position: "line 1", Code: "json",
			Detail: "not JSON", ByteOffset: 3, Assistant: "bot", Body: []byte(body), Size: int32(len(body)),
		})
	}
	if err := errors.Join(
		store.AddRejected(t.Context(), pool, rows), store.AddRejected(t.Context(), pool, rows[:1]),
	); err != nil {
		t.Fatal(err)
	}
	c := signIn(t, server.URL, "admin")
	if _, page, _ := get(
		t, c, "GET", server.URL+"/health",
	); !strings.Contains(page, "not JSON") || !strings.Contains(page, "a topic") {
		t.Error("the reason is not on Data health")
	}
	_, page, _ := get(t, c, "GET", server.URL+"/rejected?code=json")
	if strings.Contains(page, "<script>alert") || !strings.Contains(page, "&lt;script&gt;alert") {
		t.Error("a body is not shown as text")
	}
	if _, file, _ := get(t, c, "GET", server.URL+"/rejected/download"); strings.Count(file, "\n") != 3 {
		t.Errorf("the download has other lines than three: %s", file)
	}
	one := server.URL + "/rejected/" + rows[0].ID.String()
	if _, b, _ := get(t, c, "GET", one); !strings.Contains(
		b, "line 1, column 4 (byte 3)",
	) || !strings.Contains(b, "<mark>o</mark>") || strings.Contains(b, "<script>alert") {
		t.Errorf("the place is not marked: %s", b)
	}
	if _, b, _ := get(
		t, c, "GET", server.URL+"/rejected?state=discarded",
	); strings.Contains(b, "script") && strings.Contains(b, "Replay all") {
		t.Error("open ones are listed as discarded")
	}
	if status, _, _ := get(t, c, "GET", server.URL+"/rejected?state=lost"); status != 400 {
		t.Errorf("a state that is none: %d", status)
	}
	if _, b, _ := get(t, c, "GET", one+"/body"); b != string(rows[0].Body) {
		t.Errorf("the body comes back as %q", b)
	}
	resp, err := c.PostForm(one+"/replay", url.Values{"body": {"{broken again"}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 422 {
		t.Errorf("a body that is still broken: %s", resp.Status)
	}
	if got, _, h := get(
		t, c, "POST", server.URL+"/rejected/replay",
	); got != 303 || !strings.Contains(h.Get("Location"), "done=2") || !strings.Contains(
		h.Get("Location"), "failed=1",
	) {
		t.Errorf("replay of all: %d to %s", got, h.Get("Location"))
	}
	if resp, err = c.PostForm(one+"/replay", url.Values{"body": {`{"mended":1}`}}); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if len(replayed) != 3 || replayed[2] != `bot {"mended":1}` {
		t.Errorf("replayed %v", replayed)
	}
	if _, b, _ := get(
		t, c, "GET", server.URL+"/rejected?state=replayed&code=json",
	); strings.Count(b, "<tr data-row") != 3 {
		t.Errorf("%d are listed as replayed, want 3", strings.Count(b, "<tr data-row"))
	}
	// Bodies are what people said: no admin without the right to personal data sees, takes out or mends them.
	no := false
	if err := change(t, pool, "admin@example.org", func(u *access.Account) { u.Personal = &no }); err != nil {
		t.Fatal(err)
	}
	masked := signIn(t, server.URL, "admin")
	for _, path := range []string{
		"GET /rejected", "GET /rejected/download", "GET /rejected/" + rows[0].ID.String(),
		"GET /rejected/" + rows[0].ID.String() + "/body", "POST /rejected/" + rows[0].ID.String() + "/replay",
		"POST /rejected/replay", "POST /rejected/discard",
	} {
		method, at, _ := strings.Cut(path, " ")
		if status, body, _ := get(t, masked, method, server.URL+at); status != 403 || strings.Contains(body, "broken") {
			t.Errorf("%s without the right to personal data: %d", path, status)
		}
	}
	left, err := queries.RejectedEvents(t.Context(), queries.Clear(pool), queries.RejectedFilter{}, 10)
	if err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	server, pool := site(t, nil)
	c := signIn(t, server.URL, "admin")
	resp, err := c.PostForm(server.URL+"/admin/tokens", url.Values{
		"name": {"my bot"}, "assistant": {"bot"}, "environment": {"staging"},
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := queries.Tokens(t.Context(), pool)
	if err != nil || len(tokens) != 1 {
		t.Fatal(tokens, err)
	}
	_, after, _ := strings.Cut(string(b), `id="secret">`)
	secret, _, _ := strings.Cut(after, "<")
	if !strings.HasPrefix(secret, tokens[0].Prefix+".") || len(tokens[0].Hash) != 32 || strings.Contains(
		string(tokens[0].Hash), secret,
	) {
		t.Errorf("the secret %q does not belong to %+v", secret, tokens[0])
	}
	if _, page, _ := get(t, c, "GET", server.URL+"/admin"); strings.Contains(page, secret) {
		t.Error("the secret is shown a second time")
	}
	if got, _, _ := get(t, c, "POST", server.URL+"/admin/tokens/"+tokens[0].ID.String()+"/revoke"); got != 303 {
		t.Errorf("revoke: %d", got)
	}
	if _, err := queries.TokenByPrefix(
		t.Context(), pool, tokens[0].Prefix, time.Now(),
	); !errors.Is(err, queries.ErrNotFound) {
		t.Errorf("a revoked token is found: %v", err)
	}
}

// A note is seen by its writer, a shared one by all; nobody deletes another's but an admin a shared one.
func TestNotes(t *testing.T) {
	t.Parallel()
	server, pool := site(t, nil)
	feed(t, pool, demo.New(demo.Options{Conversations: 20, Days: 2, Until: time.Now(), Seed: 3}).Next)
	post := func(role, path string, form url.Values) int {
		t.Helper()
		resp, err := signIn(t, server.URL, role).PostForm(server.URL+path, form)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	at := time.Now().UTC().Format("2006-01-02T15:04")
	for _, n := range [][3]string{
		{"viewer", "mine <b>", "yes"}, {"supervisor", "ours", "yes"}, {"reviewer", "secret", ""},
	} {
		if got := post(n[0], "/notes", url.Values{
			"text": {n[1]}, "at": {at}, "shared": {n[2]}, "back": {"/overview"},
		}); got != 303 {
			t.Errorf("%v: %d", n, got)
		}
	}
	for _, bad := range []url.Values{
		{"text": {""}, "at": {at}},
		{"text": {"x"}, "at": {"yesterday"}},
		{"text": {strings.Repeat("x", 201)}, "at": {at}},
	} {
		if got := post("viewer", "/notes", bad); got != 400 {
			t.Errorf("%v: %d", bad, got)
		}
	}
	sees := func(role string) (all []string) {
		_, body, _ := get(t, signIn(t, server.URL, role), "GET", server.URL+"/overview?range=2d")
		for _, text := range []string{"mine &lt;b&gt;", "ours", "secret"} {
			if strings.Contains(body, "<bdi>"+text+"</bdi>") {
				all = append(all, text)
			}
		}
		return all
	}
	for role, want := range map[string]string{
		"viewer": "[mine &lt;b&gt; ours]", "supervisor": "[ours]", "reviewer": "[ours secret]", "admin": "[ours]",
	} {
		if got := fmt.Sprint(sees(role)); got != want {
			t.Errorf("%s sees %s, want %s", role, got, want)
		}
	}
	id := func(text string) (id string) {
		if err := pool.QueryRow(t.Context(), `select id from chart_notes where text = $1`, text).Scan(&id); err != nil {
			t.Fatal(err)
		}
		return id
	}
	for _, tt := range []struct {
		role, text string
		want       int
	}{{"reviewer", "ours", 404}, {"admin", "secret", 404}, {"admin", "ours", 303}, {"viewer", "mine <b>", 303}} {
		if got := post(tt.role, "/notes/"+id(tt.text)+"/delete", nil); got != tt.want {
			t.Errorf("%s deletes %s: %d, want %d", tt.role, tt.text, got, tt.want)
		}
	}
	if got := fmt.Sprint(sees("supervisor"), sees("reviewer")); got != "[] [secret]" {
		t.Errorf("left: %s", got)
	}
}

// TestCancelled is not parallel, as it counts goroutines: requests that are given up leave nothing behind.
func TestCancelled(t *testing.T) {
	s, pool := site(t, nil)
	c := signIn(t, s.URL, "admin")
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	var paths []string
	for _, p := range web.Patterns() {
		method, path, _ := strings.Cut(p, " ")
		if method == http.MethodGet && !strings.Contains(path, "{") {
			paths = append(paths, path)
		}
	}
	round := func() {
		for i, path := range paths {
			ctx, cancel := context.WithCancel(t.Context())
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			go func() { // now early, now late
				time.Sleep(time.Duration(i%5) * 500 * time.Microsecond)
				cancel()
			}()
			if resp, err := c.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			cancel()
		}
	}
	settled := func() (n int) {
		for range 100 {
			c.CloseIdleConnections()
			n = runtime.NumGoroutine()
			time.Sleep(20 * time.Millisecond)
			if runtime.NumGoroutine() >= n && pool.Stat().AcquiredConns() == 0 {
				return n
			}
		}
		return n
	}
	round()
	before := settled()
	for range 20 {
		round()
	}
	if after := settled(); after > before+len(paths)/2 {
		t.Errorf("%d goroutines before, %d after %d requests", before, after, 20*len(paths))
	}
	if n := pool.Stat().AcquiredConns(); n != 0 {
		t.Errorf("%d connections are not given back", n)
	}
	if status, _, _ := get(t, c, "GET", s.URL+"/overview"); status != 200 {
		t.Errorf("afterwards: %d", status)
	}
}
