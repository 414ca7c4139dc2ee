package queries

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/search"
)

const unknownWordsSQL = `
select k.word
from unnest(@words::text[]) as k (word)
where not exists (select from search_words w where w.word = k.word)`

const alikeWordsSQL = `
select k.word, a.word as other
from unnest(@words::text[]) as k (word)
cross join lateral (
	select w.word
	from search_words w
	where w.word % k.word and exists (select from conversation_texts t where t.words @@ quote_literal(w.word)::tsquery)
	order by w.word <-> k.word, w.word
	limit 20
) as a`

// mostAlike is how many words one mistyped may stand for.
const mostAlike = 5

// Forgive returns, for long words that occur nowhere, those that occur and are nearly the same.
func CorrectSpelling(ctx context.Context, db DB, words []string) (map[string][]string, error) {
	if len(words) == 0 {
		return nil, nil
	}
	rows, _ := db.Query(ctx, unknownWordsSQL, pgx.StrictNamedArgs{"words": words})
	unknown, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(unknown) == 0 {
		return nil, err
	}
	rows, _ = db.Query(ctx, alikeWordsSQL, pgx.StrictNamedArgs{"words": unknown})
	others := map[string][]string{}
	var word, other string
	_, err = pgx.ForEachRow(rows, []any{&word, &other}, func() error {
		if len(others[word]) < mostAlike && search.Near(word, other) {
			others[word] = append(others[word], other)
		}
		return nil
	})
	return others, err
}

// shownToo: who may not see personal data searches in the words that are left when they are masked. What is wanted
// stands among all words too, so that the index serves both.
const shownToo = ` and (not @shown::boolean or coalesce(shown, words) @@ @query::tsquery)`

const hitsSQL = `
select sender_id, conversation_id, started_at
from conversation_texts
where words @@ @wanted::tsquery` + shownToo + ` and started_at >= @from and started_at < @until
limit @limit`

// How many conversations a search hits by the statistics of the table: of words alone, a good guess.
const guessedHitsSQL = `
explain (format json)
select
from conversation_texts
where words @@ @wanted::tsquery` + shownToo + ` and started_at >= @from and started_at < @until`

// fewHits is up to how many conversations that a search hits are looked up first; where there are more, lists walk back
// in time and look at each. From manyHits on a guess will do to tell.
const (
	fewHits  = 10_000
	manyHits = 25_000
)

// found is what a search came to.
type found struct {
	query  string // for PostgreSQL
	wanted string // the same without what must not be there, where shown
	shown  bool   // in what is shown alone
	hits   []textHit
	many   bool // more than fewHits, or uncounted

	nothing   bool // it has no letters and digits, and so hits nothing
	uncounted bool // to count them takes longer than a page waits
}

type textHit struct {
	sender int64
	id     conversation.UUID
	at     time.Time
}

// lookUpText prepares a search: which words it forgives and, unless they are many, which conversations it hits.
func lookUpText(
	ctx context.Context, db DB, f metric.Filter, wait time.Duration, from, until time.Time,
) (t found, err error) {
	q, err := SearchTyped(f.Text)
	if !f.Shown { // words that are forgiven would be those that are masked
		q, err = forgiving(ctx, db, f.Text)
	}
	if err != nil {
		return t, err
	}
	t.query, t.shown = q.TSQuery(), f.Shown
	if t.wanted = t.query; t.shown {
		t.wanted = q.Wanted().TSQuery()
	}
	if t.query == "" {
		t.nothing = true
		return t, nil
	}
	if f.ID != "" {
		from, until = time.Unix(0, 0), time.Unix(1<<36, 0)
	}
	args := func() pgx.StrictNamedArgs { return t.args(from, until) }
	if q.Words() {
		rows, _ := db.Query(ctx, guessedHitsSQL, args())
		guess, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[[]struct {
			Plan struct {
				Rows float64 `json:"Plan Rows"`
			}
		}])
		if err != nil {
			return t, fmt.Errorf("guess hits: %w", err)
		}
		if t.many = guess[0].Plan.Rows > manyHits; t.many {
			return t, nil
		}
	}
	more := args()
	more["limit"] = fewHits + 1
	t.hits, err = hitsWithin(ctx, db, wait, hitsSQL, more)
	if t.uncounted = errors.Is(err, ErrSlow); t.uncounted {
		err = nil
	}
	t.many = t.uncounted || len(t.hits) > fewHits
	return t, err
}

