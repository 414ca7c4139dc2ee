package queries

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"turnwise/conversation"
	"turnwise/metric"
)

// Where gathers conditions. They are literals of this room; values only come as parameters.
type Where struct {
	conditions []string
	Args       pgx.StrictNamedArgs
}

func (w *Where) And(condition string, name string, value any) {
	w.conditions = append(w.conditions, condition)
	if name != "" {
		w.Args[name] = value
	}
}

func (w *Where) String() string { return strings.Join(w.conditions, "\n\tand ") }

// FilterConversations is the one predicate of lists and figures: which conversations a filter means.
// known are the ids that names of the filter stand for.
func FilterConversations(f metric.Filter, known FilterIDs, now time.Time, zone *time.Location) *Where {
	w := &Where{Args: pgx.StrictNamedArgs{}}
	if f.ID == "" { // who looks for one by its id looks in all history
		from, until := f.Range.Bounds(now, zone)
		w.And("c.started_at >= @from", "from", from)
		w.And("c.started_at < @until", "until", until)
	}
	if len(f.Assistants) > 0 {
		ids := make([]string, len(f.Assistants))
		for i, name := range f.Assistants {
			ids[i] = strconv.Itoa(int(smallIDs("assistant", []string{name})[0]))
		}
		w.facets("assistants", "a", ids)
	}
	if slices.Contains(f.Environments, metric.Unknown) {
		w.And(
			"c.environment_id = any(@environments::integer[])", "environments", smallIDs("environment", f.Environments),
		)
	} else {
		w.facets("environments", "e", f.Environments)
	}
	if slices.Contains(f.Channels, metric.Unknown) {
		w.And("c.channel_id = any(@channels::integer[])", "channels", smallIDs("channel", f.Channels))
	} else {
		w.facets("channels", "c", f.Channels)
	}
	w.facets("ratings", "r", f.Ratings)
	if len(f.Versions) > 0 {
		// Releases come and go: by an index of their own, as a walk back in time would pass over all that came after.
		if len(known.versions) == 1 {
			w.And("c.version_id = @version", "version", known.versions[0])
		} else {
			w.And("c.version_id = any(@versions::bigint[])", "versions", known.versions)
		}
	}
	if f.Escalated != "" {
		w.facets("escalated", "x", []string{f.Escalated})
	}
	for n, x := range f.Flows {
		w.flow(n, x, now)
	}
	w.outcomes(f.Outcomes, now)
	w.figures(f, known, now, zone)
	w.excluded(f.Not, known)
	w.review(f.Review, known)
	w.text(known.text)
	if f.ID != "" {
		// Keys of senders are often UUIDs too.
		first, last := idRange(f.ID)
		w.And(
			"(c.id between @first_id and @last_id or c.sender_id = any(@senders::bigint[]) or c.user_id = @key and "+
				"c.user_id <> '')",
			"first_id", first,
		)
		w.Args["last_id"] = last
		w.Args["key"], w.Args["senders"] = f.ID, known.senders
	}
	return w
}

// idRange returns the ids that begin with the text: from eight hexadecimal digits on, else only the id of all
// zeroes, which is no conversation's.
func idRange(text string) (first, last conversation.UUID) {
	digits := strings.ReplaceAll(text, "-", "")
	if len(digits) < 8 || len(digits) > 32 {
		return first, last
	}
	first, err := conversation.ParseUUID(digits + strings.Repeat("0", 32-len(digits)))
	if err != nil {
		return conversation.UUID{}, last
	}
	last, _ = conversation.ParseUUID(digits + strings.Repeat("f", 32-len(digits))) // as good as the first
	return first, last
}

// facets asks for any of the values.
func (w *Where) facets(name, prefix string, values []string) {
	if len(values) == 0 {
		return
	}
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = metric.Facet(prefix, v)
	}
	op := "&&"
	if len(all) == 1 {
		op = "@>"
	}
	w.And("c.facets "+op+" @"+name+"::text[]", name, all)
}

