package ingest_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/ingest"
	"turnwise/ingest/file"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

type badInput struct {
	ID, What, Where string
	Events          []string
	Body            *string
	BodyB64         string  `json:"body_b64"`
	Parts           [][]any // text and how often
	Encode          string
	Expect          []string
}

// bodies returns the exact message bodies.
func (b badInput) bodies(t *testing.T) []string {
	t.Helper()
	switch {
	case b.Body != nil:
		return []string{*b.Body}
	case b.BodyB64 != "":
		raw, err := base64.StdEncoding.DecodeString(b.BodyB64)
		if err != nil {
			t.Fatal(err)
		}
		return []string{string(raw)}
	case b.Parts != nil:
		var s strings.Builder
		for _, p := range b.Parts {
			s.WriteString(strings.Repeat(p[0].(string), int(p[1].(float64))))
		}
		return []string{s.String()}
	}
	soon := regexp.MustCompile(`"@now(\+\d+)?"`)
	for i, e := range b.Events {
		b.Events[i] = soon.ReplaceAllStringFunc(e, func(m string) string {
			plus, _ := strconv.Atoi(strings.Trim(strings.TrimPrefix(strings.Trim(m, `"`), "@now"), "+"))
			return strconv.FormatInt(time.Now().Unix()+int64(plus), 10)
		})
	}
	return b.Events
}

func elements(t *testing.T, array string) (out []string) {
	t.Helper()
	for s := file.NewSplitter(strings.NewReader(array)); ; {
		it, err := s.Next()
		if err != nil {
			return out
		}
		out = append(out, string(it.Body))
	}
}

func goodEvent(sender string, at float64) string {
	return fmt.Sprintf(
		`{"sender_id":%q,"event":"user","timestamp":%f,"metadata":{"assistant_id":"bad-bot"},"text":"good","parse_data":{"intent":{"name":"greet","confidence":0.9},"entities":[]},"message_id":"g-%f"}`,
		sender, at, at,
	)
}

// readBadInputs returns those of the shared corpus that are events.
func readBadInputs(t *testing.T) []badInput {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(shared(t, "bad-inputs"), "*.ndjson"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	var all []badInput
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var b badInput
			if err := json.Unmarshal(lines.Bytes(), &b); err != nil {
				t.Fatal(err)
			}
			if b.Where == "event" {
				all = append(all, b)
			}
		}
		f.Close()
	}
	return all
}

// feed stores bodies one after the other, as a source would, in one batch.
func feed(t *testing.T, pool *pgxpool.Pool, bodies ...string) ingest.Counts {
	t.Helper()
	w := ingest.NewWriter(pool, quiet)
	counts := stream(t, w, openSource(t, w), bodies, ingest.Options{})
	counts.First, counts.Last = 0, 0 // asked for elsewhere
	return counts
}

