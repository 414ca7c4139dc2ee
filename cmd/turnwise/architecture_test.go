package main

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestArchitecture: the map of docs/architecture.md is what the code imports, and the tests that it names are there.
func TestArchitecture(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	told := map[string][]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z/]+)` \\|.*\\|(.*)\\|$").FindAllStringSubmatch(doc, -1) {
		told[row[1]] = []string{}
		for _, m := range regexp.MustCompile("`([a-z/]+)`").FindAllStringSubmatch(row[2], -1) {
			told[row[1]] = append(told[row[1]], m[1])
		}
		if strings.TrimSpace(row[2]) == "any" {
			told[row[1]] = nil
		}
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	list.Dir = "../.."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		room := strings.TrimPrefix(fields[0], "turnwise/")
		// tools, and what tests need
		if strings.HasPrefix(room, "scripts/") || room == "ingest/brokertest" || room == "ingest/feedtest" || room == "jobs/posttest" {
			continue
		}
		may, ok := told[room]
		if !ok {
			t.Errorf("the map does not know %s", room)
		}
		delete(told, room)
		if may == nil {
			continue
		}
		var uses []string
		for _, path := range fields[1:] {
			if inner, ours := strings.CutPrefix(path, "turnwise/"); ours {
				uses = append(uses, inner)
			}
		}
		slices.Sort(uses)
		slices.Sort(may)
		if !slices.Equal(uses, may) {
			t.Errorf("%s imports\n%v, the map says\n%v", room, uses, may)
		}
	}
	for room := range told {
		t.Errorf("there is no room %s", room)
	}
	named := regexp.MustCompile("`(Test[A-Z]\\w*)`").FindAllStringSubmatch(doc, -1)
	found := exec.CommandContext(t.Context(), "grep", "-rhoE", `^func Test\w+`, "--include=*_test.go", ".")
	found.Dir = "../.."
	if out, err = found.Output(); err != nil {
		t.Fatal(err)
	}
	for _, m := range named {
		if !regexp.MustCompile(`(?m)^func ` + m[1] + `$`).Match(out) {
			t.Errorf("there is no %s", m[1])
		}
	}
	for _, m := range regexp.MustCompile("`([a-z]+/[a-z_/]+\\.(?:go|js|sql|md))`").FindAllStringSubmatch(doc, -1) {
		if _, err := os.Stat("../../" + m[1]); err != nil {
			t.Errorf("there is no %s", m[1])
		}
	}
}
