package web_test

import (
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"

	"turnwise/conversation"
	"turnwise/jobs"
	"turnwise/mask"
	"turnwise/queries"
)

// TestSlotsMaskedOnDisplay: what a slot that is masked by its name was told is masked wherever it was said: as a
// person's words, a synonym, a normalised value, a command, a payload, in the assistant's repeats, in notes about it;
// in lists, transcripts, files and searches.
func TestSlotsMaskedOnDisplay(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	sec := o.now.Unix() - 90000
	event := func(typ, more string) []byte {
		sec++
		return fmt.Appendf(
			nil, `{"sender_id":"s","event":%q,"timestamp":%d.25,"metadata":{"assistant_id":"shop"}%s}`, typ, sec, more,
		)
	}
	entity := func(name, value string, start, end any) string {
		return fmt.Sprintf(
			`,"parse_data":{"intent":{"name":"tell","confidence":0.9},"entities":[{"entity":%q,"value":%s,"start":%v,"end":%v}]}`,
			name, value, start, end,
		)
	}
	bodies := [][]byte{
		event(
			"user",
			`,"message_id":"m1","text":"my name is Zephyrine Moos","parse_data":{"commands":[{"command":"set slot","name":"person","value":"Zephyrine Moos"}]}`,
		),
		event("slot", `,"name":"person","value":"Zephyrine Moos"`),
		event(
			"bot",
			`,"text":"Welcome, ZEPHYRINE MOOS!","data":{"buttons":[{"title":"I am not Zephyrine Moos","payload":"/deny"}]}`,
		),
		event(
			"user",
			`,"message_id":"m2","text":"call me zephy please"`+entity("person", `"Zephyrine Moos"`, "8.0", "13.0"),
		),
		event("user", `,"message_id":"m3","text":"my file is 77 12-QX ok"`+entity("file_no", `"7712QX"`, 11, 19)),
		event("slot", `,"name":"file_no","value":"7712QX"`),
		event("bot", `,"text":"Your file 77 12-QX is open, thanks.","data":{}`),
		event("user", `,"message_id":"m4","text":"/SetSlots(person=Zephyrine Moos, file_no=7712QX)","parse_data":{}`),
		event("bot", `,"text":"Good bye.","data":{}`),
	}
	feed(t, o.pool, func() ([]byte, bool) {
		if len(bodies) == 0 {
			return nil, false
		}
		b := bodies[0]
		bodies = bodies[1:]
		return b, true
	})
	rules := queries.Masking{Rules: mask.Rules{Slots: []string{"person", "file_no"}}, OnDisplay: true}
	if err := queries.SetMasking(t.Context(), o.pool, rules, conversation.UUID{}, o.now); err != nil {
		t.Fatal(err)
	}
	if err := jobs.IndexTexts(t.Context(), o.pool); err != nil {
		t.Fatal(err)
	}
	var id string
	if err := o.pool.QueryRow(t.Context(), `select id from conversations`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	supervisor, admin := signIn(t, o.url, "supervisor"), signIn(t, o.url, "admin")
	page := "/conversations/" + id
	if status, _, body := o.post(
		supervisor, page+"/notes", "text", "the file of Zephyrine Moos, @reviewer", "mention", "reviewer@example.org",
	); status >= 400 {
		t.Fatalf("a note: %d %.300s", status, body)
	}
	hidden := []string{"zephy", "moos", "7712qx", "77 12"}
	clear := func(what, body string) {
		t.Helper()
		for _, word := range hidden {
			if i := strings.Index(strings.ToLower(body), word); i >= 0 {
				t.Errorf("%s tells %q: …%.120s", what, word, body[max(0, i-60):])
			}
		}
	}
	for _, path := range []string{
		page, page + "?view=builder", page + "/events.json", page + "/test.yml", page + "/nlu.yml",
		"/conversations?range=7d", "/conversations?range=7d&q=thanks", "/turns?range=7d", "/intents?range=7d",
		"/review",
	} {
		status, body := o.get(supervisor, path)
		if status != 200 {
			t.Errorf("%s: %d", path, status)
		}
		clear(path, body)
	}
	_, called := o.get(signIn(t, o.url, "reviewer"), "/review")
	clear("the list of who was called", called)
	if !strings.Contains(called, "the file of [person], @reviewer") {
		t.Error("who was called does not see the note")
	}
	if _, body := o.get(supervisor, page); strings.Count(body, "[person]") < 4 || strings.Count(body, "[file_no]") < 2 {
		t.Errorf(
			"the transcript masks %d times a person and %d times a file", strings.Count(body, "[person]"),
			strings.Count(body, "[file_no]"),
		)
	}
	for _, grain := range []string{"conversation", "turn", "message", "event", "user"} {
		status, _, body := o.post(supervisor, "/exports", "grain", grain, "format", "csv", "query", "range=7d")
		if status != 200 {
			t.Errorf("by %s: %d", grain, status)
		}
		clear("the file by "+grain, body)
	}
	for _, word := range []string{"zephyrine", "zephy*", "moos", "7712QX"} {
		for _, x := range []struct {
			who   string
			found bool
		}{{"supervisor", false}, {"admin", true}} {
			c := supervisor
			if x.who == "admin" {
				c = admin
			}
			resp, err := c.Get(o.url + "/conversations?range=7d&q=" + url.QueryEscape(word))
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(string(b), page); got != x.found || !slices.Contains(
				[]int{200, 400}, resp.StatusCode,
			) {
				t.Errorf("%q for the %s: found %t, %d", word, x.who, got, resp.StatusCode)
			}
		}
	}
}
