package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/access"
	"turnwise/queries"
)

// crowd measures what a few who ask for much, or send slowly, or sign in all at once, cost all others of one server.
func (b *bench) crowd() (err error) {
	url, drop, err := b.fresh("bench_crowd")
	if err != nil {
		return err
	}
	pool, err := queries.Open(b.ctx, url, 8)
	if err != nil {
		return err
	}
	defer func() {
		pool.Close()
		err = errors.Join(err, drop())
	}()
	if _, err := b.fill(pool, 40000, 7); err != nil {
		return err
	}
	if err := b.rollups(pool); err != nil {
		return err
	}
	if _, err := pool.Exec(b.ctx, "vacuum analyze"); err != nil {
		return err
	}
	c := &crowd{bench: b, pool: pool}
	stop, err := c.serve(url)
	if err != nil {
		return err
	}
	defer stop()
	for _, measure := range []func() error{c.dear, c.drips, c.signIns} {
		if err := measure(); err != nil {
			return err
		}
	}
	return nil
}

type crowd struct {
	*bench
	pool    *pgxpool.Pool
	base    string
	pid     int
	accs    []*http.Client
	tokens  []string
	batches atomic.Int64
}

const crowdPassword = "a password of the bench"

// serve starts the program on the database, with accounts and tokens.
func (c *crowd) serve(database string) (stop func(), err error) {
	program := filepath.Join(c.dir, "turnwise-bench")
	if out, err := exec.CommandContext(
		c.ctx, "go", "build", "-o", program, "./cmd/turnwise",
	).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	if err := c.addAccounts(); err != nil {
		return nil, err
	}
	free, err := new(net.ListenConfig).Listen(c.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	listen := free.Addr().String()
	free.Close()
	c.base = "http://" + listen
	cmd := exec.CommandContext(
		c.ctx, program, "--database-url", database, "serve", "--listen", listen, "--admin-listen", "127.0.0.1:0",
		"--proxies", "127.0.0.0/8",
	)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c.pid = cmd.Process.Pid
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
	if err := c.awaitServer(&said); err != nil {
		stop()
		return nil, err
	}
	for i := range 10 {
		client, err := c.signIn(i)
		if err != nil {
			stop()
			return nil, err
		}
		c.accs = append(c.accs, client)
	}
	return stop, nil
}

// addAccounts adds people and tokens.
func (c *crowd) addAccounts() error {
	hash, err := access.HashPassword(crowdPassword)
	if err != nil {
		return err
	}
	for i := range 12 {
		user := access.Account{
			ID: queries.NewID(), Email: fmt.Sprintf("bench%d@example.org", i), Name: "bench", Role: "admin",
			PasswordHash: hash, CreatedAt: time.Now(),
		}
		if err := queries.AddAccount(c.ctx, c.pool, user); err != nil {
			return err
		}
		secret, err := queries.NewToken(
			c.ctx, c.pool,
			access.Token{
				Name: fmt.Sprint("bench", i), Role: "ingest", Assistant: "bench", CreatedBy: "bench",
				CreatedAt: time.Now(),
			},
			0,
		)
		if err != nil {
			return err
		}
		c.tokens = append(c.tokens, secret)
	}
	return nil
}

// awaitServer waits until the server answers.
func (c *crowd) awaitServer(said fmt.Stringer) error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if resp, err := http.Get(c.base + "/login"); err == nil {
			resp.Body.Close()
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the server does not start:\n%s", said.String())
		}
	}
}

