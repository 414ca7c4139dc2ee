// Command sbom writes the bill of materials of a built program as CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/)
// to standard output: the modules that its linker noted in it, and the front-end packages that static/vendor.sh pins.
package main

import (
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
)

type component struct {
	Type    string `json:"type"`
	Ref     string `json:"bom-ref,omitempty"`
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	PURL    string `json:"purl,omitempty"` // https://github.com/package-url/purl-spec
	Hashes  []hash `json:"hashes,omitempty"`
}

type hash struct {
	Alg     string `json:"alg"`
	Content string `json:"content"` // hexadecimal
}

type document struct {
	Format     string      `json:"bomFormat"`
	Spec       string      `json:"specVersion"`
	Version    int         `json:"version"`
	Metadata   metadata    `json:"metadata"`
	Components []component `json:"components"`
}

type metadata struct {
	Timestamp string    `json:"timestamp"`
	Component component `json:"component"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

// packaged is a line of static/vendor.sh: name, version and SHA-512 in base64.
var packaged = regexp.MustCompile(`(?m)^package (\S+) (\S+) '?([A-Za-z0-9+/=]+)'?`)

func run() error {
	if len(os.Args) != 4 {
		return fmt.Errorf("usage: sbom PROGRAM VERSION static/vendor.sh")
	}
	info, err := buildinfo.ReadFile(os.Args[1])
	if err != nil {
		return err
	}
	script, err := os.ReadFile(os.Args[3])
	if err != nil {
		return err
	}
	d := document{
		Format: "CycloneDX", Spec: "1.6", Version: 1,
		Metadata: metadata{
			time.Now().UTC().Format(time.RFC3339),
			component{Type: "application", Ref: "turnwise", Name: "turnwise", Version: os.Args[2]},
		},
		Components: []component{
			{
				Type: "library", Ref: "std", Name: "std", Version: strings.TrimPrefix(info.GoVersion, "go"),
				PURL: "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go"),
			},
		},
	}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		purl := "pkg:golang/" + strings.ToLower(m.Path) + "@" + m.Version
		d.Components = append(d.Components, component{
			Type: "library", Ref: purl, Name: m.Path, Version: m.Version, PURL: purl,
		})
	}
	for _, p := range packaged.FindAllStringSubmatch(string(script), -1) {
		sum, err := base64.StdEncoding.DecodeString(p[3])
		if err != nil {
			return fmt.Errorf("%s: %w", p[1], err)
		}
		purl := "pkg:npm/" + strings.Replace(p[1], "@", "%40", 1) + "@" + p[2]
		d.Components = append(d.Components, component{
			Type: "library", Ref: purl, Name: p[1], Version: p[2], PURL: purl,
			Hashes: []hash{{"SHA-512", hex.EncodeToString(sum)}},
		})
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "\t")
	return out.Encode(d)
}