// outcomes: the stored outcome is that of a closed conversation; open ones are told by the clock.
func (w *Where) outcomes(outcomes []string, now time.Time) {
	if len(outcomes) == 0 {
		return
	}
	w.Args["now"] = now
	closed := slices.DeleteFunc(slices.Clone(outcomes), func(o string) bool { return o == metric.OutcomeOpen })
	open := len(closed) < len(outcomes)
	all := make([]string, len(closed))
	for i, o := range closed {
		all[i] = metric.Facet("o", o)
	}
	switch {
	case len(closed) == 0:
		w.And("c.closes_at > @now", "", nil)
	case open:
		w.And("(c.closes_at > @now or c.facets && @outcomes::text[])", "outcomes", all)
	default:
		w.And("c.closes_at <= @now and c.facets && @outcomes::text[]", "outcomes", all)
	}
}

// filterIDs are the ids behind names that a filter holds: looked up before, so that the plan of the list knows
// how few they are.
type FilterIDs struct {
	versions    []int64 // of releases
	notVersions []int64
	senders     []int64 // whose key is the filter's id
	tags        [][16]byte
	noTags      [][16]byte
	noSuchTag   bool // a tag to be left out is unknown: who asks for that must not get more than was meant
	text        found
	Criteria    []SuccessCriteria
	criteria    map[int64]SuccessCriteria // that the filter names
}

const versionIDsSQL = `
select id
from versions
where coalesce(nullif(model_name, ''), model_id) = any(@names::text[])
limit 1000`

const senderIDsSQL = `
select id
from senders
where sender_key = @key
limit 1000`

func LookUp(
	ctx context.Context, db DB, f metric.Filter, now time.Time, zone *time.Location,
) (ids FilterIDs, err error) {
	return lookUpNames(ctx, db, f, 0, now, zone)
}

// lookUpNames does so; who waits only so long for a search may learn that it hits many without all of them being found.
func lookUpNames(
	ctx context.Context, db DB, f metric.Filter, wait time.Duration, now time.Time, zone *time.Location,
) (ids FilterIDs, err error) {
	if f.Text != "" {
		from, until := f.Range.Bounds(now, zone)
		if ids.text, err = lookUpText(ctx, db, f, wait, from, until); err != nil {
			return ids, err
		}
	}
	if ids.tags, _, err = tagIDs(ctx, db, f.Review.Tags); err != nil {
		return ids, err
	}
	if ids.noTags, ids.noSuchTag, err = tagIDs(ctx, db, f.Review.NoTags); err != nil {
		return ids, err
	}
	for _, v := range []struct {
		names []string
		into  *[]int64
	}{{f.Versions, &ids.versions}, {f.Not.Versions, &ids.notVersions}} {
		if len(v.names) == 0 {
			continue
		}
		rows, _ := db.Query(ctx, versionIDsSQL, pgx.StrictNamedArgs{"names": v.names})
		if *v.into, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
			return ids, fmt.Errorf("versions: %w", err)
		}
		if slices.Contains(v.names, metric.Unknown) {
			*v.into = append(*v.into, 0)
		}
	}
	if slices.ContainsFunc(f.Is, func(is metric.Condition) bool {
		return is == metric.Succeeded || is == metric.Failed || is == metric.Judged
	}) {
		if ids.Criteria, err = CriteriaInForce(ctx, db); err != nil {
			return ids, fmt.Errorf("success criteria: %w", err)
		}
	}
	for _, j := range f.Judged {
		if ids.criteria == nil {
			ids.criteria = map[int64]SuccessCriteria{}
		}
		c, err := CriteriaByID(ctx, db, j.Criteria)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return ids, fmt.Errorf("success criteria: %w", err)
		}
		ids.criteria[j.Criteria] = c // of an unknown version: those of no assistant
	}
	if f.ID != "" {
		rows, _ := db.Query(ctx, senderIDsSQL, pgx.StrictNamedArgs{"key": f.ID})
		if ids.senders, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
			return ids, fmt.Errorf("senders: %w", err)
		}
	}
	return ids, nil
}