func (t found) args(from, until time.Time) pgx.StrictNamedArgs {
	return pgx.StrictNamedArgs{"query": t.query, "wanted": t.wanted, "shown": t.shown, "from": from, "until": until}
}

// with is the same search with other hits.
func (t found) with(hits []textHit) found {
	return found{query: t.query, wanted: t.wanted, shown: t.shown, nothing: t.nothing, hits: hits}
}

// impatience is how long a page waits for all hits: beyond, it lists the newest, and says how many there are later.
const impatience = 20 * time.Millisecond

// ErrSlow says that something takes longer than one would wait.
var ErrSlow = errors.New("takes longer than a page waits")

const impatienceSQL = `select set_config('statement_timeout', @ms, true)`

// hitsWithin reads hits, from a pool no longer than it waits (0: as long as it takes); ErrSlow says that it takes
// longer.
func hitsWithin(
	ctx context.Context, db DB, wait time.Duration, sql string, args pgx.StrictNamedArgs,
) (hits []textHit, err error) {
	read := func(db DB) (err error) {
		rows, _ := db.Query(ctx, sql, args)
		hits, err = readHits(rows)
		return err
	}
	of := func(db DB) DB { return db }
	switch d := db.(type) { // with eyes it may be waited for no longer either
	case masked:
		db, of = d.db, func(db DB) DB { return masked{db, d.m} }
	case unmasked:
		db = d.DB
	}
	if pool, ok := db.(*pgxpool.Pool); ok && wait > 0 {
		return hits, Within(ctx, pool, wait, func(db DB) error { return read(of(db)) })
	}
	db = of(db)
	return hits, read(db)
}

// Within gives each statement of do so much time; ErrSlow says that one took longer.
func Within(ctx context.Context, pool *pgxpool.Pool, wait time.Duration, do func(db DB) error) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, impatienceSQL, pgx.StrictNamedArgs{
			"ms": strconv.FormatInt(wait.Milliseconds(), 10),
		}); err != nil {
			return err
		}
		return do(tx)
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "57014" && ctx.Err() == nil {
		return ErrSlow
	}
	return err
}

