package dashboard

import (
	"context"
	"strings"
	"time"
	"unicode"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/mask"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/search"
)

// TextsBefore returns the time before which what was said may have been removed; nil for none of the filter's range.
func (v Viewer) TextsBefore(ctx context.Context, f metric.Filter, now time.Time) (*time.Time, error) {
	rules, err := queries.RetentionRules(ctx, v.Pool)
	if err != nil {
		return nil, err
	}
	from, _ := f.Range.Bounds(now, v.Zone)
	var latest *time.Time
	for _, r := range rules {
		for _, n := range []*int32{r.TextDays, r.EventDays} {
			if n == nil {
				continue
			}
			if at := queries.Cutoff(*n, now, v.Zone); at.After(from) && (latest == nil || at.After(*latest)) {
				latest = &at
			}
		}
	}
	return latest, nil
}

// Shown is the database as pages show it: with personal data masked, where that is asked for. Whoever may see them
// reveals a conversation.
func (v Viewer) Shown(ctx context.Context) (queries.Sight, error) {
	m, err := queries.DisplayMask(ctx, v.Pool)
	return queries.Masked(v.Pool, m), err
}

// Hiding returns what masks, in a text of one of the conversations, what was told there as the value of a slot that is
// masked by name.
func (v Viewer) Hiding(
	ctx context.Context, ids []conversation.UUID,
) (func(id conversation.UUID, text string) string, error) {
	m, err := queries.DisplayMask(ctx, v.Pool)
	if err != nil {
		return nil, err
	}
	told, err := queries.ToldIn(ctx, v.Pool, m, ids)
	return func(id conversation.UUID, text string) string { return mask.Hide(text, told[id]) }, err
}

// errProbe refuses to search for what is masked.
var errProbe = &metric.InputError{
	Field: "q",
	Msg: "asks for personal data, which are masked for you: search for words without e-mail addresses and " +
		"numbers, or for the id of a conversation",
}

// probes tells whether a search would tell whether somebody said a thing that is masked.
func probes(m *mask.Masker, text string) bool {
	if m == nil {
		return false
	}
	digits := 0
	for _, r := range text {
		if unicode.IsDigit(r) {
			digits++
		}
	}
	_, found := m.Text(text)
	return found > 0 || digits >= 4 || strings.Contains(text, "@")
}

// MayAsk refuses to search for what is masked to who may not see it. An id is refused only where it is such itself.
func (v Viewer) MayAsk(ctx context.Context, text, id string) error {
	if text+id == "" || v.Rights[access.SeePersonal] {
		return nil
	}
	m, err := queries.DisplayMask(ctx, v.Pool)
	if err == nil && (probes(m, text) || m.Shown(id) != id) {
		err = errProbe
	}
	return err
}

// Search reads what is searched for, with the words that it forgives: these are of all assistants, and shown, so who is
// limited searches for what was typed.
func (v Viewer) Search(ctx context.Context, text string) (search.Query, error) {
	if err := v.MayAsk(ctx, text, ""); err != nil {
		return search.Query{}, err
	}
	f, err := queries.SearchAs(ctx, v.Pool, metric.Filter{Text: text}, v.Rights[access.SeePersonal])
	if err != nil {
		return search.Query{}, err
	}
	if f.Shown || v.User.Assistants != nil {
		return queries.SearchTyped(text)
	}
	db, err := v.Shown(ctx)
	if err != nil {
		return search.Query{}, err
	}
	return queries.Search(ctx, db, text)
}
