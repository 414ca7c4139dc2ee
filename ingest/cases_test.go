package ingest_test

import (
	"slices"
	"strings"
	"testing"

	"turnwise/mask"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// TestCases has the right answers for what was found on real data and in public reports.
func TestCases(t *testing.T) {
	t.Parallel()
	const (
		conversations = `select c.outcome || coalesce(nullif(' by ' || c.escalation_reason, ' by '), '') || ' ' || c.user_messages || '/' || c.bot_messages from conversations c join senders s on s.id = c.sender_id order by c.started_at, s.sender_key`
		platforms     = `select m.text || ' ' || t.platform from turns t join messages m on m.id = t.message_id and m.sender_id = t.sender_id order by m.at`
		said          = `select text || ' ' || coalesce(rich, '') from messages where author = 1 order by at`
		days          = `select (c.started_at at time zone 'America/Sao_Paulo')::date || ' ' || count(*) from conversations c group by (c.started_at at time zone 'America/Sao_Paulo')::date order by 1`
	)
	for _, tt := range []struct {
		name, sql, want string // conversations: user messages/bot messages
	}{
		{"03-own", conversations, "abandoned 1/3; resolved_assumed 1/3; not_engaged 0/1"},
		{"03c", conversations, "resolved_assumed 1/1; resolved_assumed 1/1; not_engaged 0/0; not_engaged 0/0"},
		{
			"04", conversations,
			"abandoned 3/2; abandoned 2/1; abandoned 1/1; resolved_assumed 2/2; resolved_assumed 2/2; resolved_assumed 2/2; not_engaged 0/0",
		},
		{"05", conversations, "resolved_assumed 1/1; abandoned 1/1; resolved_assumed 1/1"},
		{"06", conversations, "abandoned 1/1; abandoned 1/1"},
		{"07", conversations, "resolved_assumed 2/3; not_engaged 0/1"},
		{
			"07", platforms,
			"remind me false; EXTERNAL: EXTERNAL_reminder true; thanks false; EXTERNAL: EXTERNAL_news true",
		},
		{"08", conversations, "resolved_assumed 3/3"},
		{"09a", conversations, "resolved_assumed 28/28"}, // nothing says where one ends
		{"09b", conversations, "resolved_assumed 6/6"},
		{"13", days, "2026-08-31 1; 2026-09-01 1; 2026-09-06 3; 2026-09-07 3; 2026-09-08 1; 2026-10-24 2"},
		{"14", conversations, "resolved_assumed 15/15"},
		{"16", conversations, "resolved_assumed 3/3; abandoned 3/3"},
		{"16", said, "book ; /null@0.000 ; to Riga ; asdf ; /out_of_scope ; sdfg "},
		// the first was given back to the assistant
		{"17", conversations, "resolved_assumed 5/2; escalated by pause 3/0"},
		{"18", conversations, "abandoned 6/3"},
		{
			"18", said,
			` {"attachments":[{"contentType": "image/png", "contentUrl": "https://files.example.org/a.png", "name": "a.png"}]};  {"attachments":[{"contentType": "audio/ogg", "contentUrl": "https://files.example.org/a.ogg"}]}; see file ;  {"message":{"type": "location", "lat": 1.5}}; x ; y `,
		},
		{"19", conversations, "resolved_assumed 2/1"},
	} {
		pool := dbtest.Pool(t)
		deliverFile(t, pool, findings(t, tt.name))
		if got := strings.Join(texts(t, pool, tt.sql), "; "); got != tt.want {
			t.Errorf("%s: %s\n got %s\nwant %s", tt.name, tt.sql, got, tt.want)
		}
	}
}

// TestMaskedCases: nothing stays of what slots were told that are masked by their names, however it was said; see the
// case itself for the words.
func TestMaskedCases(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	keepMasking(t, pool, queries.Masking{
		Rules: mask.Rules{Slots: []string{"person", "file_no", "born", "age"}}, OnArrival: true,
	})
	deliverFile(t, pool, findings(t, "12"))
	want := []string{
		"I am called [person], hello", "call me [person] please", "my file is [file_no] ok", "mr. [person] here", "😀😀 it is [person] today", "born [born] in Ulm", "I am [age]",
		"I am called [person], hello", "call me [person] please", "mr. [person] here", "born [born] in Ulm", "I am [age]",
	}
	if got := texts(t, pool, `select text from messages where author = 1 order by at`); !slices.Equal(got, want) {
		t.Errorf("said %q", got)
	}
	for _, word := range []string{
		"Jonathan", "jonny", "FERRER", "ferrer", "Lena", "123456X", "12 34 56-X", "1980-05-04", "4 May 1980",
	} {
		if in := dbtest.Holding(t, pool, word); len(in) > 0 {
			t.Errorf("%q stands in %v", word, in)
		}
	}
}
