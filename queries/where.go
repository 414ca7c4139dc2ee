package queries

import (
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
		w.And("not c.test", "", nil)
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
