package work

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/url"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
)

// Drawn is a conversation that was drawn, and why.
type Drawn struct {
	queries.ConversationKey
	Why string
}

// allot says for whom each of n items is: by the reviewers' shares, one after the other, so that each has a fair mix;
// "" for anybody.
func allot(n int, reviewers []QueueReviewer) []string {
	users := make([]string, n)
	sum := int32(0)
	for _, r := range reviewers {
		sum += r.Share
	}
	if sum == 0 {
		return users
	}
	due := make([]int32, len(reviewers))
	for i := range users {
		best := 0
		for k, r := range reviewers {
			due[k] += r.Share
			if due[k] > due[best] {
				best = k
			}
		}
		due[best] -= sum
		users[i] = reviewers[best].AccountID.String()
	}
	return users
}

// KeptFilter reads a filter that was kept as a query. One that would not be written the same again asks for something
// that is no longer known: a *metric.InputError says so, as what is left would be wider.
func KeptFilter(query string, zone *time.Location) (metric.Filter, error) {
	kept, err := url.ParseQuery(query)
	if err != nil {
		return metric.Filter{}, &metric.InputError{Field: "query", Msg: "is no filter"}
	}
	f, err := metric.ParseFilter(kept, zone)
	if err == nil && f.Encode() != query {
		err = &metric.InputError{Field: "query", Msg: "asks for something that is no longer known"}
	}
	return f, err
}

const sampleHead = `
select c.sender_id, c.id
from conversations c
where `

// wanted is how many of a population the queue draws.
func (q Queue) wanted(population int) int {
	n := int(q.Count)
	switch {
	case n == 0 && q.Percent > 0:
		n = int(math.Ceil(float64(population) * q.Percent / 100))
	case n == 0:
		n = population
	}
	return min(n, MostDrawn, population)
}

// Sample draws conversations for a queue as of a time, in the order in which they are to be reviewed. Those that are in
// the queue already are left out. population is how many there were to draw from.
func Sample(
	ctx context.Context, db queries.DB, q Queue, due time.Time, zone *time.Location,
) (drawn []Drawn, population int, err error) {
	f, err := q.Filter(zone)
	if err != nil {
		return nil, 0, err
	}
	if f, err = queries.Survivors(ctx, db, f); err != nil {
		return nil, 0, err
	}
	if population, err = countFresh(ctx, db, q, f, due, zone); err != nil {
		return nil, 0, err
	}
	n := q.wanted(population)
	shares := q.Shares
	if len(shares) == 0 {
		shares = []Share{{Is: metric.All.String(), Percent: 100}}
	}
	seen := map[conversation.UUID]bool{}
	take := func(is metric.Condition, want int, why string) error {
		if want <= 0 {
			return nil
		}
		all, err := sampleOf(ctx, db, q, f.With(is), due, zone, want+len(seen))
		for _, p := range all {
			if want > 0 && !seen[p.ID] {
				seen[p.ID] = true
				drawn = append(drawn, Drawn{p, why})
				want--
			}
		}
		return err
	}
	for i, want := range portions(n, shares) {
		is, ok := metric.ParseCondition(shares[i].Is)
		if !ok {
			return nil, 0, &metric.InputError{Field: "shares", Msg: fmt.Sprintf("%.40q is no condition", shares[i].Is)}
		}
		why := "random"
		if is != metric.All {
			why = is.Words()
		}
		if err := take(is, want, why); err != nil {
			return nil, 0, err
		}
	}
	if err := take(metric.All, n-len(drawn), "random, as a share had too few"); err != nil {
		return nil, 0, err
	}
	slices.SortStableFunc(
		drawn, func(a, b Drawn) int { return cmp.Compare(orderOf(q.Seed, due, a.ID), orderOf(q.Seed, due, b.ID)) },
	)
	return drawn, population, nil
}

// orderOf mixes the shares: an order of its own, made of the same seed.
func orderOf(seed int64, due time.Time, id conversation.UUID) uint64 {
	h := uint64(seed) ^ uint64(due.UnixMicro())*0x9e3779b97f4a7c15
	for _, b := range id {
		h = (h ^ uint64(b)) * 0x100000001b3
	}
	h ^= h >> 29
	return h * 0xbf58476d1ce4e5b9
}

