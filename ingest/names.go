package ingest

import (
	"context"
	"fmt"
	"maps"
	"time"

	"turnwise/conversation"
	"turnwise/queries"
)

// rules returns the settings of an assistant, read at most every ten seconds.
func (w *Writer) rules(ctx context.Context, db queries.DB, assistant string) (*conversation.Rules, error) {
	w.mu.Lock()
	s, ok := w.settings[assistant]
	w.mu.Unlock()
	if now := w.now(); ok && now.Before(s.until) {
		return s.Rules, nil
	}
	loaded, err := queries.AssistantSettings(ctx, db, assistant)
	if err != nil {
		return nil, err
	}
	rules := conversation.NewRules(loaded)
	w.mu.Lock()
	w.settings[assistant] = settings{rules, w.now().Add(settingsLife)}
	w.mu.Unlock()
	return rules, nil
}

// prepare makes the partitions and names that the events need.
func (w *Writer) prepare(ctx context.Context, events []*conversation.Event) error {
	names := queries.Names{Assistants: map[string]bool{}, Environments: map[string]bool{}, Channels: map[string]bool{}, Versions: map[queries.Version]int64{}}
	months := map[string]int64{}
	var month string
	var from, until int64
	last := new(conversation.Event) // most of its names are the next one's too
	w.mu.Lock()
	for _, e := range events {
		if e.At < from || e.At >= until || month == "" {
			t := time.UnixMicro(e.At).UTC()
			start := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
			month, from, until = t.Format("2006-01"), start.UnixMicro(), start.AddDate(0, 1, 0).UnixMicro()
			if !w.months[month] {
				months[month] = e.At
			}
		}
		if e.Assistant != last.Assistant && !w.names["a"+e.Assistant] {
			names.Assistants[e.Assistant] = true
		}
		if e.Environment != last.Environment && e.Environment != "" && !w.names["e"+e.Environment] {
			names.Environments[e.Environment] = true
		}
		if e.Channel != last.Channel && e.Channel != "" && !w.names["c"+e.Channel] {
			names.Channels[e.Channel] = true
		}
		again := e.Assistant == last.Assistant && e.ModelID == last.ModelID && e.ModelName == last.ModelName && e.At >= last.At
		if last = e; again || e.ModelID == "" && e.ModelName == "" {
			continue
		}
		v := queries.Version{Assistant: e.Assistant, ModelID: e.ModelID, ModelName: e.ModelName}
		if first, ok := w.versions[v]; !ok || e.At < first {
			if first, ok := names.Versions[v]; !ok || e.At < first {
				names.Versions[v] = e.At
			}
		}
	}
	w.mu.Unlock()
	for _, at := range months {
		if err := queries.EnsureMonth(ctx, w.pool, at); err != nil {
			return err
		}
	}
	if err := queries.AddNames(ctx, w.pool, names); err != nil {
		return fmt.Errorf("add names: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for m := range months {
		w.months[m] = true
	}
	for prefix, set := range map[string]map[string]bool{"a": names.Assistants, "e": names.Environments, "c": names.Channels} {
		for name := range set {
			w.names[prefix+name] = true
		}
	}
	maps.Copy(w.versions, names.Versions)
	return nil
}
