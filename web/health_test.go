package web_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestEventTypes holds that Data health counts the events of each type, says which of them are not known, and that a
// clock is ahead.
func TestEventTypes(t *testing.T) {
	t.Parallel()
	server, pool := site(t, nil)
	at := float64(time.Now().UnixMicro()) / 1e6
	send := func(ahead time.Duration, types ...string) {
		feed(t, pool, func() ([]byte, bool) {
			if len(types) == 0 {
				return nil, false
			}
			typ := types[0]
			types, at = types[1:], at+0.01
			return fmt.Appendf(
				nil, `{"sender_id":"u","event":%q,"timestamp":%f,"text":"hello","name":"x"}`, typ, at+ahead.Seconds(),
			), true
		})
	}
	c := signIn(t, server.URL, "viewer")
	row := func(typ string) string {
		_, body, _ := get(t, c, "GET", server.URL+"/health")
		found := regexp.MustCompile(
			`(?s)<tr>\s*<td class="cut" title="` + regexp.QuoteMeta(typ) + `">.*?</tr>`,
		).FindString(body)
		return strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(found, " ")), " ")
	}
	send(0, "user", "bot", "user", "whatever", "user")
	send(0, "whatever", strings.Repeat("long", 40))
	for typ, want := range map[string]string{
		"user": "^user 3 .* Known$", "bot": "^bot 1 .* Known$", "whatever": "^whatever 2 .* Not known",
		strings.Repeat("long", 25): "^(long){25} 1 .* Not known",
	} {
		if got := row(typ); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s: %q, want %q", typ, got, want)
		}
	}
	if _, body, _ := get(t, c, "GET", server.URL+"/health"); strings.Contains(body, "Clock ahead") {
		t.Error("a clock that is right is said to be ahead")
	}
	send(3*time.Hour, "user")
	if _, body, _ := get(t, c, "GET", server.URL+"/health"); !regexp.MustCompile(
		`Clock ahead: events from test carry times up to (3 h 00 m|2 h 59 m)`,
	).MatchString(body) {
		t.Error("a clock that is three hours ahead is not said to be")
	}
	// More types than are counted one by one.
	var many []string
	for i := range 60 {
		many = append(many, fmt.Sprint("t", i))
	}
	send(0, many...)
	if got := row(""); !regexp.MustCompile("^Other types 10 ").MatchString(got) {
		t.Errorf("the rest: %q", got)
	}
}
