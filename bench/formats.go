package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/access"
	"turnwise/ingest"
	"turnwise/ingest/intake"
	"turnwise/ingest/mapped"
	"turnwise/queries"
)

// formats measures the whole way of neutral events, and of webhooks of Chatwoot through their mapping, against that of
// Rasa's events that say the same, in turns; and how long a large request of traces takes.
func (b *bench) formats() error {
	of, done, err := b.sources()
	if err != nil {
		return err
	}
	defer done()
	rates := map[string][]float64{}
	for range b.reps {
		for _, x := range of {
			rate, err := b.format(x)
			if err != nil {
				return fmt.Errorf("%s: %w", x.name, err)
			}
			rates[x.name] = append(rates[x.name], rate)
		}
	}
	rasa := median(rates["Rasa"])
	b.note("formats: Rasa's events", rasa, "events/s", "")
	b.note("formats: neutral events / Rasa's", median(rates["neutral"])/rasa, "ratio", ">= 0.9")
	b.note("formats: mapped webhooks / Rasa's events", median(rates["mapped"])/rasa, "ratio", ">= 0.5")
	return b.traces()
}

// arriving is bodies of one format.
type arriving struct {
	name string
	from ingest.Source
	all  *corpus
}

func (b *bench) sources() (of []arriving, done func(), err error) {
	var runner *mapped.Runner
	done = func() {
		for _, x := range of {
			x.all.close()
		}
		if runner != nil {
			runner.Close()
		}
	}
	begin := time.Now().Add(-90 * 24 * time.Hour)
	add := func(name string, from ingest.Source, write func(said) []byte) {
		var all *corpus
		if err == nil {
			all, err = corpusOf(b.events, chats(begin, write))
		}
		if err == nil {
			of = append(of, arriving{name, from, all})
		}
	}
	add("Rasa", ingest.Source{}, said.rasa)
	neutral, _ := ingest.FormatNamed("neutral")
	add("neutral", ingest.Source{Format: neutral}, said.neutral)
	text, _ := mapped.ShippedText("chatwoot")
	file, wrong := mapped.Parse(text)
	if wrong != nil {
		done()
		return nil, nil, wrong
	}
	runner = mapped.NewRunner(file, "")
	from := ingest.Source{Format: neutral, Mapping: &ingest.Mapping{
		Name: "chatwoot", Map: runner.Map, Settings: file.Settings(),
	}}
	add("mapped", from, said.chatwoot)
	if err != nil {
		done()
	}
	return of, done, err
}

// said is a message of a conversation between a user and a bot.
type said struct {
	conversation, message int
	user                  bool
	at                    time.Time
	text                  string
}

// chats yields conversations of twelve messages, so that every format says the same.
func chats(begin time.Time, write func(said) []byte) func() ([]byte, bool) {
	i := 0
	return func() ([]byte, bool) {
		conversation, n := i/12, i%12
		i++
		at := begin.Add(time.Duration(conversation)*5*time.Minute + time.Duration(n)*20*time.Second)
		return write(said{
			conversation, i, n%2 == 0, at.UTC(),
			fmt.Sprintf("What was said in the %dth place of this conversation, at some length.", n),
		}), true
	}
}

func (m said) rasa() []byte {
	if m.user {
		return fmt.Appendf(nil, `{"sender_id":"s%d","event":"user","timestamp":%d.25,"text":%q,"message_id":"m%d","input_channel":"web","metadata":{},"parse_data":{"intent":{"name":"ask","confidence":0.93},"entities":[],"text":%q}}`,
			m.conversation, m.at.Unix(), m.text, m.message, m.text)
	}
	return fmt.Appendf(nil, `{"sender_id":"s%d","event":"bot","timestamp":%d.25,"text":%q,"data":{"elements":null,"quick_replies":null,"buttons":null},"metadata":{"utter_action":"utter_answer","message_id":"m%d"}}`,
		m.conversation, m.at.Unix(), m.text, m.message)
}

func (m said) neutral() []byte {
	author, more := "bot", `"template":"utter_answer"`
	if m.user {
		author, more = "user", `"turn":{"intents":[{"name":"ask","score":0.93}]}`
	}
	return fmt.Appendf(nil, `{"type":"message","time":%q,"data":{"conversation_id":"s%d","user_id":"s%d","message_id":"m%d","author":%q,"channel":"web","text":%q,%s}}`,
		m.at.Format("2006-01-02T15:04:05.250Z"), m.conversation, m.conversation, m.message, author, m.text, more)
}

