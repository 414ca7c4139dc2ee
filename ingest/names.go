package ingest

import (
	"context"
	"fmt"
	"maps"
	"time"

	"turnwise/conversation"
	"turnwise/queries"
	"turnwise/queries/store"
)

// rules returns the rules of an assistant.
func (w *Writer) rules(ctx context.Context, db queries.DB, assistant string) (*conversation.Rules, error) {
	all, err := w.rulesOfAll(ctx, db, []string{assistant})
	return all[assistant], err
}

// mostNames is how many names of a kind are remembered; who sends more pays for it.
const mostNames = 50000

// rulesOfAll returns the rules of assistants, by name. Most assistants have the same.
func (w *Writer) rulesOfAll(
	ctx context.Context, db queries.DB, assistants []string,
) (map[string]*conversation.Rules, error) {
	out := make(map[string]*conversation.Rules, len(assistants))
	var missing []string
	now := w.now()
	w.mu.Lock()
	for _, name := range assistants {
		if s, ok := w.settings[name]; ok && now.Before(s.until) {
			out[name] = s.Rules
		} else {
			missing = append(missing, name)
		}
	}
	w.mu.Unlock()
	if len(missing) == 0 {
		return out, nil
	}
	all, err := queries.AssistantSettings(ctx, db, missing)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.settings) > mostNames {
		clear(w.settings)
		clear(w.ruleBook)
	}
	for name, stored := range all {
		rules := w.ruleBook[stored]
		if rules == nil {
			if rules, err = queries.ReadRules(stored); err != nil {
				return nil, fmt.Errorf("settings of assistant %q: %w", name, err)
			}
			w.ruleBook[stored] = rules
		}
		w.settings[name], out[name] = settings{rules, now.Add(settingsLife)}, rules
	}
	return out, nil
}

// prepare makes the partitions and names that the events need.
func (w *Writer) prepare(ctx context.Context, src *Source, events []*conversation.Event) error {
	names := store.Names{
		Assistants: map[string]bool{}, Environments: map[string]bool{}, Channels: map[string]bool{},
		Versions: map[store.Version]int64{},
	}
	if src.Mapping != nil {
		names.Settings = src.Mapping.Settings
	}
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
		again := e.Assistant == last.Assistant && e.ModelID == last.ModelID && e.ModelName == last.ModelName &&
			e.At >= last.At
		if last = e; again || e.ModelID == "" && e.ModelName == "" {
			continue
		}
		v := store.Version{Assistant: e.Assistant, ModelID: e.ModelID, ModelName: e.ModelName}
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
	if err := store.AddNames(ctx, w.pool, names); err != nil {
		return fmt.Errorf("add names: %w", err)
	}
	w.remember(names, months)
	return nil
}

// remember notes what is stored of names and months, so that nobody asks again.
func (w *Writer) remember(names store.Names, months map[string]int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for m := range months {
		w.months[m] = true
	}
	for prefix, set := range map[string]map[string]bool{
		"a": names.Assistants, "e": names.Environments, "c": names.Channels,
	} {
		for name := range set {
			w.names[prefix+name] = true
		}
	}
	if len(w.names) > mostNames {
		clear(w.names)
	}
	if len(w.versions) > mostNames {
		clear(w.versions)
	}
	maps.Copy(w.versions, names.Versions)
}
