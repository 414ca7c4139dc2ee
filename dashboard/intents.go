package dashboard

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	"turnwise/conversation"
	"turnwise/format"
	"turnwise/metric"
	"turnwise/queries"
)

// IntentRow is an intent with its turns.
type IntentRow struct {
	Intent                  string
	Turns, Unsure, Fallback Value
	Deciles                 [10]int64
}

// TextGroup is messages that say much the same.
type TextGroup struct {
	Words []string // that most of them share
	First string   // one of them
	N     int64
	Texts []TextLink
}

// TextLink is a message with its place.
type TextLink struct{ Text, Link string }

// Intents is the model of what the assistant understands.
type Intents struct {
	Bar                    FilterBar
	How                    string
	Any, AnyData           bool
	Cards                  []Card
	Rows                   []IntentRow
	Cut                    Cut
	Commands, CannotHandle []Reason
	CommandsCut, CannotCut Cut
	Groups                 []TextGroup
	Grouped                int64 // how many messages were grouped
}

// unhandledTexts is how many messages that were not understood are grouped, and groupsShown how many groups are shown.
const (
	unhandledTexts = 500
	groupsShown    = 12
)

// IntentsNeeds is what the page counts.
var IntentsNeeds = Needs{words: true}

// Intents is what the assistant understands.
func (f *Figures) Intents(ctx context.Context) (m Intents, err error) {
	m = Intents{Bar: f.bar, How: f.how(), AnyData: f.whole.Count(metric.All) > 0}
	fallback, unsure := f.words.Understood()
	m.Any = fallback.Among > 0
	engaged := f.whole.Count(metric.Engaged)
	m.Cards = []Card{
		f.turnCard(
			"Not understood", "turns that the assistant did not understand ÷ turns in which a person wrote", fallback,
			metric.TurnFilter{Fallback: true},
		),
		f.turnCard(
			"Low confidence", "turns whose intent has a confidence below 0.5 ÷ turns whose intent has one", unsure,
			metric.TurnFilter{Unsure: true},
		),
		f.commandCard("Corrections", cardCommands[0]), f.commandCard(
			"Clarifications", cardCommands[1],
		), f.commandCard("Cannot handle", cardCommands[2]),
	}
	if f.before != nil {
		was := f.before
		fallbackWas, unsureWas := was.words.Understood()
		m.Cards[0].Delta, m.Cards[1].Delta = RateDelta(fallback, fallbackWas, true), RateDelta(unsure, unsureWas, true)
		for i, command := range cardCommands {
			now, then := f.commandRate(command), was.commandRate(command)
			m.Cards[2+i].Delta = RateDelta(now, then, true)
		}
	}
	m.Rows, m.Cut = cut(f, f.intentRows())
	m.Commands, m.CommandsCut = cut(
		f,
		f.mix(
			f.words.Commands, engaged,
			func(filter *metric.Filter, v string) { filter.Commands = append(slices.Clone(filter.Commands), v) },
		),
	)
	if f.links {
		if err := f.cannotHandle(ctx, &m); err != nil {
			return m, err
		}
	}
	if f.links && fallback.Of > 0 {
		if m.Groups, err = f.unhandled(ctx); err != nil {
			return m, err
		}
		texts, err := f.viewer.TextsBefore(ctx, f.Filter, f.Now)
		if err != nil {
			return m, err
		}
		if texts != nil {
			m.How = strings.TrimSpace(
				m.How + " What was said before " + f.viewer.Day(*texts) +
					" may have been removed by retention: the groups of messages below are of what is left.",
			)
		}
		m.Grouped = min(fallback.Of, unhandledTexts)
	}
	return m, nil
}

// intentRows are the intents, the most frequent first.
func (f *Figures) intentRows() (rows []IntentRow) {
	for _, intent := range slices.Sorted(maps.Keys(f.words.Intents)) {
		c := f.words.Intents[intent]
		name := cmp.Or(intent, metric.Unknown)
		row := IntentRow{
			Intent: intent, Turns: Count(c.Turns, f.turnLink(metric.TurnFilter{Intent: name})), Deciles: c.Deciles,
		}
		row.Unsure = f.turnRate(
			metric.Rate{Of: c.Unsure(), Among: sum(c.Deciles[:])}, metric.TurnFilter{Intent: name, Unsure: true},
		)
		row.Fallback = f.turnRate(
			metric.Rate{Of: c.Fallback, Among: c.Turns}, metric.TurnFilter{Intent: name, Fallback: true},
		)
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b IntentRow) int { return cmp.Compare(b.Turns.N, a.Turns.N) })
	return rows
}