// TestBadInputs delivers each bad input between good events, twice: the good ones are stored, the bad one does
// what it may, and the second time changes nothing but counters.
func TestBadInputs(t *testing.T) {
	t.Parallel()
	for _, b := range readBadInputs(t) {
		t.Run(b.ID+" "+b.What, func(t *testing.T) {
			t.Parallel()
			pool := dbtest.Pool(t)
			bodies := b.bodies(t)
			if len(bodies) == 1 && strings.HasPrefix(bodies[0], "[") { // an array is cut before it is decoded
				bodies = elements(t, bodies[0])
			}
			sent := slices.Concat([]string{goodEvent("before", 1785800001)}, bodies, []string{
				goodEvent("behind", 1785800002), goodEvent(strings.ToLower("bad-"+b.ID), 1785990000),
			})
			counts := feed(t, pool, sent...)
			if counts.Stored+counts.Duplicates+counts.Revised+counts.Rejected != int64(len(sent)) {
				t.Fatalf("%d bodies became %+v", len(sent), counts)
			}
			bad := counts
			bad.Stored -= 3
			ok := false
			for _, want := range b.Expect {
				switch want {
				case "stored":
					ok = ok || bad.Rejected == 0 && bad.Stored == int64(len(bodies))
				case "stored_once":
					ok = ok || bad.Rejected == 0 && bad.Duplicates == 1 && bad.Stored == int64(len(bodies)-1)
				case "revised":
					ok = ok || bad.Stored == 1 && bad.Rejected == 0
				case "rejected":
					ok = ok || bad.Rejected == int64(len(bodies))
				case "partial":
					ok = ok || bad.Rejected == 1 && bad.Stored == int64(len(bodies)-1)
				}
			}
			if !ok {
				t.Errorf("got %+v; want one of %v", bad, b.Expect)
			}
			before := dbtest.Dump(t, pool)
			feed(t, pool, sent...)
			if after := dbtest.Dump(t, pool); after != before {
				t.Errorf("the second delivery changed the tables:\n%s", firstDifference(before, after))
			}
			if err := ingest.NewWriter(pool, quiet).Rebuild(t.Context(), "", func(int) {}); err != nil {
				t.Fatal(err)
			}
			if after := dbtest.Dump(t, pool); after != before {
				t.Errorf("rebuild changed the tables:\n%s", firstDifference(before, after))
			}
			checkBodies(t, pool)
		})
	}
}

// checkBodies holds that every stored body can be cast to json and read from, whatever was sent.
func checkBodies(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	scan(t, pool, `select b::json ->> 'text', b::json ->> 'event', b::jsonb::text from event_payloads, string_to_table(bodies, chr(30)) as b`, func(row func(...any)) {
		var text, typ, all *string
		row(&text, &typ, &all)
		if typ == nil {
			t.Error("a body without a type")
		}
	})
}

// TestRedaction holds that what a redacted copy replaced is nowhere, in any order of arrival.
func TestRedaction(t *testing.T) {
	t.Parallel()
	at := func(typ, more string) string {
		return `{"sender_id":"r","event":"` + typ + `","timestamp":1785900330.5,"metadata":{"assistant_id":"bot"}` +
			more + `}`
	}
	for _, tt := range []struct{ name, original, redacted string }{
		{
			"user", at("user", `,"message_id":"m","text":"call +358 40 1234567\ud83d"`),
			at("user", `,"message_id":"m","text":"call [PHONE]","anonymized_at":1785903330.0`),
		},
		{
			"bot", at("bot", `,"text":"I call +358 40 1234567"`),
			at("bot", `,"text":"I call [PHONE]","anonymized_at":"2026-08-05T10:00:00"`),
		},
		{
			"slot", at("slot", `,"name":"phone","value":"+358 40 1234567"`),
			at("slot", `,"name":"phone","value":"***","anonymized_at":1785903330.0`),
		},
	} {
		orders := map[string][]string{
			"original, copy, original": {
				tt.original, tt.redacted, tt.original,
			}, "copy, original": {tt.redacted, tt.original}, "copy twice": {tt.original, tt.redacted, tt.redacted},
		}
		dumps := map[string]string{}
		for name, bodies := range orders {
			pool := dbtest.Pool(t)
			for _, b := range bodies {
				feed(t, pool, b)
			}
			dumps[name] = dbtest.Dump(t, pool)
			if strings.Contains(dumps[name], "1234567") {
				t.Errorf("%s, %s: what was redacted is still there", tt.name, name)
			}
			together := dbtest.Pool(t)
			feed(t, together, bodies...)
			if dbtest.Dump(t, together) != dumps[name] {
				t.Errorf("%s, %s: one batch ends otherwise than one by one", tt.name, name)
			}
		}
		if dumps["copy, original"] != dumps["copy twice"] {
			t.Errorf(
				"%s: the order of arrival matters:\n%s", tt.name,
				firstDifference(dumps["copy twice"], dumps["copy, original"]),
			)
		}
	}
}

