package views

import (
	"context"
	"io"
	"net/url"
	"strings"

	"github.com/a-h/templ"

	"turnwise/conversation"
	"turnwise/dashboard"
	"turnwise/search"
)

// marked is a text in which the hits of a search are marked. It adds no white space, which transcripts show.
func marked(class, text string, hits []search.Span) templ.Component {
	return templ.ComponentFunc(func(ctx context.Context, w io.Writer) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if len(hits) == 0 {
			text = Seen(text)
		}
		var b strings.Builder
		b.WriteString(`<span dir="auto" class="` + class + `">`)
		at := 0
		for _, h := range hits {
			b.WriteString(templ.EscapeString(text[at:h.Start]))
			b.WriteString(`<mark class="hit">` + templ.EscapeString(text[h.Start:h.End]) + `</mark>`)
			at = h.End
		}
		b.WriteString(templ.EscapeString(text[at:]) + `</span>`)
		_, err := io.WriteString(w, b.String())
		return err
	})
}

// TagMark is a tag as lists show it.
type TagMark struct {
	Name  string
	Color int16
}

// Column is one of the list, with the addresses that show or hide it and move it.
type Column struct {
	Key, Label string
	Class      string // of its width
	Title      string
	Shown      bool
	Toggle     string
	Left       string // address that moves it to the left; "" at the edge
}

// Columns lists what the list may show, in the order in which it offers them. The first message always stands.
var Columns = []Column{
	{Key: "started", Label: "Started", Class: "c-time"},
	{Key: "outcome", Label: "Outcome", Class: "c-outcome"},
	{Key: "first", Label: "First message"},
	{Key: "review", Label: "Review", Class: "c-review"},
	{Key: "tags", Label: "Tags", Class: "c-flow"},
	{Key: "flows", Label: "Flows", Class: "c-flow"},
	{Key: "assistant", Label: "Assistant", Class: "c-bot"},
	{Key: "environment", Label: "Environment", Class: "c-bot"},
	{Key: "channel", Label: "Channel", Class: "c-short"},
	{Key: "version", Label: "Version", Class: "c-version"},
	{Key: "messages", Label: "Messages", Class: "c-num", Title: "Messages of the user"},
	{Key: "turns", Label: "Turns", Class: "c-num"},
	{Key: "duration", Label: "Duration", Class: "c-duration"},
	{Key: "response", Label: "Response", Class: "c-num", Title: "Median response time"},
	{Key: "csat", Label: "CSAT", Class: "c-csat"},
	{Key: "escalated", Label: "Escalated", Class: "c-num"},
}

// DefaultColumns are shown to who has not chosen.
var DefaultColumns = []string{
	"started", "outcome", "first", "flows", "assistant", "channel", "version", "messages", "duration", "response",
	"csat", "review",
}

// SearchColumns are shown to who searches and has not chosen: they leave room to what was found.
var SearchColumns = []string{
	"started", "outcome", "first", "flows", "assistant", "channel", "messages", "csat", "review",
}

// number tells a column of numbers.
func (c Column) number() bool {
	switch c.Key {
	case "messages", "turns", "duration", "response":
		return true
	}
	return false
}

// Strip is the volume above the list: bars that narrow it.
type Strip struct {
	Bars    []StripBar
	Most    int64
	Spans   string // what a bar stands for
	Total   int64
	Heading string
}

// StripBar is one of them.
type StripBar struct {
	dashboard.Tick
	N    int64
	Link string
}

// ViewLink is a saved view in the menu.
type ViewLink struct {
	ID, Name, By, Link string
	Shared, Mine       bool
	Current            bool
}

// SavedViews is the menu of views.
type SavedViews struct {
	All      []ViewLink
	Current  *ViewLink // the one that the address names
	Changed  bool      // what is shown is no longer what it keeps
	MayShare bool
	Query    string // what would be kept
	Columns  string
	Order    string
	Missing  []string // what it asks for that no longer exists, each as a sentence
}

// BulkChoice is what may be done to those that are selected.
type BulkChoice struct {
	Tags       []TagChoice
	Colleagues []Person
	Query      string // of the filter
	Total      int64
	More       bool
	Most       int
	Lead       bool // may make a queue
}

// TagChoice is a tag to choose.
type TagChoice struct {
	ID, Name, Assistant, Description string
	Color                            int16
	Has                              bool
}

// Person is a colleague to choose.
type Person struct{ ID, Name string }

// RowWork is what reviewers made of a row's conversation.
type RowWork struct {
	State  string
	Rating int16
	Tags   []TagMark
	Notes  int64
}

// Hit is where a search hits a row's conversation.
type Hit struct {
	Message conversation.UUID
	Text    string
	Spans   []search.Span
}

// query escapes a value of a query.
func query(v string) string { return url.QueryEscape(v) }
