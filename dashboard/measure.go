package dashboard

import (
	"slices"

	"turnwise/metric"
)

// Measure is a figure that programs ask for by its name: the same, counted the same way, as the pages show.
type Measure struct {
	Name, Title, Definition string
	Unit                    Unit
	Numerator, Denominator  string   // of a rate or a mean, in words; "" for what is none
	Groups                  []string // by what it can be told apart
	Grouped                 bool     // it is there by one of them alone
	Over                    bool     // it can be told over time

	needs Needs
	apart apart // counted from conversations, beside the rollups
	value func(f *Figures, x *part) Figure
}

// apart is what a measure needs beside what the pages count.
type apart struct{ volumes, answers, durations bool }

// Figure is a measure's value.
type Figure struct {
	Value
	Rate     *metric.Rate
	N        int64       // conversations, turns or users that it is of; of a rate those in the denominator
	Interval *[2]float64 // of 95 %; nil for none
}

// part is what a value is made of: the whole range, or a group or a stretch of it.
type part struct {
	group   string
	span    *metric.Span
	place   int // of the span among those of the range
	filter  metric.Filter
	tally   *metric.Tally
	flow    *metric.FlowCount
	active  metric.Active
	intent  *metric.IntentCount
	marker  *metric.MarkerCount
	volume  metric.Volume
	answers metric.Satisfaction
	seconds []float64 // durations
}

// The groups.
const (
	ByAssistant   = "assistant"
	ByEnvironment = "environment"
	ByChannel     = "channel"
	ByVersion     = "version"
	ByFlow        = "flow"
	ByIntent      = "intent"
	ByMarker      = "marker"
)

// Groups lists by what figures can be told apart.
var Groups = []string{ByAssistant, ByEnvironment, ByChannel, ByVersion, ByFlow, ByIntent, ByMarker}

var byDimension = []string{ByAssistant, ByEnvironment, ByChannel, ByVersion}

// measures are made once; they are never changed.
var measures = slices.Concat(
	countMeasures(), rateMeasures(), timeMeasures(), userMeasures(), flowMeasures(), intentMeasures(), markerMeasures(),
	generalBotsMeasures(),
)

// Measures lists all measures.
func Measures() []Measure { return measures }

// MeasureNamed returns a measure.
func MeasureNamed(name string) (m Measure, ok bool) {
	i := slices.IndexFunc(measures, func(m Measure) bool { return m.Name == name })
	if i < 0 {
		return m, false
	}
	return measures[i], true
}

// counted is a count as a figure.
func counted(n int64, link string) Figure { return Figure{Value: Count(n, link), N: n} }

// rated is a rate as a figure.
func rated(r metric.Rate, v Value) Figure {
	f := Figure{Value: v, Rate: &r, N: r.Among}
	if r.Among > 0 {
		low, high := r.Interval()
		f.Interval = &[2]float64{low, high}
	}
	return f
}

// averaged is a mean as a figure; none where it is of nothing.
func averaged(v float64, unit Unit, n int64) Figure {
	return Figure{Value: Value{V: v, Unit: unit, None: n == 0, Few: n < metric.FewFrom}, N: n}
}

func countMeasures() (all []Measure) {
	for _, x := range []struct {
		name, definition string
		is               metric.Condition
	}{
		{"conversations", "All conversations that began in the range; tests are left out.", metric.All},
		{"engaged", "Conversations in which the user wrote.", metric.Engaged},
		{"ended", "Engaged conversations that ended, by an end the platform reported or by idleness.", metric.Ended},
		{"contained", "Engaged conversations that ended and were not escalated.", metric.Contained},
		{"resolved", "Engaged conversations that ended resolved, confirmed or assumed.", metric.Resolved},
		{"resolved_confirmed", "Resolved: the user or an agent said so, or rated well.", metric.Confirmed},
		{"resolved_assumed", "Resolved: the last thing said was an answer, or a flow was completed.", metric.Assumed},
		{"durably_resolved", "Resolved, and the same person did not come back within 7 days.", metric.Durable},
		{"escalated", "Engaged conversations that were handed to a human agent.", metric.Escalated},
		{"escalated_ended", "Engaged conversations that were handed to a human agent and ended.", metric.HandedOff},
		{"abandoned", "Ended after a question, a fallback or an error, or while waiting.", metric.Abandoned},
		{"open", "Conversations that have not ended.", metric.Open},
		{"not_engaged", "Ended conversations in which nobody wrote.", metric.EndedNotEngaged},
		{"csat_asked", "Conversations in which a rating was asked for or given.", metric.Asked},
		{"csat_rated", "Conversations that were rated.", metric.Rated},
		{"csat_satisfied", "Conversations rated as satisfied, by the assistant's setting.", metric.Satisfied},
		{"csat_unsatisfied", "Conversations rated as not satisfied.", metric.Unsatisfied},
		{"csat_unanswered", "Conversations in which a rating was asked for and none was given.", metric.Unanswered},
		{"success_judged", "Conversations to which the assistant's success criteria apply.", metric.Judged},
		{"succeeded", "Conversations that met the assistant's success criteria.", metric.Succeeded},
		{"failed", "Conversations that did not meet the assistant's success criteria.", metric.Failed},
	} {
		all = append(all, Measure{
			Name: x.name, Title: x.is.Words(), Definition: x.definition, Unit: Counts, Groups: byDimension, Over: true,
			value: func(f *Figures, p *part) Figure { return counted(p.tally.Count(x.is), f.link(p.filter, x.is)) },
		})
	}
	return all
}