// ListedConversation is a row of the list.
type ListedConversation struct {
	SenderID         int64
	ID               conversation.UUID
	StartedAt        time.Time
	LastAt           time.Time
	ActiveAt         time.Time
	ClosesAt         time.Time
	Assistant        string
	Environment      string
	Channel          string
	Version          string
	UserMessages     int32
	Turns            int32
	Events           int32
	Outcome          string
	CSAT             string `db:"csat"`
	Escalated        bool
	Flows            []string
	LastFlow         string
	FirstText        string
	Removed          int16    // by retention: 1 the texts, 2 the events too
	ResponseMedianMS *float64 `db:"response_median_ms"`
}

const listColumns = `
select c.sender_id, c.id, c.started_at, c.last_at, c.active_at, c.closes_at, a.name as assistant,
	coalesce(e.name, '') as environment, coalesce(ch.name, '') as channel,
	coalesce(nullif(v.model_name, ''), v.model_id, '') as version,
	c.user_messages, c.turns, c.events, c.outcome, c.csat, c.escalated_at is not null as escalated, c.flows,
		c.last_flow,
	c.first_text, c.removed, c.response_median_ms
from (
	select *
	from `

const listJoins = `
) as c
join assistants a on a.id = c.assistant_id
left join environments e on e.id = c.environment_id
left join channels ch on ch.id = c.channel_id
left join versions v on v.id = c.version_id
order by c.started_at desc, c.id desc`

// Conversations returns at most limit conversations of the filter, newest first, from the place on that
// the cursor names (nil: the newest). few says that the filter has few in all: then they are found first and
// ordered after, where a walk back in time would pass over all the others.
func Conversations(
	ctx context.Context, db Sight, f metric.Filter, at *metric.Cursor, few bool, limit int, now time.Time,
	zone *time.Location,
) ([]ListedConversation, error) {
	known, err := LookUp(ctx, db, f, now, zone)
	if err != nil {
		return nil, err
	}
	return listed(ctx, db, f, known, at, few, limit, now, zone)
}

func listed(
	ctx context.Context, db DB, f metric.Filter, known FilterIDs, at *metric.Cursor, few bool, limit int, now time.Time,
	zone *time.Location,
) ([]ListedConversation, error) {
	if !known.text.many || few {
		return matching(ctx, db, f, known, at, few, limit, now, zone)
	}
	// So many that the next ones are looked at from the newest on, until there are enough.
	var list []ListedConversation
	from, until := f.Range.Bounds(now, zone)
	for batch := limit; ; batch *= 4 {
		if textAlone(f) {
			batch = limit
		}
		hits, err := nextHits(ctx, db, known.text, at, batch, from, until)
		if err != nil {
			return nil, err
		}
		some := known
		some.text = known.text.with(hits)
		more, err := matching(ctx, db, f, some, at, true, limit-len(list), now, zone)
		if err != nil {
			return nil, err
		}
		if list = append(list, more...); len(list) >= limit || len(hits) < batch {
			slices.SortFunc(list, func(a, b ListedConversation) int {
				return cmp.Or(b.StartedAt.Compare(a.StartedAt), b.ID.Compare(a.ID))
			})
			return list, nil
		}
		last := hits[len(hits)-1]
		at = &metric.Cursor{At: last.at.UnixMicro(), ID: last.id, Newer: at != nil && at.Newer}
	}
}

