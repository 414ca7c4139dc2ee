package web_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestClear: personal data are read in the clear in these functions alone. One that is added is looked at first: who
// may see what it shows, and which audit entry says that they did?
func TestClear(t *testing.T) {
	t.Parallel()
	want := []string{
		"dashboard.Newest", // the day of a conversation
		"dashboard.Open",   // masks, or it is revealed, which is in the audit log
		"web.bodies",       // rejected events, for who mends them
		"web.eventsJSON",   // masks bodies as a whole
		"web.listUsers",    // masks names once the way to the next page is made
		"web.markMessage",  // how a message is marked
		"web.neighbours",   // the ids of conversations
		"web.notes",        // compares notes: one that is masked is not edited
		"web.personOf",     // the person who asks for a file or to be erased
		"web.showWebhook",  // masks bodies as a whole
		"web.tagOne",       // the tags that a conversation has
	}
	var got []string
	for _, room := range []string{"../dashboard", "../analytics", "api", "."} {
		files, err := filepath.Glob(filepath.Join(room, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, src, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				ast.Inspect(fn, func(n ast.Node) bool {
					s, ok := n.(*ast.SelectorExpr)
					if !ok || s.Sel.Name != "Clear" {
						return true
					}
					if x, ok := s.X.(*ast.Ident); ok && x.Name == "queries" {
						got = append(got, f.Name.Name+"."+fn.Name.Name)
					}
					return true
				})
			}
		}
	}
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("personal data are read in the clear in\n%s\nnot in\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
