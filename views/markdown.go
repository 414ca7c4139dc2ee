package views

import (
	"net/url"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/text"
)

// Markdown is a text of people, read as CommonMark. It is drawn node by node as components that escape; HTML in it is
// text like any other, pictures are links, and links lead only to the web and to mail.
type Markdown struct {
	Kind     string // p, em, strong, code, pre, ul, ol, li, quote, a, br, hr, h, text
	Text     string
	Link     string
	Children []Markdown
}

// ParseMarkdown reads a text.
func ParseMarkdown(source string) Markdown {
	b := []byte(source)
	return markdownOf(goldmark.DefaultParser().Parse(text.NewReader(b)), b)
}

func markdownOf(n ast.Node, source []byte) Markdown {
	if m, ok := leafOf(n, source); ok {
		return m
	}
	m := Markdown{Kind: "p"}
	switch x := n.(type) {
	case *ast.Document:
		m.Kind = "all"
	case *ast.TextBlock:
		m.Kind = "line"
	case *ast.Heading:
		m.Kind = "h"
	case *ast.Emphasis:
		if m.Kind = "em"; x.Level > 1 {
			m.Kind = "strong"
		}
	case *ast.CodeSpan:
		m.Kind = "code"
	case *ast.List:
		if m.Kind = "ul"; x.IsOrdered() {
			m.Kind = "ol"
		}
	case *ast.ListItem:
		m.Kind = "li"
	case *ast.Blockquote:
		m.Kind = "quote"
	case *ast.ThematicBreak:
		m.Kind = "hr"
	case *ast.Link:
		m.Kind, m.Link = "a", webLink(string(x.Destination))
	case *ast.Image:
		m.Kind, m.Link = "a", webLink(string(x.Destination))
	}
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		m.Children = append(m.Children, markdownOf(c, source))
	}
	return m
}

// leafOf is a part of a text that has no parts of its own.
func leafOf(n ast.Node, source []byte) (m Markdown, ok bool) {
	switch x := n.(type) {
	case *ast.FencedCodeBlock, *ast.CodeBlock, *ast.HTMLBlock:
		m.Kind = "pre"
		for i := range n.Lines().Len() {
			line := n.Lines().At(i)
			m.Text += string(line.Value(source))
		}
		return m, true
	case *ast.AutoLink:
		return Markdown{
			Kind: "a", Link: webLink(string(x.URL(source))),
			Children: []Markdown{{Kind: "text", Text: string(x.Label(source))}},
		}, true
	case *ast.RawHTML:
		m.Kind = "text"
		for i := range x.Segments.Len() {
			s := x.Segments.At(i)
			m.Text += string(s.Value(source))
		}
		return m, true
	case *ast.String:
		return Markdown{Kind: "text", Text: string(x.Value)}, true
	case *ast.Text:
		m.Kind, m.Text = "text", string(x.Value(source))
		switch {
		case x.HardLineBreak():
			return Markdown{Kind: "line", Children: []Markdown{m, {Kind: "br"}}}, true
		case x.SoftLineBreak():
			m.Text += "\n"
		}
		return m, true
	}
	return m, false
}

// webLink returns the address if it leads to the web or to mail, else "".
func webLink(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "mailto" {
		return ""
	}
	return u.String()
}
