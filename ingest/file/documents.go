package file

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// deepest bounds how often what holds events is held by something itself.
const deepest = 5

// unpack takes apart what holds events: a tracker document, alone or wrapped; a row of a table with the event in a
// column; a message with the event in its payload; a line of an export. An item that holds none is returned as it is,
// ok = false.
func unpack(it Item, depth int) (items []Item, ok bool) {
	if len(it.Body) == 0 || it.Body[0] != '{' || looksLikeEvent(it.Body) || depth > deepest {
		return nil, false
	}
	var doc document
	if json.Unmarshal(it.Body, &doc) != nil {
		return nil, false
	}
	if plain, typed := doc.untyped(); typed {
		doc = plain
		it.Body, _ = json.Marshal(doc) // what was read is written
	}
	if event, ok := object(doc["event"]); ok && doc["sender_id"] != nil { // kairon's
		it.Body = WithSender(event, doc["sender_id"])
		return []Item{it}, true
	}
	if doc["event"] != nil {
		return nil, false
	}
	switch {
	case doc["events"] != nil:
		return tracker(it, doc, nil)
	case doc["tracker"] != nil:
		var inner document
		if json.Unmarshal(doc["tracker"], &inner) != nil || inner["events"] == nil {
			return nil, false
		}
		return tracker(it, inner, doc)
	case doc["conversations"] != nil:
		return elements(it, doc["conversations"], depth)
	case doc["Items"] != nil: // of aws dynamodb scan
		return elements(it, doc["Items"], depth)
	case doc["Item"] != nil && len(doc) <= 3: // a line of an export of DynamoDB
		return elements(it, []byte("["+string(doc["Item"])+"]"), depth)
	case doc["payload"] != nil && (doc["topic"] != nil || doc["payload_encoding"] != nil):
		return message(it, doc, depth)
	case doc["data"] != nil && doc["sender_id"] != nil:
		event, ok := object(doc["data"])
		if !ok || doc["conversation_id"] != nil && doc["type"] != nil {
			return nil, ok // kairon's summary of a turn, of which its events tell
		}
		it.Body = WithSender(event, doc["sender_id"])
		return []Item{it}, true
	case doc["event_id"] != nil && doc["sender_key"] != nil && doc["body"] != nil:
		event, ok := object(doc["body"])
		if !ok {
			return nil, false
		}
		it.Body = event
		_ = json.Unmarshal(doc["assistant"], &it.Assistant) // what is no text says nothing
		_ = json.Unmarshal(doc["environment"], &it.Environment)
		return []Item{it}, true
	case len(doc) == 1 && doc["about"] != nil: // the first line of an export
		return nil, true
	}
	return nil, false
}

type document map[string]json.RawMessage

// elements takes apart what is in a list. ok = false where there is nothing that holds events.
func elements(it Item, list json.RawMessage, depth int) (all []Item, ok bool) {
	var docs []json.RawMessage
	if json.Unmarshal(list, &docs) != nil {
		return nil, false
	}
	for i, d := range docs {
		one := it
		one.Body, one.Position = d, fmt.Sprintf("%s, element %d", it.Position, i)
		items, held := unpack(one, depth+1)
		if !held {
			items = []Item{one}
		}
		ok = ok || held
		all = append(all, items...)
	}
	return all, ok || looksLikeEvents(docs)
}

func looksLikeEvents(docs []json.RawMessage) bool {
	return len(docs) > 0 && looksLikeEvent(docs[0])
}

// message is one of a broker, as kcat -J and the page of RabbitMQ write it.
func message(it Item, doc document, depth int) ([]Item, bool) {
	var text, encoding string
	if json.Unmarshal(doc["payload"], &text) != nil {
		return nil, false
	}
	_ = json.Unmarshal(doc["payload_encoding"], &encoding) // absent: text
	if encoding == "base64" {
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, false
		}
		text = string(b)
	}
	var properties struct {
		Environment string `json:"app_id"`
	}
	_ = json.Unmarshal(doc["properties"], &properties) // absent, or [] where there are none
	it.Environment = properties.Environment
	var headers []string // each name is followed by its value
	_ = json.Unmarshal(doc["headers"], &headers)
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == headerEnvironment {
			it.Environment = headers[i+1]
		}
	}
	it.Body = []byte(strings.TrimSpace(text))
	if items, ok := unpack(it, depth+1); ok {
		return items, true
	}
	return []Item{it}, true
}

// headerEnvironment is the header in which Rasa tells Kafka its environment.
const headerEnvironment = "RASA_ENVIRONMENT"

// object returns a JSON object that a member holds, as it is or as text.
func object(raw json.RawMessage) ([]byte, bool) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		raw = json.RawMessage(text)
	}
	raw = bytes.TrimSpace(raw)
	return raw, len(raw) > 0 && raw[0] == '{'
}