// matching asks the database for conversations of the filter.
func matching(
	ctx context.Context, db DB, f metric.Filter, known FilterIDs, at *metric.Cursor, few bool, limit int, now time.Time,
	zone *time.Location,
) ([]ListedConversation, error) {
	w := FilterConversations(f, known, now, zone)
	order := "c.started_at desc, c.id desc"
	if at != nil {
		w.Args["cursor_at"], w.Args["cursor_id"] = time.UnixMicro(at.At), at.ID
		if at.Newer {
			w.And("(c.started_at, c.id) > (@cursor_at, @cursor_id)", "", nil)
			order = "c.started_at, c.id"
		} else {
			w.And("(c.started_at, c.id) < (@cursor_at, @cursor_id)", "", nil)
		}
	}
	w.Args["limit"] = limit
	from := "conversations c\n\twhere " + w.String()
	if few { // offset 0 keeps the planner from merging the two
		from = "(select * from conversations c where " + w.String() + " offset 0) as c"
	}
	rows, _ := db.Query(ctx, listColumns+from+"\n\torder by "+order+"\n\tlimit @limit"+listJoins, w.Args)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[ListedConversation])
	if err != nil {
		return nil, fmt.Errorf("list conversations: %w", err)
	}
	return list, nil
}

// CountConversations counts the conversations of the filter, at most limit.
func CountConversations(
	ctx context.Context, db DB, f metric.Filter, limit int, now time.Time, zone *time.Location,
) (int, error) {
	known, err := LookUp(ctx, db, f, now, zone)
	if err != nil {
		return 0, err
	}
	return counted(ctx, db, f, known, limit, now, zone)
}

func counted(
	ctx context.Context, db DB, f metric.Filter, known FilterIDs, limit int, now time.Time, zone *time.Location,
) (int, error) {
	if known.text.query != "" && textAlone(f) {
		if known.text.many {
			return limit, nil
		}
		return min(limit, len(known.text.hits)), nil
	}
	w := FilterConversations(f, known, now, zone)
	w.Args["limit"] = limit
	rows, _ := db.Query(
		ctx, "select count(*) from (select from conversations c where "+w.String()+" limit @limit) as found", w.Args,
	)
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
}

// Choices are the values that filters offer.
type Choices struct {
	Assistants, Environments, Channels, Versions, Flows, Tags []string
	Reviewers                                                 map[string]string // names by id
}

const (
	assistantNamesSQL = `select a.name from assistants a where not exists (select from assistant_aliases x
	where x.name = a.name) order by a.name limit 500`
	allEnvironmentsSQL = `select name from environments order by name limit 500`
	channelNamesSQL    = `select name from channels order by name limit 500`
	versionNamesSQL    = `select name from (select coalesce(nullif(model_name, ''), model_id) as name,
	max(first_seen_at) as first from versions group by 1 order by 2 desc limit 200) as v`
	// The most common flows stand in the statistics of the column: no table is read.
	flowNamesSQL = `
select substr(f, 3) as flow
from pg_stats, unnest(most_common_elems::text::text[]) as f
where schemaname = 'public' and tablename = 'conversations' and attname = 'facets' and f like 'f:%'
order by 1
limit 500`
	tagNamesSQL      = `select min(name) from tags group by lower(name) order by lower(min(name)) limit 500`
	reviewerNamesSQL = `select id || ' ' || name from accounts where role <> 'viewer' order by lower(name), id limit 500`
	someFlowsSQL     = `
select distinct unnest(c.flows) as flow
from (select flows from conversations order by started_at desc, id desc limit 500) as c
order by 1
limit 500`
)

// limitedChoicesSQL asks recent conversations: who is limited must not learn the names of the others.
const limitedChoicesSQL = `
with recent as materialized (
	select c.environment_id, c.channel_id, c.version_id, c.flows
	from conversations c
	where c.assistant_id = any(@limits)
	order by c.started_at desc, c.id desc
	limit 5000
)
select 'environment' as kind, e.name from environments e where e.id in (select environment_id from recent)
union
select 'channel', h.name from channels h where h.id in (select channel_id from recent)
union
select 'version', coalesce(nullif(v.model_name, ''), v.model_id) from versions v where v.assistant_id = any(@limits)
union
select 'flow', unnest(flows) from recent
union
select 'tag', min(t.name) from tags t where t.assistant = '' or t.assistant = any(@names) group by lower(t.name)
union
select 'reviewer', u.id || ' ' || u.name from accounts u where u.role <> 'viewer'
order by 1, 2
limit 3000`

