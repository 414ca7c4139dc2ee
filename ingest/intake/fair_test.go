package intake_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"turnwise/access"
	"turnwise/ingest"
	"turnwise/ingest/brokertest"
	"turnwise/ingest/intake"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// desk is a server that takes events, and posts to it.
type desk struct {
	t    *testing.T
	url  string
	send func(secret, query string, body io.Reader) (int, map[string]any)
}

func newDesk(t *testing.T) (desk, func(token access.Token) (secret string)) {
	t.Helper()
	pool := dbtest.Pool(t)
	quiet := slog.New(slog.DiscardHandler)
	server := httptest.NewServer(intake.New(pool, ingest.NewWriter(pool, quiet), quiet))
	t.Cleanup(server.Close)
	send := func(secret, query string, body io.Reader) (int, map[string]any) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/api/v1/ingest/rasa"+query, body)
		if err != nil {
			t.Error(err)
			return 0, nil
		}
		req.Header.Set("Authorization", "Bearer "+secret)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, nil // its connection was ended
		}
		defer resp.Body.Close()
		var answer map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			t.Error(err)
		}
		return resp.StatusCode, answer
	}
	return desk{t, server.URL + "/api/v1/ingest/rasa", send}, func(token access.Token) string {
		token.Role, token.CreatedBy, token.CreatedAt = "ingest", "test", time.Now()
		secret, err := queries.NewToken(t.Context(), pool, token, 0)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
}

const hello = `{"sender_id":"s","event":"user","timestamp":1790000000.5,"text":"hello"}`

// TestSlow holds that bodies which come slowly are not in the way of other tokens.
func TestSlow(t *testing.T) {
	t.Parallel()
	d, token := newDesk(t)
	slow, other := token(access.Token{Name: "slow", Assistant: "a"}), token(access.Token{Name: "other", Assistant: "a"})
	var drips []*io.PipeWriter
	for range 40 {
		r, w := io.Pipe()
		drips = append(drips, w)
		go d.send(slow, "", r)
	}
	for _, w := range drips {
		if _, err := w.Write([]byte(hello[:20])); err != nil { // it is being read
			break
		}
	}
	if status, answer := d.send(other, "", strings.NewReader(hello)); status != 202 {
		t.Errorf("%d %v", status, answer)
	}
	for _, w := range drips {
		w.Close()
	}
}

// TestNeverMended holds that what no repetition can mend is refused for good.
func TestNeverMended(t *testing.T) {
	t.Parallel()
	d, token := newDesk(t)
	secret := token(access.Token{Name: "t", Assistant: "a"})
	for _, query := range []string{
		"?environment=%00", "?environment=%ff%fe", "?environment=" + strings.Repeat("x", 101),
	} {
		if status, answer := d.send(secret, query, strings.NewReader(hello)); status != 400 {
			t.Errorf("%s: %d %v", query, status, answer)
		}
	}
	limited := token(access.Token{Name: "l", Assistant: "a", Assistants: []string{"a"}})
	foreign := strings.Replace(hello, `"text"`, `"metadata":{"assistant_id":"b"},"text"`, 1)
	status, answer := d.send(limited, "", strings.NewReader(foreign))
	if all, _ := answer["rejected"].([]any); status != 403 || len(all) != 1 ||
		all[0].(map[string]any)["code"] != "not_allowed" {
		t.Errorf("an event of another assistant: %d %v", status, answer)
	}
	if status, answer := d.send(
		limited, "", strings.NewReader(foreign+"\n"+hello),
	); status != 202 || answer["accepted"] != 1.0 {
		t.Errorf("beside one of the token's own: %d %v", status, answer)
	}
}

// TestOddNumbers holds that a number or time which is none harms no neighbour in its request, however often it is sent.
func TestOddNumbers(t *testing.T) {
	t.Parallel()
	d, token := newDesk(t)
	secret := token(access.Token{Name: "t", Assistant: "a"})
	for _, of := range [][]string{brokertest.OddTimes(), brokertest.OddNumbers()} {
		for range 2 {
			all, good := brokertest.Between(of, "good")
			taken := 0.0
			for len(all) > 0 {
				n := min(len(all), 4000)
				var b bytes.Buffer
				for _, body := range all[:n] {
					b.WriteString(body + "\n")
				}
				all = all[n:]
				status, answer := d.send(secret, "", &b)
				if status != 202 {
					t.Fatalf("%d %v", status, answer)
				}
				taken += answer["accepted"].(float64) + answer["duplicates"].(float64)
			}
			if taken < float64(good) {
				t.Errorf("%v of at least %d were taken", taken, good)
			}
		}
	}
}
