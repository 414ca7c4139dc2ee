package rasa

import (
	"math"

	"turnwise/conversation"
)

// The greatest numbers that are taken for what they should be. Sums of single precision come out a little above 1.
const (
	maxConfidence = 1.0001
	maxMS         = 24 * 60 * 60 * 1000 // an execution time
)

func (d *Decoder) metadata(r *raw) {
	s, e := &d.s, r.e
	r.assistant, r.activeFlow, r.activeStep, r.attachments[0] = "", "", "", ""
	e.ModelID, e.ModelName, e.SessionID, r.external = "", "", "", false
	e.UnderstandingMS, e.PredictionMS = math.NaN(), math.NaN()
	if s.Peek() != '{' {
		d.misfit(e)
		return
	}
	s.Object(func(key string) {
		switch key {
		case "assistant_id":
			r.assistant = d.ident(e)
		case "model_id":
			e.ModelID = d.ident(e)
		case "model_name":
			e.ModelName = d.ident(e)
		case "session_id":
			e.SessionID = d.ident(e)
		case "utter_action":
			e.Retrieval = d.ident(e)
		case "active_flow":
			r.activeFlow = d.ident(e)
		case "step_id":
			r.activeStep = d.ident(e)
		case "_reason":
			e.Reason = d.ident(e)
		case "attachments":
			r.attachments[0] = s.Skip()
		case "is_external":
			r.external = s.Peek() == 't'
			s.Skip()
		case "execution_times":
			if s.Peek() != '{' {
				d.misfit(e)
				return
			}
			s.Object(func(key string) {
				switch key {
				case "command_processor":
					e.UnderstandingMS = d.float(e, maxMS)
				case "prediction_loop":
					e.PredictionMS = d.float(e, maxMS)
				default:
					s.Skip()
				}
			})
		default:
			s.Skip()
		}
	})
}

func (d *Decoder) parseData(r *raw) {
	s, e := &d.s, r.e
	e.Intent, e.Confidence, e.Commands = "", math.NaN(), nil
	r.parseMsgID, r.entities, r.attachments[1] = "", "", ""
	if s.Peek() != '{' {
		d.misfit(e)
		return
	}
	var full string
	var selectors map[string]string
	s.Object(func(key string) {
		switch key {
		case "intent":
			if s.Peek() != '{' {
				d.misfit(e)
				return
			}
			s.Object(func(key string) {
				switch key {
				case "name":
					e.Intent = d.ident(e)
				case "confidence":
					e.Confidence = d.float(e, maxConfidence)
				case "full_retrieval_intent_name":
					full = d.ident(e)
				default:
					s.Skip()
				}
			})
		case "entities":
			if s.Peek() != '[' {
				d.misfit(e)
				return
			}
			r.entities = s.Skip()
		case "message_id":
			r.parseMsgID = d.ident(e)
		case "attachments":
			r.attachments[1] = s.Skip()
		case "response_selector":
			selectors = d.selectors(e)
		case "commands":
			d.commands(e)
		default:
			s.Skip()
		}
	})
	if full == "" {
		if full = selectors[e.Intent]; full == "" {
			full = selectors["default"]
		}
	}
	r.template = full
}

// selectors reads the chosen response key of each response selector.
func (d *Decoder) selectors(e *conversation.Event) map[string]string {
	s := &d.s
	if s.Peek() != '{' {
		d.misfit(e)
		return nil
	}
	found := map[string]string{}
	s.Object(func(selector string) {
		if s.Peek() != '{' {
			s.Skip()
			return
		}
		s.Object(func(key string) {
			if key != "response" || s.Peek() != '{' {
				s.Skip()
				return
			}
			s.Object(func(key string) {
				if key == "intent_response_key" {
					found[selector] = d.ident(e)
					return
				}
				s.Skip()
			})
		})
	})
	return found
}

func (d *Decoder) commands(e *conversation.Event) {
	s := &d.s
	e.Commands = nil
	if s.Peek() != '[' {
		d.misfit(e)
		return
	}
	s.Open('[')
	for first := true; s.Next(']', first); first = false {
		if s.Peek() != '{' || len(e.Commands) == conversation.MaxCommands {
			d.misfit(e)
			continue
		}
		var c conversation.Command
		var slot, flow, value string
		start := s.Pos
		s.Object(func(key string) {
			switch key {
			case "command":
				c.Kind = d.ident(e)
			case "flow":
				flow = d.ident(e)
			case "name":
				slot = d.ident(e)
			case "value":
				value = s.Skip()
			default:
				s.Skip()
			}
		})
		switch c.Kind {
		case "start flow":
			c.FlowID = flow
		case "set slot":
			c.Slot, c.Value = slot, value
		default:
			c.Detail = s.Text[start:s.Pos]
		}
		e.Commands = append(e.Commands, c)
	}
}