func TestRebuildChangesNothing(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	deliver(t, pool, newRand(4), slices.Concat(generated(newRand(3), 8, 150), realStream(t, 1500)), 300, 2)
	before := dbtest.Dump(t, pool)
	done := 0
	if err := ingest.NewWriter(pool, quiet).Rebuild(t.Context(), "", func(n int) { done = n }); err != nil {
		t.Fatal(err)
	}
	if after := dbtest.Dump(t, pool); after != before {
		t.Errorf("rebuild changed the tables:\n%s", firstDifference(before, after))
	}
	if senders, err := queries.CountSenders(t.Context(), pool, ""); err != nil || senders != done {
		t.Errorf("%d of %d senders rebuilt, %v", done, senders, err)
	}
	// Rows that somebody spoiled are made good.
	if _, err := pool.Exec(
		t.Context(), `update conversations set turns = 99; delete from turns; update messages set turn = 7`,
	); err != nil {
		t.Fatal(err)
	}
	if err := ingest.NewWriter(pool, quiet).Rebuild(t.Context(), "", func(int) {}); err != nil {
		t.Fatal(err)
	}
	if after := dbtest.Dump(t, pool); after != before {
		t.Errorf("rebuild did not mend the tables:\n%s", firstDifference(before, after))
	}
}

// TestRefusedByTheDatabase holds that an event which the database refuses, for whatever reason that lies in it, is set
// aside alone, and that a conflict which goes away harms nobody.
func TestRefusedByTheDatabase(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	if _, err := pool.Exec(t.Context(), `
		create sequence tries;
		create function refuse() returns trigger language plpgsql as $$
		begin
			if new.text like 'refuse %' then
				raise exception 'refused' using errcode = split_part(new.text, ' ', 2);
			elsif new.text = 'not yet' and nextval('tries') < 9 then -- a sequence is not rolled back
				raise exception 'in the way' using errcode = '40P01';
			end if;
			return new;
		end $$;
		create trigger refuse before insert on messages for each row execute function refuse()`); err != nil {
		t.Fatal(err)
	}
	refused := []string{"22008", "22003", "22P02", "23502", "23514", "54000", "54001", "40001", "23505", "XX000"}
	var bodies []string
	for i := range 200 {
		body := goodEvent(fmt.Sprintf("s%d", i%7), 1785800000+float64(i))
		switch n := i - 90; {
		case n >= 0 && n < len(refused):
			body = strings.Replace(body, `"good"`, `"refuse `+refused[n]+`"`, 1)
		case i == 150:
			body = strings.Replace(body, `"good"`, `"not yet"`, 1)
		}
		bodies = append(bodies, body)
	}
	n := int64(len(refused))
	if got, want := feed(t, pool, bodies...), (ingest.Counts{Stored: 200 - n, Rejected: n}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := feed(t, pool, bodies...), (ingest.Counts{Duplicates: 200 - n, Rejected: n}); got != want {
		t.Errorf("again: got %+v, want %+v", got, want)
	}
	rows, err := queries.RejectedEvents(t.Context(), queries.Clear(pool), queries.RejectedFilter{}, 20)
	if err != nil || len(rows) != len(refused) || rows[0].Seen != 2 || rows[0].Code != "store" {
		t.Errorf("set aside: %+v, %v", rows, err)
	}
}

// TestUnfit holds that an event which cannot be put together with what is stored of its sender is set aside alone.
func TestUnfit(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	feed(t, pool, goodEvent("a", 1785800010), goodEvent("b", 1785800010))
	if _, err := pool.Exec(
		t.Context(),
		`update event_payloads set bodies = 'spoiled' where sender_id = (select id from senders where sender_key = 'a')`,
	); err != nil {
		t.Fatal(err)
	}
	late := []string{
		goodEvent("b", 1785800001), goodEvent("a", 1785800001), goodEvent("c", 1785800001), goodEvent("b", 1785800020),
	}
	if got, want := feed(t, pool, late...), (ingest.Counts{Stored: 3, Rejected: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
