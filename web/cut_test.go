package web_test

import (
	"archive/zip"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"turnwise/demo"
	"turnwise/jobs"
	"turnwise/queries/figures"
)

// TestNothingSearched holds that a search without letters and digits finds nothing, in list and count alike.
func TestNothingSearched(t *testing.T) {
	t.Parallel()
	server, pool := site(t, nil)
	feed(t, pool, demo.New(demo.Options{Conversations: 5, Days: 3, Until: time.Now(), Seed: 7}).Next)
	if err := jobs.IndexTexts(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	c := signIn(t, server.URL, "reviewer")
	for _, q := range []string{"?", "%", "...", "-", `"`, `"?"`, "-?"} {
		for _, filter := range []string{"", "&channel=web", "&is=engaged"} {
			_, body, _ := get(t, c, "GET", server.URL+"/conversations?range=7d&q="+url.QueryEscape(q)+filter)
			if rows := strings.Count(body, "<tr data-row>"); rows > 0 {
				t.Errorf("%q%s lists %d conversations", q, filter, rows)
			}
		}
	}
	if _, body, _ := get(t, c, "GET", server.URL+"/conversations?range=7d"); !strings.Contains(body, "<tr data-row>") {
		t.Error("nothing is listed without a search")
	}
}

// TestCut holds that a table of a page shows its 100 largest rows and a link to all of them, and that documents hold
// all.
func TestCut(t *testing.T) {
	t.Parallel()
	server, pool := site(t, nil)
	const most = 100
	for _, n := range []int{most, most + 1} {
		at, i := float64(time.Now().Add(-time.Hour).UnixMicro())/1e6, 0
		feed(t, pool, func() ([]byte, bool) {
			if i++; i > 2*n {
				return nil, false
			}
			k := (i - 1) / 2
			if i%2 == 1 {
				return fmt.Appendf(
					nil,
					`{"sender_id":"s%d","event":"user","timestamp":%f,"text":"hello","message_id":"m%d","input_channel":"channel %03d","parse_data":{"intent":{"name":"intent %d","confidence":0.9},"commands":[{"command":"kind %d"}]},"metadata":{"assistant_id":"a%d"}}`,
					k, at+float64(i), k, k, k, k, k%2,
				), true
			}
			return fmt.Appendf(
				nil,
				`{"sender_id":"s%d","event":"flow_started","timestamp":%f,"flow_id":"flow %d","metadata":{"assistant_id":"a%d"}}`,
				k, at+float64(i), k, k%2,
			), true
		})
		if err := jobs.RollUp(t.Context(), pool, figures.NewGrid(time.UTC), -time.Second, time.Now); err != nil {
			t.Fatal(err)
		}
		c := signIn(t, server.URL, "viewer")
		for path, row := range map[string]string{
			"/overview": `title="channel \d+"`, "/flows": `title="flow \d+"`, "/intents": `title="intent \d+"`,
		} {
			_, body, _ := get(t, c, "GET", server.URL+path+"?range=7d")
			all := regexp.MustCompile(`Show all (\d+)</a>`).FindAllString(body, -1)
			if rows := len(
				regexp.MustCompile(row).FindAllString(body, -1),
			); rows != most && path != "/overview" || rows < most || (n > most) != (len(all) > 0) {
				t.Errorf("%s with %d: %d rows, %q", path, n, rows, all)
			}
			if n == most {
				continue
			}
			link := regexp.MustCompile(`href="([^"]*rows=all[^"]*)"`).FindStringSubmatch(body)
			if link == nil {
				t.Errorf("%s has no link to all rows", path)
				continue
			}
			_, body, _ = get(t, c, "GET", server.URL+strings.ReplaceAll(link[1], "&amp;", "&"))
			if rows := len(
				regexp.MustCompile(row).FindAllString(body, -1),
			); rows < n || strings.Contains(body, "Show all") {
				t.Errorf("%s shows %d rows of %d", link[1], rows, n)
			}
		}
		if status, _, _ := get(t, c, "GET", server.URL+"/overview?rows=some"); status != 400 {
			t.Errorf("rows=some: %d", status)
		}
		_, body, _ := get(t, c, "GET", server.URL+"/documents/flows?as=csv&range=7d")
		files, err := zip.NewReader(strings.NewReader(body), int64(len(body)))
		if err != nil {
			t.Fatal(err)
		}
		flows := 0
		for _, f := range files.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			flows += len(regexp.MustCompile(`(?m)^"?flow \d+`).FindAll(text, -1))
		}
		if flows != n {
			t.Errorf("the document holds %d of %d flows", flows, n)
		}
	}
}
