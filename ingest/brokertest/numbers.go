package brokertest

import (
	"fmt"
	"strings"
)

// oddValues are what stands, one after the other, where a number or a time belongs.
var oddValues = []string{
	`NaN`, `Infinity`, `-Infinity`, `-0`, `-0.0`, `1e308`, `-1e308`, `1e309`, `-1e309`, `1e400`, `1e200000`, `5e-324`,
	`1e-400`,
	`9223372036854775807`, `9223372036854775808`, `-9223372036854775808`, `18446744073709551616`, `1e18`, `-1`, `1.5`,
	`253402300800`,
	`1785800000.99999999999`, `1785800000123`, `"1785800000"`, `"NaN"`, `"2026-08-05"`, `""`, `null`, `true`, `[]`,
	`{}`, `[1e308]`,
}

// eventTypes are those that Rasa makes, and one that nobody knows.
var eventTypes = []string{
	"user", "bot", "agent", "action", "slot", "stack", "session_started", "session_ended", "conversation_inactive",
	"restart", "reset_slots",
	"pause", "resume", "rewind", "undo", "export", "followup", "reminder", "cancel_reminder",
	"action_execution_rejected", "form", "active_loop",
	"loop_interrupted", "entities", "user_featurization", "flow_started", "flow_completed", "flow_cancelled",
	"flow_interrupted", "flow_resumed",
	"agent_started", "agent_completed", "routing_session_ended", "whatever",
}

// OddTimes are events of every type whose time is no time, or an odd one.
func OddTimes() (bodies []string) {
	for _, typ := range eventTypes {
		for i, v := range oddValues {
			bodies = append(
				bodies,
				fmt.Sprintf(
					`{"sender_id":"odd %s","event":%q,"timestamp":%s,"name":"n","text":"t","flow_id":"f%d","message_id":"odd-%s-%d"}`,
					typ, typ, v, i, typ, i,
				),
			)
		}
	}
	return bodies
}

// OddNumbers are events of every type in which some other number is odd.
func OddNumbers() (bodies []string) {
	at := 1785800100.0
	for _, typ := range eventTypes {
		for _, member := range []string{
			`"confidence":%s`, `"anonymized_at":%s`,
			`"metadata":{"execution_times":{"command_processor":%[1]s,"prediction_loop":%[1]s}}`,
			`"name":"action_listen","metadata":{"execution_times":{"prediction_loop":%s}}`,
			`"parse_data":{"intent":{"name":"greet","confidence":%[1]s},"entities":[{"start":%[1]s,"end":%[1]s,"confidence_entity":%[1]s,"value":%[1]s}],"commands":[{"command":"set slot","name":"s","value":%[1]s}]}`,
			`"value":%s`, `"data":{"elements":[%s]}`,
			`"update":"[{\"op\":\"add\",\"path\":\"/0\",\"value\":{\"frame_id\":\"%d\"}}]"`, `"metadata":%s`,
			`"text":%s`, `"flow_id":%s`,
		} {
			for i, v := range oddValues {
				if strings.Contains(member, "%d") {
					v = fmt.Sprint(i)
					member = strings.Replace(member, "%d", "%s", 1)
				}
				at++
				bodies = append(
					bodies,
					fmt.Sprintf(
						`{"sender_id":"odd numbers","event":%q,"timestamp":%.2f,"message_id":"number-%.0f",`+member+`}`,
						typ, at, at, v,
					),
				)
			}
		}
	}
	return bodies
}

// Between puts a good event of another sender between any two bodies, and one at the end, and tells how many.
func Between(bodies []string, sender string) (all []string, good int) {
	for i, b := range bodies {
		all = append(
			all, b,
			fmt.Sprintf(
				`{"sender_id":"%s %d","event":"user","timestamp":%d.5,"text":"good","message_id":"%s-%d"}`, sender,
				i%50, 1785800000+i, sender, i,
			),
		)
	}
	return all, len(bodies)
}
