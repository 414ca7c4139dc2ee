package web

import (
	"encoding/json"
	"strings"

	"turnwise/queries"
)

// choice reads a message that a button sent as what the user chose: by the button's title, if it was offered, else by
// what the payload says; "" for words that somebody typed.
func choice(text string, offered map[string]string) string {
	payload := strings.TrimSpace(text)
	if title := offered[payload]; title != "" && (title != payload || strings.HasPrefix(payload, "/")) {
		return "Chose: " + title
	}
	name, ok := strings.CutPrefix(payload, "/")
	if !ok || name == "" || strings.ContainsAny(name[:1], " /") {
		return ""
	}
	if slots, ok := strings.CutPrefix(name, "SetSlots("); ok {
		return "Chose: " + strings.Join(settings(strings.TrimSuffix(slots, ")")), ", ")
	}
	at := strings.IndexAny(name, "{@ ")
	if at < 0 {
		at = len(name)
	}
	words := "Chose: " + name[:at]
	var values map[string]json.RawMessage
	if from := strings.IndexByte(name, '{'); from >= 0 && json.Unmarshal([]byte(name[from:]), &values) == nil {
		for _, k := range sortedKeys(values) {
			words += ", " + k + " = " + strings.Trim(string(values[k]), `"`)
		}
	}
	return words
}

// settings are the slots of /SetSlots(a=1, b=x), in words.
func settings(list string) (all []string) {
	for _, x := range strings.Split(list, ",") {
		if slot, value, ok := strings.Cut(x, "="); ok {
			all = append(all, strings.TrimSpace(slot)+" = "+strings.TrimSpace(value))
		} else if n := len(all); n > 0 { // a comma within a value
			all[n-1] += "," + x
		}
	}
	return all
}

// triggered says what a message of the platform is: nobody typed it.
func triggered(text string) string {
	switch name := strings.TrimPrefix(text, "EXTERNAL: "); {
	case name != text:
		return "Triggered: " + strings.TrimPrefix(name, "EXTERNAL_")
	case strings.HasPrefix(text, "/session_start"):
		return "The session was started"
	case text == "/silence_timeout":
		return "The user was silent"
	}
	return "Triggered: " + text
}

// offers are the buttons of a reply: their titles by what they send.
func offers(rich *string) map[string]string {
	if rich == nil {
		return nil
	}
	var data struct {
		Buttons      []struct{ Title, Payload string }
		QuickReplies []struct{ Title, Payload string } `json:"quick_replies"`
	}
	if json.Unmarshal([]byte(*rich), &data) != nil {
		return nil
	}
	all := map[string]string{}
	for _, b := range append(data.Buttons, data.QuickReplies...) {
		if b.Payload != "" && b.Title != "" {
			all[b.Payload] = b.Title
		}
	}
	return all
}

// typed tells whether a message of a user holds words that somebody wrote or chose.
func typed(m queries.TranscriptMessage, platform bool) bool { return !platform && m.Text != "" }