func (c *crowd) signIn(i int) (*http.Client, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{
		Jar: jar, Transport: &http.Transport{MaxIdleConnsPerHost: 40},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.PostForm(c.base+"/login", url.Values{
		"email": {fmt.Sprintf("bench%d@example.org", i)}, "password": {crowdPassword},
	})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther {
		return nil, fmt.Errorf("account %d cannot sign in: %s", i, resp.Status)
	}
	return client, nil
}

// fetch gets a page and tells its status and how long it took.
func (c *crowd) fetch(
	ctx context.Context, client *http.Client, path string,
) (status int, took time.Duration, err error) {
	begun := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path, nil)
	if err != nil {
		return 0, 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, time.Since(begun), err
}

// send posts a batch of new events, of conversations that go on now.
func (c *crowd) send(token string) error {
	var body bytes.Buffer
	batch, at := c.batches.Add(1), float64(time.Now().Add(-time.Second).UnixMicro())/1e6
	for i := range 500 {
		sender, assistant := fmt.Sprint("crowd", batch, "-", i/20), []string{"bench", "support"}[i/20%2]
		if at += 0.001; i%2 == 0 {
			fmt.Fprintf(
				&body,
				`{"sender_id":%q,"event":"user","timestamp":%f,"text":"where is my parcel number %d","message_id":"m%d-%d","input_channel":"web","parse_data":{"intent":{"name":"track","confidence":0.9},"entities":[]},"metadata":{"assistant_id":%q}}`+"\n",
				sender, at, i, batch, i, assistant,
			)
		} else {
			fmt.Fprintf(
				&body,
				`{"sender_id":%q,"event":"bot","timestamp":%f,"text":"It arrives tomorrow, number %d.","data":{},"metadata":{"assistant_id":%q,"utter_action":"utter_tomorrow"}}`+"\n",
				sender, at, i, assistant,
			)
		}
	}
	req, err := http.NewRequestWithContext(c.ctx, http.MethodPost, c.base+"/api/v1/ingest/rasa", &body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusAccepted {
		err = fmt.Errorf("a batch: %s %s", resp.Status, text)
	}
	return err
}

// others looks at pages and sends batches, as people who want nothing unusual, and tells the pages' median time and how
// many batches were stored a second.
func (c *crowd) others(long time.Duration) (page, batches float64, err error) {
	paths := []string{
		"/overview?range=90d", "/conversations?range=90d", "/flows?range=28d", "/users?range=28d", "/turns?range=7d",
	}
	ctx, cancel := context.WithTimeout(c.ctx, long)
	defer cancel()
	var times []float64
	var sent int
	var g sync.WaitGroup
	var wrong error
	g.Go(func() {
		for ctx.Err() == nil && wrong == nil {
			if wrong = c.send(c.tokens[0]); wrong == nil {
				sent++
			}
		}
	})
	for i := 0; ctx.Err() == nil; i++ {
		status, took, err := c.fetch(c.ctx, c.accs[0], paths[i%len(paths)])
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%s: %d", paths[i%len(paths)], status)
		}
		if err != nil {
			return 0, 0, err
		}
		times = append(times, took.Seconds()*1000)
		time.Sleep(50 * time.Millisecond) // they read
	}
	g.Wait()
	slices.Sort(times)
	return times[len(times)*9/10], float64(sent) / long.Seconds(), wrong
}

// dear measures others beside eight documents and thirty charts of ten years, asked for again as soon as they are
// there, by three accounts.
func (c *crowd) dear() error {
	const long = 20 * time.Second
	if _, _, err := c.others(5 * time.Second); err != nil { // warm
		return err
	}
	page, sent, err := c.others(long)
	if err != nil {
		return err
	}
	if err := c.aloneTimes(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	var g sync.WaitGroup
	var served, refused atomic.Int64
	again := func(client *http.Client, path string) {
		g.Go(func() {
			for ctx.Err() == nil {
				status, _, err := c.fetch(ctx, client, path)
				switch {
				case err != nil:
				case status == http.StatusOK:
					served.Add(1)
				case status == http.StatusTooManyRequests:
					refused.Add(1)
					time.Sleep(time.Second)
				default:
					slog.Error("one of the crowd", "path", path, "status", status)
				}
			}
		})
	}
	for i := range 8 {
		again(c.accs[1+i%3], "/documents/overview?range=90d&as="+[]string{"pdf", "xlsx"}[i%2])
	}
	for i := range 30 {
		again(
			c.accs[1+i%3],
			fmt.Sprintf(
				"/overview?from=2016-01-%02d&until=2026-11-30&bucket=%s", 1+i%28, []string{"day", "week", "month"}[i%3],
			),
		)
	}
	time.Sleep(time.Second)
	crowded, sentCrowded, err := c.others(long)
	cancel()
	g.Wait()
	if err != nil {
		return err
	}
	c.note("crowd: p90 of others' pages beside documents and charts / at rest", crowded/page, "", "< 3")
	c.note("crowd: others' batches beside documents and charts / at rest", sentCrowded/sent, "", "> 0.7")
	c.note("crowd: documents and charts served", float64(served.Load()), "", "")
	c.note("crowd: documents and charts put off", float64(refused.Load()), "", "")
	return c.memory("crowd: most memory of the server", "< 400")
}

// aloneTimes measures what is dear while nobody else asks.
func (c *crowd) aloneTimes() error {
	for _, path := range []string{
		"/documents/overview?range=90d&as=pdf", "/documents/overview?range=90d&as=xlsx",
		"/overview?from=2016-01-01&until=2026-11-30&bucket=day",
		"/overview?from=2016-01-01&until=2026-11-30&bucket=month",
	} {
		_, took, err := c.fetch(c.ctx, c.accs[1], path)
		if err != nil {
			return err
		}
		c.note("crowd: "+path+" alone", float64(took.Milliseconds()), "ms", "")
	}
	return nil
}

// memory notes the most memory that the server has held.
func (c *crowd) memory(name, goal string) error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.pid))
	if err != nil {
		return err
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	kb, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		return err
	}
	c.note(name, float64(kb)/1000, "MB", goal)
	return nil
}