func rateMeasures() (all []Measure) {
	for _, x := range []struct {
		name string
		m    metric.Measure
	}{
		{"engagement_rate", metric.Engagement},
		{"containment_rate", metric.Containment},
		{"resolution_rate", metric.Resolution},
		{"durable_resolution_rate", metric.DurableShare},
		{"escalation_rate", metric.EscalationRate},
		{"abandonment_rate", metric.Abandonment},
		{"csat", metric.CSAT},
		{"csat_response_rate", metric.ResponseRate},
		{"success_rate", metric.SuccessRate},
	} {
		all = append(all, Measure{
			Name: x.name, Title: x.m.Name, Definition: x.m.Formula, Unit: Percents, Groups: byDimension, Over: true,
			Numerator: x.m.Of.Words(), Denominator: x.m.Among.Words(),
			value: func(f *Figures, p *part) Figure {
				v := f.rate(p.tally, p.filter, x.m, x.m.Among.Words())
				_, until := p.filter.Range.Bounds(f.Now, f.Zone)
				v.Soft = x.m.Of == metric.Durable && until.After(f.Now.AddDate(0, 0, -metric.DurableDays))
				return rated(p.tally.Rate(x.m), v)
			},
		})
	}
	return all
}

func timeMeasures() (all []Measure) {
	for _, x := range []struct {
		name, title string
		p           float64
	}{
		{"response_time_p50", "Response time, p50", 0.5},
		{"response_time_p90", "Response time, p90", 0.9},
		{"response_time_p95", "Response time, p95", 0.95},
		{"response_time_p99", "Response time, p99", 0.99},
	} {
		all = append(all, Measure{
			Name: x.name, Title: x.title, Unit: Times, Groups: byDimension, Over: true, needs: Needs{times: true},
			Definition: x.title + ": time from the user's message to the answer, over turns that the assistant answered; continuous percentile.",
			value: func(f *Figures, p *part) Figure {
				out := Figure{Value: f.percentile(&p.tally.Response, p.filter, x.p), N: p.tally.Response.N}
				if low, high, ok := p.tally.Response.Interval(x.p); ok {
					out.Interval = &[2]float64{low, high}
				}
				return out
			},
		})
	}
	return append(all, Measure{
		Name: "response_time_mean", Title: "Response time, mean", Unit: Times, Groups: byDimension, Over: true,
		Definition: "Sum of the response times ÷ turns that the assistant answered.", Numerator: "Response times",
		Denominator: "Answered turns", needs: Needs{times: true},
		value: func(f *Figures, p *part) Figure {
			ms, _ := p.tally.Response.Mean()
			out := averaged(ms, Times, p.tally.Response.N)
			out.Link, out.Value.N = f.turns(p.filter, 0), p.tally.Response.N
			return out
		},
	}, Measure{
		Name: "answered_turns", Title: "Answered turns", Unit: Counts, Groups: byDimension, Over: true,
		Definition: "Turns that the assistant answered and whose response time is known.",
		needs:      Needs{times: true},
		value: func(f *Figures, p *part) Figure {
			return counted(p.tally.Response.N, f.turns(p.filter, 0))
		},
	})
}

func userMeasures() []Measure {
	user := func(name, title, definition, which string, n func(a metric.Active) int64) Measure {
		return Measure{
			Name: name, Title: title, Definition: definition, Unit: Counts, Over: true, needs: Needs{users: true},
			value: func(f *Figures, p *part) Figure { return counted(n(p.active), f.people(p.filter, which)) },
		}
	}
	return []Measure{
		user("active_users", "Active users", "People who wrote in a conversation that began in the range, each once.", "", func(a metric.Active) int64 { return a.All }),
		user("new_users", "New users", "Active users whose first conversation ever with the assistant began in the range.", metric.NewUsers, func(a metric.Active) int64 { return a.New }),
		user("returning_users", "Returning users", "Active users whose first conversation ever with the assistant began before the range.", metric.ReturningUsers, metric.Active.Returning),
		{
			Name: "conversations_per_user", Title: "Conversations each", Unit: Decimals, Over: true,
			Definition: "Engaged conversations ÷ active users.", Numerator: metric.Engaged.Words(), Denominator: "Active users",
			needs: Needs{users: true},
			value: func(f *Figures, p *part) Figure {
				engaged := p.tally.Count(metric.Engaged)
				out := averaged(float64(engaged)/float64(max(p.active.All, 1)), Decimals, p.active.All)
				out.Link, out.Value.N = f.link(p.filter, metric.Engaged), engaged
				return out
			},
		},
	}
}

