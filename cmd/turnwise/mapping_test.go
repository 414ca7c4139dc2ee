package main

import (
	"strings"
	"testing"

	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// TestMapping: what other platforms write is imported by a mapping that comes with Turnwise, or by one of one's own; again
// is known; what it passes over and what it fails on are told.
func TestMapping(t *testing.T) {
	t.Parallel()
	own := write(t, "own.yaml", []byte(`name: own
version: 1
program: 'if .skip then empty else event("message"; .at; {conversation_id: .c, message_id: .m, author: "user", text: .text}) end'
tests:
- {input: {skip: true}, expect: []}
`))
	for _, tt := range []struct {
		name, mapping, body string
		more                []string
		want, conversations string
	}{
		{
			"chats", "openai-chat", `{"id":"a","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"Hello!"}]}` + "\n" +
				`{"id":"b","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"Hello!"}]}`,
			[]string{"--at", "2026-11-20"},
			"stored 4", "2",
		},
		{"ShareGPT in an array", "openai-chat", `[{"id":"a","conversations":[{"from":"human","value":"hi"},{"from":"gpt","value":"Hello!"}]}]`, []string{"--at", "2026-11-20T09:00:00Z"}, "stored 2", "1"},
		{
			"SentiOne's messages", "sentione-export", "conversationId,authorType,content,createdAt,labels\ns1,Human,\"where, please\",2021-08-18T09:11:32.877Z,[]\ns1,Bot,here,2021-08-18T09:11:33.877Z,[]\n",
			nil, "stored 2", "1",
		},
		{
			"A8Chat's messages", "a8-tables", "time;chat_id;mid;msg_from;msg;msg_type;bot_handle\n2026-11-20 09:14:02.1+00;c1;m1;user;{\"\"text\"\":\"\"hi\"\"};text;shop\n2026-11-20 09:14:03.1+00;c1;m2;bot;\"{\"\"text\"\":\"\"hello\"\"}\";text;shop\n",
			nil, "stored 2", "1",
		},
		{
			"one's own", own, `{"c":"a","m":"1","at":"2026-11-20T09:00:00Z","text":"x"}` + "\n" + `{"skip":true}` + "\n" + `{"c":"a","m":"2","at":7,"text":"x"}` + "\nno JSON\n" +
				`{"c":"a","m":"3","at":"2026-11-20T09:00:01Z","text":"x"}`,
			nil, "stored 2, rejected 2", "1",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := dbtest.URL(t)
			file := write(t, "in", []byte(tt.body))
			for _, want := range []string{tt.want, strings.Replace(tt.want, "stored", "stored 0, known", 1)} {
				args := append([]string{"--database-url", url, "import", "--mapping", tt.mapping, file}, tt.more...)
				out, err := turnwise(t, args...)
				if (err != nil) != strings.Contains(want, "rejected") {
					t.Errorf("ended with %v", err)
				}
				if got := told(out); got != want {
					t.Errorf("got %s, want %s:\n%s", got, want, out)
				}
			}
			pool, err := queries.Open(t.Context(), url, 2)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(pool.Close)
			var n, users, bots string
			if err := pool.QueryRow(t.Context(), `select count(*)::text, coalesce(sum(user_messages), 0)::text, coalesce(sum(bot_messages), 0)::text from conversations`).Scan(&n, &users, &bots); err != nil || n != tt.conversations {
				t.Errorf("%s conversations, %s and %s messages, %v", n, users, bots, err)
			}
		})
	}
	// What begins a conversation is set for an assistant that a mapping brings, and stays as it is for one that is there.
	url := dbtest.URL(t)
	pool, err := queries.Open(t.Context(), url, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	log := write(t, "lex", []byte(`{"timestamp":"2026-11-20T09:14:02.100Z","requestId":"r1","sessionId":"s","inputTranscript":"hi","bot":{"name":"tables"},"sessionState":{}}`))
	for _, want := range []string{"idle 30", "status 30"} {
		if out, err := turnwise(t, "--database-url", url, "import", "--mapping", "lex-v2", log); err != nil {
			t.Fatal(out, err)
		}
		var got string
		if err := pool.QueryRow(t.Context(), `select concat_ws(' ', settings->>'cut_by', settings->>'idle_minutes') from assistants where name = 'tables'`).Scan(&got); err != nil || got != want {
			t.Errorf("set is %q, not %q, %v", got, want, err)
		}
		if _, err := pool.Exec(t.Context(), `update assistants set settings = settings || '{"cut_by":"status"}' where name = 'tables'`); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"mapping", "list"}, {"mapping", "show", "chatwoot"}, {"mapping", "test", own}, {"mapping", "test", "lex-v2"}} {
		if out, err := turnwise(t, args...); err != nil || out == "" {
			t.Errorf("%v: %s, %v", args, out, err)
		}
	}
	broken := write(t, "broken.yaml", []byte("name: b\nprogram: '.a |'\n"))
	for _, args := range [][]string{{"mapping", "test", "nobody"}, {"mapping", "test", broken}, {"mapping", "show", "x"}} {
		if _, err := turnwise(t, args...); err == nil {
			t.Errorf("%v goes well", args)
		}
	}
}

// TestTry: a mapping that is tried says of each body what it gives, and of what would be set aside why, as taking it does.
func TestTry(t *testing.T) {
	t.Parallel()
	own := "name: own\nversion: 1\nprogram: 'if .skip then empty else event(\"message\"; .at; {conversation_id: .c, message_id: .m, author: \"user\"}) end'\n"
	all, err := mappings{}.Try(own, [][]byte{
		[]byte(`{"c":"a","m":"1","at":"2026-11-20T09:00:00Z"}`), []byte(`{"skip":true}`),
		[]byte(`{"c":"a","m":"2","at":"never"}`), []byte(`{"m":"2","at":"2026-11-20T09:00:00Z"}`), []byte(`nothing`),
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		events int
		reason string
	}{{1, ""}, {0, ""}, {1, "event 1: the time is not one of RFC 3339"}, {1, "event 1: no data.thread_id or data.conversation_id"}, {0, "not JSON"}} {
		got := all[i]
		if len(got.Events) != want.events || !strings.Contains(got.Reason, want.reason) || (got.Reason == "") != (want.reason == "") {
			t.Errorf("body %d: %d events, %q", i, len(got.Events), got.Reason)
		}
	}
}
