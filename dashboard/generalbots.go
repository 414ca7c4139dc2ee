package dashboard

import (
	"turnwise/metric"
)

// generalBots begins the names of measures that General Bots' API defines in its own way.
const generalBots = "general_bots."

// generalBotsMeasures are counted over all conversations, engaged or not.
func generalBotsMeasures() (all []Measure) {
	return append(append(volumeMeasures(), shareMeasures()...), scoreMeasures()...)
}

// volumeMeasures are counts.
func volumeMeasures() (all []Measure) {
	for _, x := range []struct {
		name, title, definition string
		n                       func(v *metric.Volume) int64
		link                    func(f *Figures, filter metric.Filter) string // nil: no list shows them
	}{
		{"messages", "Messages", "Messages of user, bot and agents.", (*metric.Volume).Messages, nil},
		{"user_messages", "User messages", "Messages of users.", func(v *metric.Volume) int64 { return v.UserMessages }, nil},
		{"bot_messages", "Bot messages", "Messages of the assistant.", func(v *metric.Volume) int64 { return v.BotMessages }, nil},
		{"agent_messages", "Agent messages", "Messages of human agents.", func(v *metric.Volume) int64 { return v.AgentMessages }, nil},
		{"handed_over", "Handed over", "Conversations that waited for a human agent, or had one.", func(v *metric.Volume) int64 { return v.HandedOver }, handedOver("yes")},
		{"bot_only", "Bot only", "Conversations that were never handed over.", (*metric.Volume).BotOnly, handedOver("no")},
		{"abandoned", "Abandoned", "Handed over, and ended before an agent wrote.", func(v *metric.Volume) int64 { return v.Abandoned }, nil},
		{"resolved", "Resolved", "Conversations reported as resolved.", func(v *metric.Volume) int64 { return v.Resolved }, nil},
		{"unresolved", "Unresolved", "Conversations reported as unresolved.", func(v *metric.Volume) int64 { return v.Unresolved }, nil},
		{"escalated", "Escalated", "Conversations reported as escalated, or handed over with no report.", func(v *metric.Volume) int64 { return v.Escalated }, nil},
		{"pending", "Pending", "Conversations reported as pending.", func(v *metric.Volume) int64 { return v.Pending }, nil},
		{"unknown", "Unknown", "Conversations with no report of whether they were resolved.", (*metric.Volume).Unknown, nil},
	} {
		all = append(all, Measure{
			Name: generalBots + x.name, Title: x.title, Definition: x.definition, Unit: Counts,
			Groups: []string{ByChannel}, Over: true, apart: apart{volumes: true},
			value: func(f *Figures, p *part) Figure {
				link := ""
				if x.link != nil {
					link = x.link(f, p.filter)
				}
				return counted(x.n(&p.volume), link)
			},
		})
	}
	return all
}

// handedOver returns the address of the list of the conversations that were, or were not, handed over.
func handedOver(yes string) func(f *Figures, filter metric.Filter) string {
	return func(f *Figures, filter metric.Filter) string {
		if filter.Escalated != "" && filter.Escalated != yes {
			return ""
		}
		filter.Escalated = yes
		return f.link(filter, metric.All)
	}
}

// shareMeasures are rates.
func shareMeasures() (all []Measure) {
	for _, x := range []struct {
		name, title, of, among string
		rate                   func(v *metric.Volume) metric.Rate
		link                   func(f *Figures, filter metric.Filter) string
	}{
		{"containment_rate", "Containment (General Bots)", "Conversations that were never handed over", "All conversations", (*metric.Volume).Containment, handedOver("no")},
		{"handover_rate", "Handover (General Bots)", "Conversations that were handed over", "All conversations", (*metric.Volume).Handover, handedOver("yes")},
		{"abandonment_rate", "Abandonment (General Bots)", "Handed over, and ended before an agent wrote", "Conversations that were handed over", (*metric.Volume).Abandonment, nil},
		{"resolution_rate", "Resolution (General Bots)", "Conversations reported as resolved", "Conversations reported as resolved, unresolved or escalated", (*metric.Volume).Resolution, nil},
		{"coverage_rate", "Coverage", "Conversations reported as resolved, unresolved or escalated", "All conversations", (*metric.Volume).Coverage, nil},
		{"bounce_rate", "Bounce", "Conversations with at most one message of the user", "All conversations", (*metric.Volume).Bounce, nil},
	} {
		all = append(all, Measure{
			Name: generalBots + x.name, Title: x.title, Definition: x.of + " ÷ " + x.among + ".", Numerator: x.of,
			Denominator: x.among, Unit: Percents, Groups: []string{ByChannel}, Over: true, apart: apart{volumes: true},
			value: func(f *Figures, p *part) Figure {
				link, rate := "", x.rate(&p.volume)
				if x.link != nil {
					link = x.link(f, p.filter)
				}
				return rated(rate, Rate(rate, link, "", x.among))
			},
		})
	}
	return all
}

// scoreMeasures are of ratings and durations.
func scoreMeasures() []Measure {
	return []Measure{
		{
			Name: generalBots + "csat_rate", Title: "Satisfied", Definition: "Scores of 4 and 5 ÷ scores; other scales are stretched to 1 to 5.",
			Numerator: "Scores of 4 and 5", Denominator: "Scores", Unit: Percents, Over: true, apart: apart{answers: true},
			value: func(_ *Figures, p *part) Figure {
				return rated(p.answers.CSAT(), Rate(p.answers.CSAT(), "", "", "scores"))
			},
		},
		{
			Name: generalBots + "avg_score", Title: "Average score", Definition: "Sum of the scores from 1 to 5 ÷ scores.",
			Numerator: "Sum of the scores", Denominator: "Scores", Unit: Decimals, Over: true, apart: apart{answers: true},
			value: func(_ *Figures, p *part) Figure {
				v, _ := p.answers.Average()
				return averaged(v, Decimals, p.answers.Responses)
			},
		},
		{
			Name: generalBots + "nps", Title: "NPS", Definition: "Share of 9 and 10 less share of 0 to 6 among answers to NPS, from -100 to 100.",
			Unit: Decimals, Over: true, apart: apart{answers: true},
			value: func(_ *Figures, p *part) Figure {
				v, _ := p.answers.NPS()
				return averaged(v, Decimals, p.answers.Asked)
			},
		},
		{
			Name: generalBots + "duration_mean", Title: "Duration, mean", Definition: "Time from the first message to the last of ended conversations, on average.",
			Numerator: "Durations", Denominator: "Ended conversations in which something was said", Unit: Times, Over: true,
			apart: apart{durations: true},
			value: func(_ *Figures, p *part) Figure {
				total := 0.0
				for _, s := range p.seconds {
					total += s
				}
				return averaged(1000*total/float64(max(len(p.seconds), 1)), Times, int64(len(p.seconds)))
			},
		},
		{
			Name: generalBots + "duration_median", Title: "Duration, median", Definition: "Time from the first message to the last of ended conversations; median.",
			Unit: Times, Over: true, apart: apart{durations: true},
			value: func(_ *Figures, p *part) Figure {
				v, _ := metric.Percentile(p.seconds, 0.5)
				return averaged(1000*v, Times, int64(len(p.seconds)))
			},
		},
	}
}
