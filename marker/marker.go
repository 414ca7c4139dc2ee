// Package marker reads Rasa's markers and tells at which events of a conversation they hold. It is pure.
package marker

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"
)

// Definition is a marker as people write it.
type Definition struct {
	Name        string
	Description string
	Config      string // the operator or condition, as JSON
}

// Bounds of what is uploaded.
const (
	MostMarkers    = 200     // of an assistant
	MostParts      = 5000    // operators and conditions of all markers of an assistant
	LongestName    = 255     // bytes; of intents, actions and slots too
	LongestFile    = 1 << 20 // bytes
	deepest        = 20      // operators within operators
	longestText    = 2000    // bytes of a description
	descriptionKey = "description"
)

// The operators and conditions. Those of the second half are the opposite of those of the first.
const (
	opAnd, opOr, opNot, opSeq, opOnce = "and", "or", "not", "seq", "at_least_once"
	opNotAll, opNever                 = "at_least_one_not", "never"
	onAction, onIntent, onSlot        = "action", "intent", "slot_was_set"
	offAction, offIntent, offSlot     = "not_action", "not_intent", "slot_was_not_set"
)

var (
	lists      = []string{opAnd, opNotAll, opOr, opSeq}
	singles    = []string{opNot, opOnce, opNever}
	conditions = []string{onAction, offAction, onIntent, offIntent, onSlot, offSlot}
)

func word(text string) bool {
	return slices.Contains(lists, text) || slices.Contains(singles, text) || slices.Contains(conditions, text)
}

// Parse reads markers as Rasa's own YAML has them: a map of names, each with one operator or condition and perhaps a
// description. They come in the order of their names.
func Parse(text []byte) ([]Definition, error) {
	if len(text) > LongestFile {
		return nil, fmt.Errorf("the file is larger than %d bytes", LongestFile)
	}
	if f, err := parser.ParseBytes(text, 0); err == nil && len(f.Docs) > 1 {
		return nil, fmt.Errorf("the file holds %d documents, divided by ---; markers are one", len(f.Docs))
	}
	var file yaml.MapSlice
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("this is no map of markers: %s", firstLine(err))
	}
	var all []Definition
	parts := 0
	for _, x := range file {
		name, _ := x.Key.(string)
		switch {
		case strings.TrimSpace(name) == "" || len(name) > LongestName || strings.ContainsFunc(name, unicode.IsControl):
			return nil, fmt.Errorf("%.60q is no name of a marker: 1 to %d bytes", fmt.Sprint(x.Key), LongestName)
		case word(name):
			return nil, fmt.Errorf("%q is an operator or a condition, and no name of a marker", name)
		}
		d := Definition{Name: name}
		config, ok := x.Value.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("marker %q: needs one operator or condition", name)
		}
		if said, ok := config[descriptionKey]; ok {
			if d.Description, ok = said.(string); !ok || len(d.Description) > longestText || strings.Contains(d.Description, "\x00") {
				return nil, fmt.Errorf("marker %q: the description is a text of up to %d bytes", name, longestText)
			}
			delete(config, descriptionKey)
		}
		m, err := compile(config, &parts)
		if err != nil {
			return nil, fmt.Errorf("marker %q: %w", name, err)
		}
		b, err := json.Marshal(m.config())
		if err != nil {
			return nil, fmt.Errorf("marker %q: %w", name, err)
		}
		d.Config = string(b)
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b Definition) int { return strings.Compare(a.Name, b.Name) })
	return all, Check(all)
}

// File writes markers as Parse reads them.
func File(all []Definition) (string, error) {
	var file yaml.MapSlice
	for _, d := range all {
		var config map[string]any
		if err := json.Unmarshal([]byte(d.Config), &config); err != nil {
			return "", fmt.Errorf("marker %q: %w", d.Name, err)
		}
		var x yaml.MapSlice
		if d.Description != "" {
			x = append(x, yaml.MapItem{Key: descriptionKey, Value: d.Description})
		}
		for word, parts := range config { // one
			x = append(x, yaml.MapItem{Key: word, Value: parts})
		}
		file = append(file, yaml.MapItem{Key: d.Name, Value: x})
	}
	if len(file) == 0 {
		return "", nil
	}
	b, err := yaml.MarshalWithOptions(file, yaml.IndentSequence(true))
	return string(b), err
}

// Check tells what is wrong with markers that are to be used together: their names, or how many they are.
func Check(all []Definition) error {
	seen, parts := map[string]bool{}, 0
	for _, d := range all {
		m, err := Compile(d.Config)
		if err != nil {
			return fmt.Errorf("marker %q: %w", d.Name, err)
		}
		if parts += m.parts; parts > MostParts {
			return fmt.Errorf("with marker %q there are more than %d operators and conditions", d.Name, MostParts)
		}
		if seen[d.Name] {
			return fmt.Errorf("there are two markers %q", d.Name)
		}
		seen[d.Name] = true
	}
	if len(all) > MostMarkers {
		return fmt.Errorf("there are %d markers; an assistant has at most %d", len(all), MostMarkers)
	}
	return nil
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// node is an operator or a condition with its parts.
type node struct {
	word  string
	name  string // of a condition
	parts []node
	state int // place in the state of the marker; -1 for none
}

// config is what the node was read from.
func (n *node) config() map[string]any {
	if len(n.parts) == 0 {
		return map[string]any{n.word: n.name}
	}
	list := make([]any, len(n.parts))
	for i := range n.parts {
		list[i] = n.parts[i].config()
	}
	return map[string]any{n.word: list}
}

func compile(config map[string]any, parts *int) (*node, error) { return compileAt(config, parts, 1) }

func compileAt(config map[string]any, parts *int, depth int) (*node, error) {
	if len(config) != 1 {
		return nil, fmt.Errorf("has %d operators and conditions where there must be one", len(config))
	}
	if *parts++; *parts > MostParts {
		return nil, fmt.Errorf("with it there are more than %d operators and conditions", MostParts)
	}
	n := &node{state: -1}
	var value any
	for n.word, value = range config { // one
	}
	switch {
	case slices.Contains(conditions, n.word):
		name, ok := value.(string)
		if !ok || name == "" || len(name) > LongestName || strings.ContainsFunc(name, unicode.IsControl) {
			return nil, fmt.Errorf("%s needs a name of up to %d bytes", n.word, LongestName)
		}
		n.name = name
		return n, nil
	case !word(n.word):
		return nil, fmt.Errorf(
			"%.40q is no operator and no condition; there are %s", n.word,
			strings.Join(slices.Concat(lists, singles, conditions), ", "),
		)
	case depth >= deepest:
		return nil, fmt.Errorf("has operators more than %d deep", deepest)
	}
	list, ok := value.([]any)
	switch {
	case !ok || len(list) == 0:
		return nil, fmt.Errorf("%s needs a list of operators and conditions", n.word)
	case slices.Contains(singles, n.word) && len(list) != 1:
		return nil, fmt.Errorf("%s takes one operator or condition, and has %d", n.word, len(list))
	}
	for _, x := range list {
		config, ok := x.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("each of %s needs an operator or a condition with a name", n.word)
		}
		part, err := compileAt(config, parts, depth+1)
		if err != nil {
			return nil, err
		}
		n.parts = append(n.parts, *part)
	}
	return n, nil
}
