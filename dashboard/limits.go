package dashboard

import (
	"context"
	"errors"
	"net/url"
	"slices"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/queries/work"
)

// Filter reads a filter, within what who asks is limited to: every filter of a request comes from here, so that none is
// wider. Figures tell who may not read conversations nothing about what was said or about one person.
func (v Viewer) Filter(ctx context.Context, q url.Values) (metric.Filter, error) {
	f, err := metric.ParseFilter(q, v.Zone)
	if err == nil && !v.Rights[access.SeeTranscripts] && (f.Text != "" || f.ID != "" || f.Person != "" || len(f.IDs) > 0) {
		err = &metric.InputError{
			Field: "q, id, person and only", Msg: "ask what was said and by whom: they are for who may read conversations",
		}
	}
	if err == nil {
		err = v.MayAsk(ctx, f.Text, f.ID)
	}
	if err == nil {
		f, err = queries.Survivors(ctx, v.Pool, f)
	}
	if err == nil {
		f, err = queries.SearchAs(ctx, v.Pool, f, v.Rights[access.SeePersonal])
	}
	limits := v.User.Assistants
	if err != nil || limits == nil {
		return f, err
	}
	if f.Review.Queue != "" {
		id, err := conversation.ParseUUID(f.Review.Queue)
		if err == nil {
			_, err = v.QueueByID(ctx, id)
		}
		if errors.Is(err, queries.ErrNotFound) {
			f.Review.Queue = conversation.UUID{}.String() // which none has
		} else if err != nil {
			return f, err
		}
	}
	return f.LimitTo(limits), nil
}

// Choices are what filters offer to who asks.
func (v Viewer) Choices(ctx context.Context) (queries.Choices, error) {
	db, err := v.Shown(ctx)
	if err != nil {
		return queries.Choices{}, err
	}
	return queries.FilterChoices(ctx, db, v.User.Assistants)
}

// MayQueue tells whether who asks may see a queue: one of other assistants too is for those who see them all. What
// people were given one by one is everybody's, each seeing what he may.
func (v Viewer) MayQueue(ctx context.Context, q work.Queue) bool {
	limits := v.User.Assistants
	return limits == nil || q.Assigned() || v.Within(ctx, q.Query)
}

// Within tells whether a kept filter asks for nothing but assistants of who asks.
func (v Viewer) Within(ctx context.Context, query string) bool {
	limits := v.User.Assistants
	if limits == nil {
		return true
	}
	f, err := work.KeptFilter(query, v.Zone)
	if err == nil {
		f, err = queries.Survivors(ctx, v.Pool, f)
	}
	return err == nil && len(f.Assistants) > 0 && !slices.ContainsFunc(
		f.Assistants, func(a string) bool { return !slices.Contains(limits, a) },
	)
}

// MayView tells whether who asks may see a saved view: one that names other assistants is for those who see them.
func (v Viewer) MayView(ctx context.Context, x queries.SavedView) bool {
	limits := v.User.Assistants
	if limits == nil {
		return true
	}
	f, err := work.KeptFilter(x.Query, v.Zone)
	if err == nil {
		f, err = queries.Survivors(ctx, v.Pool, f)
	}
	return err == nil && !slices.ContainsFunc(
		append(f.Assistants, f.Not.Assistants...), func(a string) bool { return !slices.Contains(limits, a) },
	)
}

// QueueByID returns a queue that who asks may see.
func (v Viewer) QueueByID(ctx context.Context, id conversation.UUID) (work.Queue, error) {
	u := v.User
	q, err := work.QueueByID(ctx, v.Pool, id, u.ID)
	if err == nil && !v.MayQueue(ctx, q) {
		return work.Queue{}, queries.ErrNotFound
	}
	return q, err
}
