package ingest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"turnwise/conversation"
	"turnwise/ingest"
	"turnwise/ingest/file"
	"turnwise/ingest/rasa"
	"turnwise/queries/dbtest"
)

// deliverFile stores bodies as one file would be: its order is known beforehand.
func deliverFile(t testing.TB, pool *pgxpool.Pool, bodies []string) ingest.Counts {
	t.Helper()
	w := ingest.NewWriter(pool, quiet)
	src := openSource(t, w)
	src.TextTimes = true
	order, d := ingest.NewOrder(), rasa.NewDecoder()
	for _, b := range bodies {
		if g, ok := src.Look(d, b, time.Now()); ok {
			order.Note(0, g)
		}
	}
	return stream(t, w, src, bodies, ingest.Options{Order: order, Repeats: true})
}

// stream stores bodies as they come.
func stream(t testing.TB, w *ingest.Writer, src ingest.Source, bodies []string, o ingest.Options) ingest.Counts {
	t.Helper()
	i := 0
	counts, err := w.Run(context.Background(), src, ingest.Bodies(func() (ingest.Body, error) {
		if i == len(bodies) {
			return ingest.Body{}, io.EOF
		}
		i++
		return ingest.Body{Bytes: []byte(bodies[i-1]), Position: strconv.Itoa(i)}, nil
	}), o)
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

var timeOf = regexp.MustCompile(`"timestamp":([0-9.]+)`)

// coarse gives the events times as a clock with large steps does, and repeats some at once.
func coarse(r *rand.Rand, bodies []string) []string {
	var out []string
	for _, b := range bodies {
		b = timeOf.ReplaceAllStringFunc(b, func(m string) string {
			at, err := strconv.ParseFloat(m[len(`"timestamp":`):], 64)
			if err != nil {
				panic(err)
			}
			return fmt.Sprintf(`"timestamp":%.1f`, math.Floor(at/2)*2)
		})
		out = append(out, b)
		if r.IntN(8) == 0 {
			out = append(out, b)
		}
	}
	return out
}

// instants cuts bodies, which are in order, where none of one sender and instant are parted.
func instants(r *rand.Rand, bodies []string, most int) (pieces [][]string) {
	key := func(b string) string {
		sender, _, _ := strings.Cut(b[strings.Index(b, `"sender_id":"`)+len(`"sender_id":"`):], `"`)
		return sender + " " + timeOf.FindStringSubmatch(b)[1]
	}
	for len(bodies) > 0 {
		n := min(1+r.IntN(most), len(bodies))
		for n < len(bodies) && key(bodies[n-1]) == key(bodies[n]) {
			n++
		}
		pieces, bodies = append(pieces, bodies[:n]), bodies[n:]
	}
	return pieces
}

// TestOneInstant holds that events of one instant end in the same tables, in the order of the delivery that showed it,
// whatever the split, the repetition and the deliveries that show no order.
func TestOneInstant(t *testing.T) {
	t.Parallel()
	for run := range 6 {
		t.Run(strconv.Itoa(run+1), func(t *testing.T) {
			t.Parallel()
			r := newRand(uint64(100 + run))
			bodies := coarse(r, generated(r, 5, 140))
			clean := dbtest.Pool(t)
			first := deliverFile(t, clean, bodies)
			want := dbtest.Dump(t, clean)
			if first.Stored < int64(len(bodies))*8/10 {
				t.Fatalf("of %d events %d were stored", len(bodies), first.Stored)
			}
			shuffled := func() []string {
				b := slices.Clone(bodies)
				r.Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
				return b
			}
			asStream := func(pool *pgxpool.Pool, bodies []string) {
				w := ingest.NewWriter(pool, quiet)
				stream(t, w, openSource(t, w), bodies, ingest.Options{Batch: 1 + r.IntN(200)})
			}
			for _, way := range []struct {
				name    string
				deliver func(pool *pgxpool.Pool)
			}{
				{"pieces", func(pool *pgxpool.Pool) {
					for _, p := range instants(r, bodies, 40) {
						deliverFile(t, pool, p)
					}
				}},
				{"pieces in any order, by four", func(pool *pgxpool.Pool) {
					pieces := instants(r, bodies, 60)
					r.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
					var g errgroup.Group
					g.SetLimit(4)
					for _, p := range pieces {
						g.Go(func() error { deliverFile(t, pool, p); return nil })
					}
					_ = g.Wait() // never fails
				}},
				{
					"shuffled first",
					func(pool *pgxpool.Pool) { deliverFile(t, pool, shuffled()); deliverFile(t, pool, bodies) },
				},
				{"shuffled afterwards, and as a stream", func(pool *pgxpool.Pool) {
					deliverFile(t, pool, bodies)
					deliverFile(t, pool, shuffled())
					asStream(pool, shuffled())
				}},
				{"a stream first", func(pool *pgxpool.Pool) { asStream(pool, bodies); deliverFile(t, pool, bodies) }},
				{"twice in one file", func(pool *pgxpool.Pool) {
					deliverFile(t, pool, bodies)
					deliverFile(t, pool, append(slices.Clone(bodies), bodies...))
				}},
			} {
				pool := dbtest.Pool(t)
				way.deliver(pool)
				if got := dbtest.Dump(t, pool); got != want {
					t.Fatalf("%s: the tables differ:\n%s", way.name, firstDifference(want, got))
				}
				deliverFile(t, pool, bodies)
				if err := ingest.NewWriter(pool, quiet).Rebuild(t.Context(), "", func(int) {}); err != nil {
					t.Fatal(err)
				}
				if got := dbtest.Dump(t, pool); got != want {
					t.Fatalf(
						"%s: the same events again, and a rebuild, changed the tables:\n%s", way.name,
						firstDifference(want, got),
					)
				}
			}
		})
	}
}

// TestRepeats holds how many facts equal events are.
func TestRepeats(t *testing.T) {
	t.Parallel()
	at := func(second float64, more string) string {
		return fmt.Sprintf(
			`{"sender_id":"s","event":"bot","timestamp":%.1f,"text":%q,"data":{}}`, 1785900300+second, more,
		)
	}
	user := `{"sender_id":"s","event":"user","timestamp":1785900300.5,"text":"hello","parse_data":{},"message_id":"m"}`
	ping, pong, early := at(1, "ping"), at(1, "pong"), at(0, "early")
	for _, tt := range []struct {
		name       string
		deliveries [][]string
		streamed   bool
		want       int
	}{
		{"side by side", [][]string{{ping, ping}}, false, 2},
		{"three, and later two", [][]string{{ping, ping, ping}, {ping, ping}}, false, 3},
		{"two, and later three", [][]string{{ping, ping}, {ping, ping, ping}}, false, 3},
		{"one, again", [][]string{{ping}, {ping}}, false, 1},
		{"not side by side", [][]string{{ping, pong, ping}}, false, 2},
		{"of another time between", [][]string{{ping, early, ping}}, false, 2},
		{"times fall later on", [][]string{{ping, ping, early}}, false, 2},
		{"a stream proves nothing", [][]string{{ping, ping}}, true, 1},
		{"an id of its own", [][]string{{user, user}, {user, user}}, false, 1},
		{"texts that differ", [][]string{{ping, pong}}, false, 2},
	} {
		pool := dbtest.Pool(t)
		for _, d := range tt.deliveries {
			if tt.streamed {
				w := ingest.NewWriter(pool, quiet)
				stream(t, w, openSource(t, w), d, ingest.Options{})
			} else {
				deliverFile(t, pool, d)
			}
		}
		if got := count(t, pool, `select count(*) from events`); got != tt.want {
			t.Errorf("%s: %d facts, want %d", tt.name, got, tt.want)
		}
	}
}

func count(t testing.TB, pool *pgxpool.Pool, sql string) (n int) {
	t.Helper()
	if err := pool.QueryRow(context.Background(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func texts(t testing.TB, pool *pgxpool.Pool, sql string) []string {
	t.Helper()
	rows, _ := pool.Query(context.Background(), sql)
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// findings returns the bodies of a case that was found on real data.
func findings(t testing.TB, name string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(shared(t, "findings/cases"), name+"*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v %v", name, found, err)
	}
	f, err := os.Open(found[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []string
	for s := file.NewSplitter(bufio.NewReader(f)); ; {
		it, err := s.Next()
		if err != nil {
			return out
		}
		out = append(out, string(it.Body))
	}
}

// TestCoarseClock has the right answers for what a real Rasa with a coarse clock stored.
func TestCoarseClock(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	bodies := findings(t, "01-same-instant")
	if c := deliverFile(t, pool, bodies); c.Stored != int64(len(bodies)) {
		t.Errorf("of %d events %+v", len(bodies), c)
	}
	want := []string{
		"what is in my parcel?", "First line: one lamp", "Second line: two books", "Third line: a kettle", "Shall I send it back? Say yes or no",
		"yes", "I am sorry to hear that.", "Here is your label.", "Good bye!", "ping twice", "ping", "ping",
	}
	if got := texts(t, pool, `select text from messages order by seq`); !slices.Equal(got, want) {
		t.Errorf("said %q", got)
	}
	if got := texts(
		t, pool, `select distinct on (name) name || '=' || value from slots order by name, seq desc`,
	); !slices.Equal(got, []string{"confirm=null", `parcel="P-2"`}) {
		t.Errorf("slots end as %q", got)
	}

	pool = dbtest.Pool(t)
	deliverFile(t, pool, findings(t, "01b"))
	if n := count(
		t, pool, fmt.Sprintf(`select count(*) from events where flags & %d <> 0`, conversation.FlagStackNotApplied),
	); n != 0 {
		t.Errorf("%d patches of the stack were not applied", n)
	}
	steps := texts(
		t, pool,
		`select s.sender_key || ' ' || string_agg(f.flow_id || '/' || f.step_id, ' ' order by f.seq) from flow_steps f join senders s on s.id = f.sender_id group by s.sender_key order by 1`,
	)
	if len(steps) != 2 ||
		strings.TrimPrefix(steps[0], "field01b-coarse") != strings.TrimPrefix(steps[1], "field01b-fine") ||
		strings.Count(steps[0], "/") != 11 {
		t.Errorf("the flow went through %q", steps)
	}
}

// TestFromStores holds that an event is the same whichever of Rasa's stores wrote it.
func TestFromStores(t *testing.T) {
	t.Parallel()
	pool := dbtest.Pool(t)
	deliverFile(t, pool, findings(t, "15a"))
	if c := deliverFile(t, pool, findings(t, "15b")); c.Duplicates != 21 || c.Stored+c.Revised+c.Rejected != 0 {
		t.Errorf("out of DynamoDB: %+v", c)
	}
	pool = dbtest.Pool(t)
	all := deliverFile(t, pool, findings(t, "02q")) // a list of trackers
	for _, name := range []string{"02c", "02d", "02f", "02h", "02i", "02j", "02u", "02v", "02x"} {
		c := deliverFile(t, pool, findings(t, name))
		switch {
		case name == "02j" || name == "02x" || name == "02h" || name == "02i" || name == "02c" || name == "02d" ||
			name == "02f":
			if c.Duplicates < 1 || c.Stored+c.Revised+c.Rejected != 0 {
				t.Errorf("%s: %+v, of %d", name, c, all.Stored)
			}
		case c.Rejected != 0:
			t.Errorf("%s: %+v", name, c)
		}
	}
}