// cannotHandle sets why the model could not go on. What it says may repeat what people said.
func (f *Figures) cannotHandle(ctx context.Context, m *Intents) error {
	m.CannotHandle, m.CannotCut = cut(f, f.mix(f.words.Reasons, f.words.Commands["cannot handle"], func(filter *metric.Filter, v string) {
		filter.CannotHandle = append(slices.Clone(filter.CannotHandle), v)
	}))
	masker, err := queries.DisplayMask(ctx, f.viewer.Pool)
	if err != nil {
		return err
	}
	for i := range m.CannotHandle {
		row := &m.CannotHandle[i]
		row.Name = reasonOf(row.Name)
		if masked := masker.Shown(row.Name); masked != row.Name {
			row.Name, row.Count.Link = masked, "" // the address would say it
		}
	}
	return nil
}

// reasonOf is what a command "cannot handle" gives as its reason.
func reasonOf(detail string) string {
	var command struct {
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal([]byte(detail), &command); err == nil && command.Reason != "" {
		return command.Reason
	}
	return detail
}

func sum(all []int64) (n int64) {
	for _, x := range all {
		n += x
	}
	return n
}

// turnLink opens the list of the turns that meet the filter.
func (f *Figures) turnLink(t metric.TurnFilter) string {
	filter := f.Filter
	filter.Turns = t
	return f.turns(filter, 0)
}

func (f *Figures) turnRate(rate metric.Rate, t metric.TurnFilter) Value {
	return Rate(rate, f.turnLink(t), "", "turns")
}

func (f *Figures) turnCard(name, formula string, rate metric.Rate, t metric.TurnFilter) Card {
	c := Card{Name: name, Formula: formula, Value: f.turnRate(rate, t), Rate: &rate}
	c.Base = Note{Text: "n " + format.Count(rate.Among) + " turns"}
	return c
}

// cardCommands are the commands that have a card: all of them better seldom.
var cardCommands = [...]string{"correct slot", "clarify", "cannot handle"}

// commandRate is the share of the engaged conversations in which the model gave a command.
func (f *Figures) commandRate(command string) metric.Rate {
	return metric.Rate{Of: f.words.Commands[command], Among: f.whole.Count(metric.Engaged)}
}

func (f *Figures) commandCard(name, command string) Card {
	rate := f.commandRate(command)
	filter := f.Filter
	filter.Commands = append(slices.Clone(filter.Commands), command)
	c := Card{
		Name: name, Formula: "conversations with the command \"" + command + "\" ÷ engaged",
		Value: Rate(rate, f.link(filter, metric.All), f.link(f.Filter, metric.Engaged), "engaged"), Rate: &rate,
	}
	c.Base = Note{
		Text: "n " + format.Count(rate.Among) + " engaged", Link: f.link(f.Filter, metric.Engaged), N: rate.Among,
	}
	return c
}

// mix are counts by a name, the most frequent first.
func (f *Figures) mix(counts map[string]int64, among int64, to func(*metric.Filter, string)) (all []Reason) {
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		filter := f.Filter
		to(&filter, cmp.Or(name, metric.Unknown))
		link := f.link(filter, metric.All)
		all = append(all, Reason{
			Name: name, Count: Count(counts[name], link), Share: metric.Rate{Of: counts[name], Among: among},
		})
	}
	slices.SortStableFunc(all, func(a, b Reason) int { return cmp.Compare(b.Count.N, a.Count.N) })
	return all
}

// unhandled groups the newest messages that were not understood by their words.
func (f *Figures) unhandled(ctx context.Context) (all []TextGroup, err error) {
	db, err := f.viewer.Shown(ctx)
	if err != nil {
		return nil, err
	}
	list, err := queries.UnhandledMessages(ctx, db, f.Filter, unhandledTexts, f.Now, f.Zone)
	if err != nil {
		return nil, err
	}
	ids := make([]conversation.UUID, len(list))
	for i, x := range list {
		ids[i] = x.ConversationID
	}
	hide, err := f.viewer.Hiding(ctx, ids)
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(list))
	for i, x := range list {
		list[i].Text = format.Shorten(hide(x.ConversationID, x.Text), 300)
		texts[i] = list[i].Text
	}
	groups := metric.GroupTexts(texts)
	for _, g := range groups[:min(len(groups), groupsShown)] {
		group := TextGroup{Words: g.Words, First: list[g.Texts[0]].Text, N: int64(len(g.Texts))}
		for _, i := range g.Texts[:min(len(g.Texts), 100)] {
			x := list[i]
			group.Texts = append(group.Texts, TextLink{
				Text: x.Text,
				Link: "/conversations/" + x.ConversationID.String() + "?" +
					url.Values{"m": {x.MessageID.String()}}.Encode() + "#m-" + x.MessageID.String(),
			})
		}
		all = append(all, group)
	}
	return all, nil
}
