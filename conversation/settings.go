package conversation

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Settings are the rules of one assistant that the fold needs.
type Settings struct {
	// actions that hand the conversation to a person
	HandoffActions []string  `json:"handoff_actions" yaml:"handoff_actions"`
	HandoffFlows   []string  `json:"handoff_flows" yaml:"handoff_flows"`     // flows whose start does; none by default
	HandoffCommand bool      `json:"handoff_command" yaml:"handoff_command"` // the command "human handoff" counts
	HandoffPause   PauseRule `json:"handoff_pause" yaml:"handoff_pause"`     // whether the event "pause" counts
	HandoffAgent   bool      `json:"handoff_agent" yaml:"handoff_agent"`     // a message by a human agent counts
	CSATSlots      []string  `json:"csat_slots" yaml:"csat_slots"`
	// lowest of 1–5 that counts as satisfied; Rasa's own reading is 3
	SatisfiedFrom int `json:"satisfied_from" yaml:"satisfied_from"`
	// a conversation without an end event is closed this long after its last event
	IdleMinutes int `json:"idle_minutes" yaml:"idle_minutes"`
	// what begins the next conversation of a sender or a thread
	CutBy     CutRule  `json:"cut_by" yaml:"cut_by"`
	Fallbacks []string `json:"fallbacks" yaml:"fallbacks"`

	// patterns of responses and of questions that leave nothing open
	ClosingQuestions []string `json:"closing_questions" yaml:"closing_questions"`
	// patterns of intents by which people say thanks and good bye
	ClosingIntents []string `json:"closing_intents" yaml:"closing_intents"`
	// words and phrases of messages that say no more
	ClosingWords []string `json:"closing_words" yaml:"closing_words"`
}

// PauseRule is whether a pause hands a conversation to a human.
type PauseRule string

// The rules. By PauseAuto it does when after the last pause, which no resume followed, a human agent speaks, or the
// assistant says nothing more.
const (
	PauseAuto   PauseRule = "auto"
	PauseAlways PauseRule = "always"
	PauseNever  PauseRule = "never"
)

// CutRule is what begins the next conversation, where the platform names none.
type CutRule string

// The rules: what the platform tells, such as the start of a session or the id of a conversation; a message after the
// idle time; the user's first message after the conversation was closed.
const (
	CutAsTold   CutRule = "as_told"
	CutByIdle   CutRule = "idle"
	CutByStatus CutRule = "status"
)

// UnmarshalText reads a rule. Before there were three, it was true or false, and false by default.
func (p *PauseRule) UnmarshalText(b []byte) error {
	switch rule := PauseRule(b); rule {
	case PauseAuto, PauseAlways, PauseNever:
		*p = rule
	case "true":
		*p = PauseAlways
	case "false", "":
		*p = PauseAuto
	default:
		return errPauseRule
	}
	return nil
}

// UnmarshalJSON reads a rule, or what it was before.
func (p *PauseRule) UnmarshalJSON(b []byte) error {
	return p.UnmarshalText([]byte(strings.Trim(string(b), `"`)))
}

var errPauseRule = errors.New("a pause counts as a hand-off auto, always or never")

// The bounds of settings.
const (
	mostNames   = 500
	longestName = 200
	mostIdle    = 7 * 24 * 60
)

// Check tells which setting is wrong, and why; "" when none is.
func (s *Settings) Check() (field, why string) {
	for field, list := range map[string][]string{
		"hand-off actions": s.HandoffActions, "hand-off flows": s.HandoffFlows, "rating slots": s.CSATSlots,
		"fallbacks": s.Fallbacks, "closing questions": s.ClosingQuestions, "closing intents": s.ClosingIntents,
		"closing words": s.ClosingWords,
	} {
		if len(list) > mostNames {
			return field, "are at most " + strconv.Itoa(mostNames)
		}
		for _, name := range list {
			if strings.TrimSpace(name) != name || name == "" || len(name) > longestName {
				return field, "are names of up to " + strconv.Itoa(longestName) + " bytes"
			}
		}
	}
	switch {
	case s.HandoffPause != PauseAuto && s.HandoffPause != PauseAlways && s.HandoffPause != PauseNever:
		return "hand-off by pause", "is auto, always or never"
	case s.CutBy != CutAsTold && s.CutBy != CutByIdle && s.CutBy != CutByStatus:
		return "what begins a conversation", "is as_told, idle or status"
	case s.SatisfiedFrom < 1 || s.SatisfiedFrom > 5:
		return "satisfied from", "is a rating from 1 to 5"
	case s.IdleMinutes < 1 || s.IdleMinutes > mostIdle:
		return "idle minutes", "are 1 to " + strconv.Itoa(mostIdle)
	}
	return "", ""
}

// DefaultSettings are those of a new assistant.
func DefaultSettings() Settings {
	return Settings{
		HandoffActions: []string{"action_human_handoff", "action_handoff_metric"},
		HandoffPause:   PauseAuto,
		CSATSlots:      []string{"csat_score"},
		SatisfiedFrom:  4,
		IdleMinutes:    65,
		CutBy:          CutAsTold,
		Fallbacks: []string{
			"action_default_fallback", "utter_default", "utter_fallback", "nlu_fallback", "out_of_scope",
			"pattern_cannot_handle", "pattern_chitchat_fallback", "utter_free_chitchat_response_fallback",
		},

		ClosingQuestions: slices.Clone(defaultClosingQuestions), ClosingIntents: slices.Clone(defaultClosingIntents),
		ClosingWords: slices.Clone(defaultClosingWords),
	}
}

// UnmarshalYAML reads settings; those that are not there are as by default.
func (s *Settings) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Settings
	*s = DefaultSettings()
	return unmarshal((*plain)(s))
}

// Rating is how satisfied the user said to be.
type Rating string

// The ratings. A conversation in which nobody asked has none.
const (
	Satisfied   Rating = "SATISFIED"
	Unsatisfied Rating = "UNSATISFIED"
	Unanswered  Rating = "UNANSWERED"
)

// rating reads the JSON value of a rating slot: "" for null, Unanswered for what is no rating.
func (s *Settings) rating(value string) Rating {
	v := strings.ToLower(strings.Trim(strings.TrimSpace(value), `"`))
	switch v {
	case "null", "":
		return ""
	case "satisfied":
		return Satisfied
	case "unsatisfied":
		return Unsatisfied
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || f != float64(int(f)) || f < 1 || f > 5 {
		return Unanswered
	}
	if int(f) >= s.SatisfiedFrom {
		return Satisfied
	}
	return Unsatisfied
}

// escalation returns why the event hands the conversation to a person, or "".
func (s *Settings) escalation(e *Event) string {
	switch e.Kind {
	case KindAction:
		if slices.Contains(s.HandoffActions, e.Name) {
			return e.Name
		}
	case KindFlowStarted:
		if slices.Contains(s.HandoffFlows, e.FlowID) {
			return e.FlowID
		}
	case KindPause:
		if s.HandoffPause == PauseAlways {
			return TypePause
		}
	case KindAgent:
		if s.HandoffAgent {
			return TypeAgent
		}
	case KindUser:
		if s.HandoffCommand && slices.ContainsFunc(
			e.Commands, func(c Command) bool { return c.Kind == "human handoff" },
		) {
			return "human handoff"
		}
	default:
	}
	return ""
}

func (s *Settings) fallback(name string) bool {
	return name != "" && slices.Contains(s.Fallbacks, name)
}
