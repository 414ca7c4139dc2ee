package main

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"testing"
)

// TestEmptyEnvironment holds that a variable that is set to nothing is as one that is not set, for every flag.
func TestEmptyEnvironment(t *testing.T) {
	parsed := func() cli {
		c := cli{stdout: io.Discard, stderr: io.Discard}
		parser, err := c.parser(func() {})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse([]string{"serve"}); err != nil {
			t.Fatal(err)
		}
		c.stdout, c.stderr = nil, nil
		return c
	}
	want := parsed()
	source, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range source {
		if f.IsDir() {
			continue
		}
		text, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("env:\"([A-Z_,]+)\"").FindAllStringSubmatch(string(text), -1) {
			for _, name := range regexp.MustCompile("[A-Z_]+").FindAllString(m[1], -1) {
				names[name] = true
			}
		}
	}
	if len(names) < 40 {
		t.Fatalf("%d variables were found", len(names))
	}
	for name := range names {
		t.Setenv(name, "")
	}
	if got, want := fmt.Sprintf("%+v", parsed()), fmt.Sprintf("%+v", want); got != want {
		t.Errorf("with empty variables %s\nwant %s", got, want)
	}
	t.Setenv("TURNWISE_DATA_DIR", "/tmp/somewhere")
	if got := parsed(); got.DataDir != "/tmp/somewhere" {
		t.Errorf("data in %q", got.DataDir)
	}
}
