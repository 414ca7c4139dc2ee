// Package static holds the assets of the pages: our own style and scripts, and vendored ones.
package static

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strings"
	"sync"
	"time"
)

//go:embed app.css app.js charts.js vendor/htmx.min.js vendor/echarts.min.js vendor/icons.svg vendor/*.woff2 logo.svg
var files embed.FS

type asset struct {
	body, zipped []byte
	kind         string
	hash         string
}

var assets = sync.OnceValue(func() map[string]asset {
	all := map[string]asset{}
	// The files are embedded: reading them cannot fail.
	_ = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, _ error) error {
		if d.IsDir() {
			return nil
		}
		body, _ := files.ReadFile(name)
		sum := sha256.Sum256(body)
		a := asset{body: body, hash: hex.EncodeToString(sum[:6]), kind: mime.TypeByExtension(path.Ext(name))}
		if path.Ext(name) == ".woff2" {
			a.kind = "font/woff2"
		} else {
			var b bytes.Buffer
			z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
			_, _ = z.Write(body) // into memory
			_ = z.Close()
			a.zipped = b.Bytes()
		}
		all[path.Base(name)] = a
		return nil
	})
	return all
})

// URL returns the address of an asset; it changes with its content.
func URL(name string) string {
	a, ok := assets()[name]
	if !ok {
		panic("static: no asset " + name)
	}
	return "/static/" + a.hash + "/" + name
}

// Handler serves /static/{hash}/{name}, for ever cacheable. The style names its fonts relative to itself, so
// they come with its hash.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, name, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/static/"), "/")
		a, found := assets()[name]
		if !ok || !found {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", a.kind)
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Set("Vary", "Accept-Encoding")
		body := a.body
		if a.zipped != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			body = a.zipped
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	})
}

// Script returns the source of a script, for what draws charts outside of a browser.
func Script(name string) string { return string(assets()[name].body) }

// LightColors returns the values that colour tokens such as "--c-1" have on a light ground.
var LightColors = sync.OnceValue(func() map[string]string {
	all := map[string]string{}
	for _, m := range colorToken.FindAllStringSubmatch(string(assets()["app.css"].body), -1) {
		all[m[1]] = m[2]
	}
	return all
})

var colorToken = regexp.MustCompile(`(--[a-z0-9-]+): light-dark\((#[0-9a-f]{6}), #[0-9a-f]{6}\)`)