func readHits(rows pgx.Rows) (hits []textHit, err error) {
	var h textHit
	if _, err = pgx.ForEachRow(rows, []any{&h.sender, &h.id, &h.at}, func() error {
		hits = append(hits, h)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	return hits, nil
}

// page leaves of the hits those of one page of the list.
func (t *found) page(at *metric.Cursor, limit int) {
	newer := at != nil && at.Newer
	order := func(a, b textHit) int { return cmp.Or(b.at.Compare(a.at), b.id.Compare(a.id)) } // the newest first
	if newer {
		order = func(a, b textHit) int { return cmp.Or(a.at.Compare(b.at), a.id.Compare(b.id)) }
	}
	if at != nil {
		place := textHit{at: time.UnixMicro(at.At), id: at.ID}
		t.hits = slices.DeleteFunc(t.hits, func(h textHit) bool { return order(h, place) <= 0 })
	}
	slices.SortFunc(t.hits, order)
	t.hits = t.hits[:min(len(t.hits), limit)]
}

const (
	nextHitsHead = `
select sender_id, conversation_id, started_at
from conversation_texts
where words @@ @wanted::tsquery` + shownToo + ` and started_at >= @from and started_at < @until`
	olderHitsSQL = nextHitsHead +
		` and (@cursor_at::timestamptz is null or (started_at, conversation_id) < (@cursor_at, @cursor_id::uuid))
order by started_at desc, conversation_id desc
limit @limit`
	newerHitsSQL = nextHitsHead + ` and (started_at, conversation_id) > (@cursor_at, @cursor_id::uuid)
order by started_at, conversation_id
limit @limit`
)

// nextHits returns the next conversations that a search hits, from a place in the list on (nil: the newest).
func nextHits(
	ctx context.Context, db DB, t found, at *metric.Cursor, limit int, from, until time.Time,
) (hits []textHit, err error) {
	sql, args := olderHitsSQL, t.args(from, until)
	args["limit"], args["cursor_at"], args["cursor_id"] = limit, nil, nil
	if at != nil {
		args["cursor_at"], args["cursor_id"] = time.UnixMicro(at.At), at.ID
		if at.Newer {
			sql = newerHitsSQL
		}
	}
	rows, _ := db.Query(ctx, sql, args)
	return readHits(rows)
}

// textAlone tells whether a filter asks for nothing but words and a range.
func textAlone(f metric.Filter) bool {
	f.Text = ""
	return f.FromRollups() && f.WholeAssistants() && len(f.Assistants)+len(f.Not.Assistants) == 0
}

// SearchTyped reads what somebody looks for as it was typed.
func SearchTyped(text string) (search.Query, error) {
	q, err := search.Parse(text)
	var bad *search.Error
	if errors.As(err, &bad) {
		return q, &metric.InputError{Field: "search", Msg: bad.Msg}
	}
	return q, err
}

// Search reads what somebody looks for, with the words that it forgives.
func Search(ctx context.Context, db Sight, text string) (search.Query, error) {
	return forgiving(ctx, db, text)
}

func forgiving(ctx context.Context, db DB, text string) (search.Query, error) {
	q, err := SearchTyped(text)
	if err != nil {
		return q, err
	}
	others, err := CorrectSpelling(ctx, db, q.Long())
	if err != nil {
		return q, fmt.Errorf("vocabulary: %w", err)
	}
	return q.Or(others), nil
}

// SearchAs has the words of a filter looked for where a user may: in what is shown alone, where personal data are
// masked for the user.
func SearchAs(ctx context.Context, db DB, f metric.Filter, personal bool) (metric.Filter, error) {
	if f.Text == "" || personal {
		return f, nil
	}
	m, err := DisplayMask(ctx, db)
	f.Shown = m != nil
	return f, err
}

// text narrows by a search.
func (w *Where) text(t found) {
	switch {
	case t.nothing:
		w.And("false", "", nil)
	case t.query == "":
	case t.many:
		words := "x.words"
		if t.shown {
			words = "coalesce(x.shown, x.words)"
		}
		w.And(
			"exists (select from conversation_texts x where x.sender_id = c.sender_id and x.conversation_id "+
				"= c.id and "+words+" @@ @search::tsquery)",
			"search", t.query,
		)
	default:
		senders, ids := make([]int64, len(t.hits)), make([][16]byte, len(t.hits))
		for i, h := range t.hits {
			senders[i], ids[i] = h.sender, h.id
		}
		w.And(
			"(c.sender_id, c.id) in (select h.sender_id, h.id from unnest(@hit_senders::bigint[], "+
				"@hit_ids::uuid[]) as h (sender_id, id))",
			"hit_senders", senders,
		)
		w.Args["hit_ids"] = ids
	}
}

const excerptsSQL = `
select k.sender_id, k.id, m.message_id, m.text
from unnest(@senders::bigint[], @ids::uuid[], @froms::timestamptz[], @untils::timestamptz[]) as k (sender_id, id,
	from_at, until_at)
cross join lateral (
	select x.id as message_id, x.text, x.seq
	from messages x
	where x.sender_id = k.sender_id and x.at between k.from_at and k.until_at and x.conversation_id = k.id
		and x.text <> ''
	order by x.seq
	limit 300
) as m
order by k.sender_id, k.id, m.seq`

// Excerpt is where a search hits a conversation first.
type Excerpt struct {
	Message conversation.UUID
	Text    string
	Hits    []search.Span
}

// Excerpts returns the first message of each conversation that a search hits, if there is one; a hit may also lie in a
// note, a tag or an id.
func Excerpts(
	ctx context.Context, db Sight, q search.Query, list []ListedConversation, most int,
) (map[conversation.UUID]Excerpt, error) {
	n := len(list)
	senders, ids, froms, untils := make([]int64, n), make([][16]byte, n), make([]time.Time, n), make([]time.Time, n)
	for i, c := range list {
		senders[i], ids[i], froms[i], untils[i] = c.SenderID, c.ID, c.StartedAt, c.LastAt
	}
	rows, _ := db.Query(ctx, excerptsSQL, pgx.StrictNamedArgs{
		"senders": senders, "ids": ids, "froms": froms, "untils": untils,
	})
	out := map[conversation.UUID]Excerpt{}
	var sender int64
	var id, message conversation.UUID
	var text string
	_, err := pgx.ForEachRow(rows, []any{&sender, &id, &message, &text}, func() error {
		if _, done := out[id]; done {
			return nil
		}
		if excerpt, hits, ok := q.Excerpt(text, most); ok {
			out[id] = Excerpt{message, excerpt, hits}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("excerpts: %w", err)
	}
	return out, nil
}

// Uncounted is the number of conversations of a search that takes longer to count than a page waits.
const Uncounted = -1

// lookedAtFirst is how many hits of a search are looked at before all that match a filter are looked for.
const lookedAtFirst = 1000

// amongNext returns those of the next hits of a search that match the filter.
func amongNext(
	ctx context.Context, db DB, f metric.Filter, known FilterIDs, at *metric.Cursor, batch, limit int, now time.Time,
	zone *time.Location,
) ([]ListedConversation, error) {
	from, until := f.Range.Bounds(now, zone)
	hits, err := nextHits(ctx, db, known.text, at, batch, from, until)
	if err != nil || len(hits) == 0 {
		return nil, err
	}
	known.text = known.text.with(hits)
	return matching(ctx, db, f, known, at, true, limit, now, zone)
}

// Searched returns at once what Conversations and CountConversations return of a filter that searches; the number may
// be Uncounted.
func Searched(
	ctx context.Context, db Sight, f metric.Filter, at *metric.Cursor, limit, most int, now time.Time,
	zone *time.Location,
) ([]ListedConversation, int, error) {
	known, err := lookUpNames(ctx, db, f, impatience, now, zone)
	if err != nil {
		return nil, 0, err
	}
	if known.text.nothing {
		return nil, 0, nil
	}
	if !textAlone(f) && known.text.many {
		// Where most of the newest match, the list is there at once.
		list, err := amongNext(ctx, db, f, known, at, lookedAtFirst, limit, now, zone)
		if err != nil || len(list) == limit {
			return list, Uncounted, err
		}
	}
	hits, total := known.text.hits, Uncounted
	switch {
	case textAlone(f) && !known.text.many:
		total = len(hits)
	case textAlone(f) && !known.text.uncounted:
		total = most
	case !textAlone(f):
		w := FilterConversations(f, known, now, zone)
		w.Args["limit"] = most
		rows, _ := db.Query(
			ctx, "select c.sender_id, c.id, c.started_at\nfrom conversations c\nwhere "+w.String()+"\nlimit @limit",
			w.Args,
		)
		if hits, err = readHits(rows); err != nil {
			return nil, 0, err
		}
		total = len(hits)
	}
	if total < 0 || total == most {
		known.text.many = known.text.query != ""
		list, err := listed(ctx, db, f, known, at, false, limit, now, zone)
		return list, total, err
	}
	all := known.text.with(hits)
	all.page(at, limit)
	list, err := matching(
		ctx, db, metric.Filter{Range: metric.Range{Days: metric.MaxDays}}, FilterIDs{text: all}, nil, true, limit, now,
		zone,
	)
	return list, total, err
}