// drips measures others' batches while one token has sixty bodies under way that never end.
func (c *crowd) drips() error {
	_, sent, err := c.others(8 * time.Second)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	var g sync.WaitGroup
	for range 60 {
		g.Go(func() {
			for ctx.Err() == nil {
				req, err := http.NewRequestWithContext(
					ctx, http.MethodPost, c.base+"/api/v1/ingest/rasa", &drip{ctx: ctx},
				)
				if err != nil {
					return
				}
				req.Header.Set("Authorization", "Bearer "+c.tokens[1])
				if resp, err := http.DefaultClient.Do(req); err == nil {
					resp.Body.Close()
				}
			}
		})
	}
	time.Sleep(time.Second)
	_, beside, err := c.others(8 * time.Second)
	cancel()
	g.Wait()
	if err == nil {
		c.note("crowd: others' batches beside 60 bodies that never end / at rest", beside/sent, "", "> 0.7")
	}
	return err
}

// drip is a body that comes byte by byte.
type drip struct{ ctx context.Context }

func (d *drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(100 * time.Millisecond):
		p[0] = ' '
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

// signIns measures how long somebody waits who signs in while 150 others guess at as many accounts.
func (c *crowd) signIns() error {
	begun := time.Now()
	if _, err := c.signIn(0); err != nil { // from where this one has signed in before
		return err
	}
	alone := time.Since(begun)
	var g sync.WaitGroup
	for i := range 150 {
		g.Go(func() {
			req, err := http.NewRequestWithContext(
				c.ctx, http.MethodPost, c.base+"/login",
				strings.NewReader(
					url.Values{"email": {fmt.Sprintf("nobody%d@example.org", i)}, "password": {"guessed"}}.Encode(),
				),
			)
			if err != nil {
				return
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i+1)) // each from elsewhere
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	begun = time.Now()
	_, err := c.signIn(0)
	beside := time.Since(begun)
	g.Wait()
	c.note("crowd: signing in", float64(alone.Milliseconds()), "ms", "")
	c.note("crowd: signing in beside 150 who guess", float64(beside.Milliseconds()), "ms", "< 1000")
	return err
}
