package report

import (
	"bytes"
	"compress/gzip"
	_ "embed" // of fonts
	"fmt"
	"io"
	"sync"

	"golang.org/x/image/font/sfnt"
)

// The fonts of pictures and PDF: the pages' own, and those for scripts that it has not.
var (
	//go:embed fonts/ibm-plex-sans-400.ttf
	plexRegular []byte
	//go:embed fonts/ibm-plex-sans-600.ttf
	plexBold []byte
	//go:embed fonts/dejavu-sans.ttf
	dejavu []byte
	//go:embed fonts/noto-sans-sc.ttf.gz
	notoPacked []byte
)

// typeface is a font with its name in PDFs.
type typeface struct {
	name string
	ttf  []byte
	sfnt *sfnt.Font
}

func newTypeface(name string, ttf []byte) *typeface {
	f, err := sfnt.Parse(ttf)
	if err != nil {
		panic(fmt.Sprintf("report: font %s: %v", name, err)) // it is part of the program
	}
	return &typeface{name, ttf, f}
}

// has tells whether the font can show a character.
func (f *typeface) has(r rune) bool {
	var b sfnt.Buffer
	i, err := f.sfnt.GlyphIndex(&b, r)
	return err == nil && i != 0
}

var (
	regular = sync.OnceValue(func() *typeface { return newTypeface("plex", plexRegular) })
	bold    = sync.OnceValue(func() *typeface { return newTypeface("plex-bold", plexBold) })
	second  = sync.OnceValue(func() *typeface { return newTypeface("dejavu", dejavu) })
	third   = sync.OnceValue(func() *typeface {
		z, err := gzip.NewReader(bytes.NewReader(notoPacked))
		if err != nil {
			panic("report: font noto: " + err.Error())
		}
		ttf, err := io.ReadAll(z)
		if err != nil {
			panic("report: font noto: " + err.Error())
		}
		return newTypeface("noto", ttf)
	})
)

// run is a stretch of text that one font can show.
type run struct {
	font *typeface
	text string
}

// runs divides a text by the fonts that can show it, the first of which is the wanted one. What none can show becomes a
// box.
func runs(text string, wanted *typeface) (all []run) {
	var current []rune
	var last *typeface
	flush := func() {
		if len(current) > 0 {
			all = append(all, run{last, string(current)})
			current = current[:0]
		}
	}
	for _, r := range text {
		f := wanted
		if r > '~' && !wanted.has(r) {
			switch {
			case r == 0x200b, r == 0x200d, r == 0xfe0f: // joiners of what none of the fonts joins
				continue
			case second().has(r):
				f = second()
			case third().has(r):
				f = third()
			default:
				r = '□'
				f = second()
			}
		}
		if f != last {
			flush()
			last = f
		}
		current = append(current, r)
	}
	flush()
	return all
}
