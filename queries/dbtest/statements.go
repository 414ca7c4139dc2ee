package dbtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Statements prepares every constant, or element of a list, of the package under test whose name ends in SQL on the
// schema: there are so many at least.
func Statements(t *testing.T, least int) {
	t.Helper()
	pool := Pool(t)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	checked := 0
	for name, sql := range statements(t) {
		rewritten, _, err := named(sql).RewriteQuery(t.Context(), conn.Conn(), sql, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := conn.Conn().Prepare(t.Context(), "", rewritten); err != nil {
			t.Errorf("%s: %v\n%s", name, err, rewritten)
		}
		checked++
	}
	if checked < least {
		t.Errorf("only %d statements were found", checked)
	}
}

// named finds the parameters of a statement.
func named(sql string) pgx.NamedArgs {
	args := pgx.NamedArgs{}
	for _, part := range strings.Split(sql, "@")[1:] {
		end := strings.IndexFunc(part, func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') })
		if end < 0 {
			end = len(part)
		}
		args[part[:end]] = nil
	}
	return args
}

// statements evaluates the string constants of the package under test.
func statements(t *testing.T) map[string]string {
	t.Helper()
	known, found := map[string]string{}, map[string]string{}
	files := sources(t)
	for _, name := range append(files, files...) { // twice: what one refers to may stand in a later file
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		own := !strings.HasPrefix(name, "../")
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			for i, name := range spec.Names {
				if i >= len(spec.Values) {
					continue
				}
				if list, ok := spec.Values[i].(*ast.CompositeLit); ok && strings.HasSuffix(name.Name, "SQL") && own {
					for j, e := range list.Elts {
						found[name.Name+strconv.Itoa(j)] = textOf(e, known)
					}
					continue
				}
				known[name.Name] = textOf(spec.Values[i], known)
				if strings.HasSuffix(name.Name, "SQL") && own {
					found[name.Name] = known[name.Name]
				}
			}
			return true
		})
	}
	return found
}

// textOf is the text that an expression stands for; "" where it is none.
func textOf(e ast.Expr, known map[string]string) string {
	switch x := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(x.Value)
		if err != nil {
			return ""
		}
		return s
	case *ast.BinaryExpr:
		return textOf(x.X, known) + textOf(x.Y, known)
	case *ast.Ident:
		return known[x.Name]
	case *ast.SelectorExpr:
		return known[x.Sel.Name]
	}
	return ""
}

// sources are the files of the package and, before them, of the room above it, whose texts statements share.
func sources(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	base, err := filepath.Glob("../*.go") // texts that statements of rooms below share
	if err != nil {
		t.Fatal(err)
	}
	return append(base, files...)
}