// portions divides n by the shares; what is left over goes to the largest remainders.
func portions(n int, shares []Share) []int {
	sum := 0.0
	for _, s := range shares {
		sum += s.Percent
	}
	out, left := make([]int, len(shares)), n
	if sum == 0 {
		return out
	}
	type rest struct {
		at   int
		part float64
	}
	var rests []rest
	for i, s := range shares {
		exact := float64(n) * s.Percent / sum
		out[i] = int(exact)
		left -= out[i]
		rests = append(rests, rest{i, exact - math.Floor(exact)})
	}
	slices.SortStableFunc(rests, func(a, b rest) int { return cmp.Compare(b.part, a.part) })
	for i := range left {
		out[rests[i%len(rests)].at]++
	}
	return out
}

const notInQueueText = `not exists (select from queue_items x where x.queue_id = @of_queue
	and x.sender_id = c.sender_id and x.conversation_id = c.id)`

func sampled(
	ctx context.Context, db queries.DB, q Queue, f metric.Filter, due time.Time, zone *time.Location,
) (*queries.Where, error) {
	known, err := queries.LookUp(ctx, db, f, due, zone)
	if err != nil {
		return nil, err
	}
	w := queries.FilterConversations(f, known, due, zone)
	w.And(notInQueueText, "of_queue", q.ID)
	return w, nil
}

func countFresh(
	ctx context.Context, db queries.DB, q Queue, f metric.Filter, due time.Time, zone *time.Location,
) (int, error) {
	w, err := sampled(ctx, db, q, f, due, zone)
	if err != nil {
		return 0, err
	}
	rows, _ := db.Query(ctx, "select count(*)\nfrom conversations c\nwhere "+w.String(), w.Args)
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
}

func sampleOf(
	ctx context.Context, db queries.DB, q Queue, f metric.Filter, due time.Time, zone *time.Location, limit int,
) ([]queries.ConversationKey, error) {
	w, err := sampled(ctx, db, q, f, due, zone)
	if err != nil {
		return nil, err
	}
	w.Args["key"], w.Args["limit"] = fmt.Sprintf("%d/%d/", q.Seed, due.UnixMicro()), limit
	rows, _ := db.Query(
		ctx, sampleHead+w.String()+"\norder by md5(@key::text || c.id::text), c.id\nlimit @limit", w.Args,
	)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByName[queries.ConversationKey])
	if err != nil {
		err = fmt.Errorf("sample: %w", err)
	}
	return all, err
}

// mixText are what a queue's sample is compared by: counted by ids, named after.
var mixText = map[string][2]string{
	"channel": {`c.channel_id`, `coalesce((select x.name from channels x where x.id = g.id), '')`},
	"version": {
		`c.version_id`,
		`coalesce((select coalesce(nullif(x.model_name, ''), x.model_id) from versions x where x.id = g.id), '')`,
	},
	"outcome": {`case when c.closes_at > @mix_now then 'open' else c.outcome end`, `g.id`},
}

// MixOf counts a filter's conversations by channel, version or outcome.
func MixOf(
	ctx context.Context, db queries.DB, f metric.Filter, by string, now time.Time, zone *time.Location,
) (map[string]int64, error) {
	known, err := queries.LookUp(ctx, db, f, now, zone)
	if err != nil {
		return nil, err
	}
	w := queries.FilterConversations(f, known, now, zone)
	if by == "outcome" {
		w.Args["mix_now"] = now
	}
	rows, _ := db.Query(
		ctx,
		"select "+mixText[by][1]+", g.n\nfrom (select "+mixText[by][0]+
			" as id, count(*) as n from conversations c where "+w.String()+" group by 1) as g",
		w.Args,
	)
	out := map[string]int64{}
	var name string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error {
		out[name] += n
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("mix by %s: %w", by, err)
	}
	return out, nil
}