// tracker takes a tracker document apart: its events get its sender. Of what Redis and DynamoDB keep the name is the
// sender; a document of Botfront's that holds a tracker has the sender as its id.
func tracker(it Item, doc, around document) ([]Item, bool) {
	var events []json.RawMessage
	if json.Unmarshal(doc["events"], &events) != nil || events == nil {
		return nil, false
	}
	var sender json.RawMessage
	for _, of := range []json.RawMessage{doc["sender_id"], doc["name"], around["sender_id"], around["_id"]} {
		if len(of) > 0 && (of[0] == '"' || of[0] >= '0' && of[0] <= '9') {
			sender = of
			break
		}
	}
	items := make([]Item, len(events))
	for i, e := range events {
		one := it
		one.Body, one.Position, one.Part = e, fmt.Sprintf("%s, event %d", it.Position, i), 1
		if sender != nil {
			one.Body = WithSender(e, sender)
		}
		items[i] = one
	}
	return items, true
}

// looksLikeEvent spares events the search for what holds others: they name their type early.
func looksLikeEvent(body []byte) bool {
	head := body[:min(len(body), 300)]
	if bytes.Contains(head, []byte(`"data":`)) && bytes.Contains(head, []byte(`"type":`)) &&
		!bytes.Contains(head, []byte(`"sender_id"`)) && !bytes.Contains(head, []byte(`"payload"`)) { // a neutral one
		return true
	}
	at := bytes.Index(head, []byte(`"event":`))
	if at < 0 || bytes.Contains(head, []byte(`"events"`)) || bytes.Contains(head, []byte(`"slots"`)) {
		return false
	}
	before, value := head[:at], bytes.TrimLeft(head[at+len(`"event":`):], " \t\r\n")
	return len(value) > 0 && value[0] == '"' && !bytes.Contains(before, []byte(`"data"`)) &&
		!bytes.Contains(before, []byte(`"body"`)) && !bytes.Contains(before, []byte(`"tracker"`)) &&
		!bytes.Contains(before, []byte(`"payload"`))
}

// WithSender puts sender_id first into an event that has none.
func WithSender(event, sender json.RawMessage) []byte {
	event = bytes.TrimSpace(event)
	if len(event) == 0 || event[0] != '{' {
		return event
	}
	if bytes.Contains(event, []byte(`"sender_id"`)) {
		var has struct {
			SenderID json.RawMessage `json:"sender_id"`
		}
		if json.Unmarshal(event, &has) == nil && has.SenderID != nil {
			return event
		}
	}
	out := append(append([]byte(`{"sender_id":`), sender...), ',')
	rest := bytes.TrimSpace(event[1:])
	if len(rest) > 0 && rest[0] == '}' {
		out = out[:len(out)-1]
	}
	return append(out, rest...)
}

// untyped returns a document that DynamoDB wrote, in which each value names its type, as plain JSON.
func (doc document) untyped() (document, bool) {
	if len(doc) == 0 {
		return nil, false
	}
	plain := make(document, len(doc))
	for name, v := range doc {
		value, ok := untyped(v)
		if !ok {
			return nil, false
		}
		plain[name] = value
	}
	return plain, true
}

func untyped(v json.RawMessage) (json.RawMessage, bool) {
	var typed document
	if json.Unmarshal(v, &typed) != nil || len(typed) != 1 {
		return nil, false
	}
	for kind, value := range typed {
		switch kind {
		case "S", "BOOL", "B", "SS", "BS":
			return value, true
		case "NULL":
			return json.RawMessage("null"), true
		case "N":
			return number(value)
		case "NS", "L":
			return list(value, kind == "NS")
		case "M":
			var inner document
			if json.Unmarshal(value, &inner) != nil {
				return nil, false
			}
			if len(inner) == 0 {
				return json.RawMessage("{}"), true
			}
			plain, ok := inner.untyped()
			if !ok {
				return nil, false
			}
			b, err := json.Marshal(plain)
			return b, err == nil
		}
	}
	return nil, false
}

// number is one that is written as a text.
func number(v json.RawMessage) (json.RawMessage, bool) {
	var text string
	if json.Unmarshal(v, &text) != nil || !json.Valid([]byte(text)) || text[0] != '-' && (text[0] < '0' || text[0] > '9') {
		return nil, false
	}
	return json.RawMessage(text), true
}

func list(v json.RawMessage, numbers bool) (json.RawMessage, bool) {
	var all []json.RawMessage
	if json.Unmarshal(v, &all) != nil {
		return nil, false
	}
	plain := make([]json.RawMessage, len(all))
	for i, x := range all {
		var ok bool
		if plain[i], ok = number(x); numbers && !ok {
			return nil, false
		}
		if numbers {
			continue
		}
		if plain[i], ok = untyped(x); !ok {
			return nil, false
		}
	}
	b, err := json.Marshal(plain)
	return b, err == nil
}