// limitedChoices is FilterChoices for who is limited to assistants.
func limitedChoices(ctx context.Context, db DB, limits []string) (Choices, error) {
	c := Choices{Assistants: slices.Clone(limits), Reviewers: map[string]string{}}
	into := map[string]*[]string{
		"environment": &c.Environments, "channel": &c.Channels, "version": &c.Versions, "flow": &c.Flows,
		"tag": &c.Tags,
	}
	rows, _ := db.Query(ctx, limitedChoicesSQL, pgx.StrictNamedArgs{"limits": AssistantIDs(limits), "names": limits})
	var kind, name string
	_, err := pgx.ForEachRow(rows, []any{&kind, &name}, func() error {
		if to := into[kind]; to != nil {
			*to = append(*to, name)
		} else if id, name, ok := strings.Cut(name, " "); ok {
			c.Reviewers[id] = name
		}
		return nil
	})
	if err != nil {
		return c, fmt.Errorf("filter choices: %w", err)
	}
	return c, nil
}

// limitIDs are the ids of the assistants that somebody is limited to; nil for all.
func AssistantIDs(limits []string) []int32 {
	if limits == nil {
		return nil
	}
	return smallIDs("assistant", limits)
}

// FilterChoices returns what the filters offer to who is limited to assistants; nil: to all. The flows are those of
// recent conversations and the most common ones; any other can be typed.
func FilterChoices(ctx context.Context, db DB, limits []string) (Choices, error) {
	if limits != nil {
		return limitedChoices(ctx, db, limits)
	}
	var c Choices
	var more, people []string
	var q pgx.Batch
	into := []*[]string{&c.Assistants, &c.Environments, &c.Channels, &c.Versions, &c.Flows, &more, &c.Tags, &people}
	for _, sql := range []string{
		assistantNamesSQL, allEnvironmentsSQL, channelNamesSQL, versionNamesSQL, flowNamesSQL, someFlowsSQL,
		tagNamesSQL, reviewerNamesSQL,
	} {
		q.Queue(sql)
	}
	res := db.SendBatch(ctx, &q)
	defer res.Close()
	for _, to := range into {
		rows, _ := res.Query()
		var err error
		if *to, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return c, fmt.Errorf("filter choices: %w", err)
		}
	}
	c.Reviewers = map[string]string{}
	for _, p := range people {
		id, name, _ := strings.Cut(p, " ")
		c.Reviewers[id] = name
	}
	c.Flows = append(c.Flows, more...)
	slices.Sort(c.Flows)
	c.Flows = slices.Compact(c.Flows)
	return c, nil
}

const firstConversationSQL = `select coalesce(min(started_at), now()) from conversations`

const firstCountedSQL = `select least((select min(started_at) from conversations), (select min(at) from rollup_days),
	(select min(at) from rollup_hours))`

// FirstCounted returns when the first conversation began that figures count, also where retention has deleted it since;
// now when there is none.
func FirstCounted(ctx context.Context, db DB) (time.Time, error) {
	rows, _ := db.Query(ctx, firstCountedSQL)
	first, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[*time.Time])
	if err != nil || first == nil {
		return time.Now(), err
	}
	return *first, nil
}

// FirstConversation returns when the first conversation began; now when there is none.
func FirstConversation(ctx context.Context, db DB) (time.Time, error) {
	rows, _ := db.Query(ctx, firstConversationSQL)
	return pgx.CollectExactlyOneRow(rows, pgx.RowTo[time.Time])
}

const placeSQL = `
select sender_id, id, events
from conversations
where id = @id
order by started_at desc
limit 1`

// PlaceOf returns where a conversation is stored and how many events it has, or ErrNotFound.
func FindConversation(ctx context.Context, db DB, id conversation.UUID) (ConversationKey, int32, error) {
	rows, _ := db.Query(ctx, placeSQL, pgx.StrictNamedArgs{"id": id})
	type row struct {
		SenderID int64
		ID       conversation.UUID
		Events   int32
	}
	r, err := One[row](rows)
	return ConversationKey{r.SenderID, r.ID}, r.Events, err
}