func (m said) chatwoot() []byte {
	kind, sender := "outgoing", `{"id":9,"name":"Helper","type":"agent_bot"}`
	if m.user {
		kind, sender = "incoming", `{"id":5,"type":"contact"}`
	}
	return fmt.Appendf(nil, `{"event":"message_created","id":%d,"content":%q,"content_type":"text","message_type":%q,"private":false,"created_at":%q,"sender":%s,"account":{"id":3},"conversation":{"id":%d,"channel":"Channel::WebWidget","contact_inbox":{"contact_id":%d},"meta":{}}}`,
		m.message, m.text, kind, m.at.Format("2006-01-02T15:04:05.250Z"), sender, m.conversation, m.conversation)
}

// format returns bodies a second of the whole way.
func (b *bench) format(x arriving) (float64, error) {
	url, drop, err := b.fresh("bench")
	if err != nil {
		return 0, err
	}
	pool, err := queries.Open(b.ctx, url, 6)
	if err != nil {
		return 0, err
	}
	rate, counts, err := b.storeFrom(pool, x.from, x.all.each, 2, 5000)
	pool.Close()
	if err == nil && (counts.Rejected > 0 || counts.Stored < int64(len(x.all.ends))*9/10) {
		err = fmt.Errorf("stored %+v of %d", counts, len(x.all.ends))
	}
	return rate, errors.Join(err, drop())
}

// traces measures requests of 5,000 spans, a thousand turns of five, each of about 2 kB.
func (b *bench) traces() error {
	url, drop, err := b.fresh("bench")
	if err != nil {
		return err
	}
	pool, err := queries.Open(b.ctx, url, 6)
	if err != nil {
		return err
	}
	seconds, err := b.sendTraces(pool)
	if err == nil {
		b.note("formats: a request of 5,000 spans", seconds, "s", "< 1")
	}
	pool.Close()
	return errors.Join(err, drop())
}

func (b *bench) sendTraces(pool *pgxpool.Pool) (float64, error) {
	token, err := queries.NewToken(b.ctx, pool, access.Token{
		Name: "bench", Role: "ingest", Assistant: "bench", CreatedBy: "bench", CreatedAt: time.Now(),
	}, 0)
	if err != nil {
		return 0, err
	}
	server := httptest.NewServer(intake.Traces{Handler: intake.New(pool, ingest.NewWriter(pool, b.log), b.log)})
	defer server.Close()
	var took []float64
	for rep := range b.reps {
		body := spans(5000, rep, time.Now().Add(-time.Hour))
		req, err := http.NewRequestWithContext(b.ctx, http.MethodPost, server.URL+intake.TracePaths[0], bytes.NewReader(body))
		if err != nil {
			return 0, err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		begun := time.Now()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		said, err := io.ReadAll(resp.Body)
		took = append(took, time.Since(begun).Seconds())
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("%d %s %w", resp.StatusCode, said, err)
		}
	}
	var calls int
	if err := pool.QueryRow(b.ctx, "select count(*) from calls").Scan(&calls); err != nil || calls != b.reps*4000 {
		return 0, fmt.Errorf("%d calls of %d are stored: %w", calls, b.reps*4000, err)
	}
	return median(took), nil
}

// spans are n spans of turns of five: the turn, and four calls of models.
func spans(n, seed int, begin time.Time) []byte {
	var b bytes.Buffer
	b.WriteString(`{"resourceSpans":[{"scopeSpans":[{"spans":[`)
	words := strings.Repeat("What was said to the model, again. ", 45)
	for i := range n {
		turn, call := i/5, i%5
		at := begin.Add(time.Duration(turn) * time.Second).UnixNano()
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"traceId":"%016x%016x","spanId":"%016x","startTimeUnixNano":"%d","endTimeUnixNano":"%d"`, seed+1, turn+1, i+1, at, at+int64(900*time.Millisecond))
		if call == 0 {
			fmt.Fprintf(&b, `,"name":"turn","attributes":[{"key":"session.id","value":{"stringValue":"s%d-%d"}},{"key":"input.value","value":{"stringValue":"hello"}},{"key":"output.value","value":{"stringValue":%q}}]}`, seed, turn/10, words)
			continue
		}
		fmt.Fprintf(&b, `,"name":"chat","parentSpanId":"%016x","attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}},{"key":"gen_ai.request.model","value":{"stringValue":"m-1"}},{"key":"gen_ai.usage.input_tokens","value":{"intValue":"812"}},{"key":"gen_ai.usage.output_tokens","value":{"intValue":"64"}},{"key":"gen_ai.prompt","value":{"stringValue":%q}}]}`, turn*5+1, words)
	}
	b.WriteString(`]}]}]}`)
	return b.Bytes()
}