func flowMeasures() (all []Measure) {
	flow := func(name, title, definition string, value func(f *Figures, p *part) Figure) Measure {
		return Measure{
			Name: name, Title: title, Definition: definition, Unit: Counts, Groups: []string{ByFlow}, Grouped: true,
			needs: Needs{flows: true, steps: true}, value: value,
		}
	}
	for _, x := range []struct {
		name, title string
		how         metric.FlowCondition
	}{
		{"flow_started", "Flow started", metric.FlowStarted},
		{"flow_completed", "Flow completed", metric.FlowCompleted},
		{"flow_cancelled", "Flow cancelled", metric.FlowCancelled},
		{"flow_interrupted", "Flow interrupted", metric.FlowInterrupted},
		{"flow_resumed", "Flow resumed", metric.FlowResumed},
		{"flow_lost", "Ended inside the flow", metric.FlowLost},
		{"flow_escalated", "Escalated inside the flow", metric.FlowEscalated},
	} {
		all = append(all, flow(x.name, x.title, x.title+": conversations in which that happened at least once.", func(f *Figures, p *part) Figure {
			return counted(p.flow.Count(x.how), f.flowLink(f.Filter, p.group, x.how))
		}))
	}
	completion := flow("flow_completion_rate", "Completion", "Conversations that started the flow and completed it ÷ conversations that started it.", func(f *Figures, p *part) Figure {
		return rated(p.flow.Completion(), f.flowRow(p.group).Finished)
	})
	completion.Unit, completion.Numerator, completion.Denominator = Percents, "Conversations that completed the flow", "Conversations that started it"
	took := flow("flow_time_median", "Median time in the flow", "Median time of the completed runs.", func(f *Figures, p *part) Figure {
		return Figure{Value: f.flowRow(p.group).Took, N: p.flow.Time.N}
	})
	took.Unit = Times
	return append(all, completion, took)
}

func intentMeasures() []Measure {
	turns := func(name, title, definition string, unit Unit, value func(f *Figures, p *part) Figure) Measure {
		return Measure{
			Name: name, Title: title, Definition: definition, Unit: unit, Groups: []string{ByIntent}, needs: Needs{words: true},
			value: value,
		}
	}
	of := func(f *Figures, p *part, t metric.TurnFilter) string {
		if p.group == "" {
			return f.turnLink(t)
		}
		if t.Intent = p.group; t.Intent == metric.NameOf("") {
			t.Intent = metric.Unknown
		}
		return f.turnLink(t)
	}
	fallback := turns("fallback_rate", "Not understood", "Turns that the assistant did not understand ÷ turns in which a person wrote.", Percents, func(f *Figures, p *part) Figure {
		r := metric.Rate{Of: p.intent.Fallback, Among: p.intent.Turns}
		return rated(r, Rate(r, of(f, p, metric.TurnFilter{Fallback: true}), "", "turns"))
	})
	fallback.Numerator, fallback.Denominator = "Turns that were not understood", "Turns in which a person wrote"
	unsure := turns("low_confidence_rate", "Low confidence", "Turns whose intent has a confidence below 0.5 ÷ turns whose intent has one.", Percents, func(f *Figures, p *part) Figure {
		r := metric.Rate{Of: p.intent.Unsure(), Among: sum(p.intent.Deciles[:])}
		return rated(r, Rate(r, of(f, p, metric.TurnFilter{Unsure: true}), "", "turns"))
	})
	unsure.Numerator, unsure.Denominator = "Turns of low confidence", "Turns with a confidence"
	return []Measure{
		turns("user_turns", "Turns", "Turns in which a person wrote.", Counts, func(f *Figures, p *part) Figure {
			link := ""
			if p.group != "" {
				link = of(f, p, metric.TurnFilter{})
			}
			return counted(p.intent.Turns, link)
		}), fallback, unsure,
	}
}

func markerMeasures() []Measure {
	marker := func(name, title, definition string, unit Unit, value func(f *Figures, p *part) Figure) Measure {
		return Measure{
			Name: name, Title: title, Definition: definition, Unit: unit, Groups: []string{ByMarker}, Grouped: true,
			needs: Needs{found: true}, value: value,
		}
	}
	link := func(f *Figures, p *part) string {
		filter := f.Filter
		if !slices.Contains(filter.Markers, p.group) {
			filter.Markers = append(slices.Clone(filter.Markers), p.group)
		}
		return f.link(filter, metric.All)
	}
	share := marker("marker_share", "Marker's share", "Conversations in which the marker was found ÷ all conversations.", Percents, func(f *Figures, p *part) Figure {
		r := metric.Rate{Of: p.marker.Conversations, Among: f.whole.Count(metric.All)}
		return rated(r, Rate(r, link(f, p), f.link(f.Filter, metric.All), "conversations"))
	})
	share.Numerator, share.Denominator = "Conversations in which the marker was found", metric.All.Words()
	return []Measure{
		marker("marker_conversations", "Conversations with the marker", "Conversations in which one of Rasa's markers was found at least once.", Counts, func(f *Figures, p *part) Figure {
			return counted(p.marker.Conversations, link(f, p))
		}), share,
	}
}
