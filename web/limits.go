package web

import (
	"context"
	"errors"
	"net/url"
	"slices"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
)

// limitsOf are the assistants that who asks is limited to; nil: not limited.
func limitsOf(ctx context.Context) []string {
	u, _ := userOf(ctx)
	return u.Assistants
}

// mayOf tells whether who asks may see something of an assistant; what is of none is for all.
func mayOf(ctx context.Context, assistant string) bool {
	limits := limitsOf(ctx)
	return limits == nil || assistant == "" || slices.Contains(limits, assistant)
}

// parseFilter reads a filter, within what who asks is limited to: every filter of a request comes from here, so that none is wider. Figures
// tell who may not read conversations nothing about what was said or about one person.
func (s *server) parseFilter(ctx context.Context, q url.Values) (metric.Filter, error) {
	f, err := metric.ParseFilter(q, s.Zone)
	if err == nil && !may(ctx, access.SeeTranscripts) && (f.Text != "" || f.ID != "" || len(f.Only) > 0) {
		err = &metric.InputError{Field: "q, id and only", Msg: "ask what was said and by whom: they are for who may read conversations"}
	}
	if err == nil {
		err = s.mayAsk(ctx, f.Text, f.ID)
	}
	if err == nil {
		f, err = queries.Survivors(ctx, s.Pool, f)
	}
	if err == nil {
		f, err = queries.SearchAs(ctx, s.Pool, f, may(ctx, access.SeePersonal))
	}
	limits := limitsOf(ctx)
	if err != nil || limits == nil {
		return f, err
	}
	if f.Work.Queue != "" {
		id, err := conversation.ParseUUID(f.Work.Queue)
		if err == nil {
			_, err = s.queueByID(ctx, id)
		}
		if errors.Is(err, queries.ErrNotFound) {
			f.Work.Queue = conversation.UUID{}.String() // which none has
		} else if err != nil {
			return f, err
		}
	}
	return f.LimitTo(limits), nil
}

// conversation returns a conversation that who asks may see; ErrNotFound for others as for what is not there.
func (s *server) conversation(ctx context.Context, id conversation.UUID) (queries.ConversationFacts, error) {
	return queries.Conversation(ctx, s.Pool, id, limitsOf(ctx))
}

// choices are what filters offer to who asks.
func (s *server) choices(ctx context.Context) (queries.Choices, error) {
	db, err := s.shown(ctx)
	if err != nil {
		return queries.Choices{}, err
	}
	return queries.FilterChoices(ctx, db, limitsOf(ctx))
}

// mayQueue tells whether who asks may see a queue: one of other assistants too is for those who see them all. What people were given one by
// one is everybody's, each seeing what he may.
func (s *server) mayQueue(ctx context.Context, q queries.Queue) bool {
	limits := limitsOf(ctx)
	return limits == nil || q.Assigned() || s.within(ctx, q.Query)
}

// within tells whether a kept filter asks for nothing but assistants of who asks.
func (s *server) within(ctx context.Context, query string) bool {
	limits := limitsOf(ctx)
	if limits == nil {
		return true
	}
	f, err := queries.KeptFilter(query, s.Zone)
	if err == nil {
		f, err = queries.Survivors(ctx, s.Pool, f)
	}
	return err == nil && len(f.Assistants) > 0 && !slices.ContainsFunc(f.Assistants, func(a string) bool { return !slices.Contains(limits, a) })
}

// mayView tells whether who asks may see a saved view: one that names other assistants is for those who see them.
func (s *server) mayView(ctx context.Context, v queries.SavedView) bool {
	limits := limitsOf(ctx)
	if limits == nil {
		return true
	}
	f, err := queries.KeptFilter(v.Query, s.Zone)
	if err == nil {
		f, err = queries.Survivors(ctx, s.Pool, f)
	}
	return err == nil && !slices.ContainsFunc(append(f.Assistants, f.Not.Assistants...), func(a string) bool { return !slices.Contains(limits, a) })
}

// queueByID returns a queue that who asks may see.
func (s *server) queueByID(ctx context.Context, id conversation.UUID) (queries.Queue, error) {
	u, _ := userOf(ctx)
	q, err := queries.QueueByID(ctx, s.Pool, id, u.ID)
	if err == nil && !s.mayQueue(ctx, q) {
		return queries.Queue{}, queries.ErrNotFound
	}
	return q, err
}
