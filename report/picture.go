package report

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dop251/goja"
	"github.com/srwiley/oksvg"
	"github.com/srwiley/rasterx"
	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"turnwise/charts"
	"turnwise/dashboard"
	"turnwise/static"
)

// pictureTimeout bounds how long a chart may take to be drawn.
const pictureTimeout = 20 * time.Second

// pictureScale is how many pixels of the picture make one of the page.
const pictureScale = 2

var scripts = sync.OnceValue(func() [2]*goja.Program {
	return [2]*goja.Program{
		goja.MustCompile("echarts.js", static.Script("echarts.min.js"), false),
		goja.MustCompile("charts.js", static.Script("charts.js"), false),
	}
})

// drawers keeps an engine, which draws one chart at a time: to make one takes seconds. Where more are needed at once,
// they go again.
var drawers = make(chan *drawer, 1)

func takeDrawer() (*drawer, error) {
	select {
	case d := <-drawers:
		return d, nil
	default:
		return newDrawer()
	}
}

// drawer runs the pages' own chart script, so that a picture is what the page shows.
type drawer struct {
	vm   *goja.Runtime
	draw goja.Callable
}

// drawText is what is asked of the script: its option, drawn as SVG. Quotes in the font's name would break attributes.
const drawText = `(spec, width, height) => {
	const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width, height });
	try {
		chart.setOption(turnwiseOption(JSON.parse(spec), colorOf));
		return chart.renderToSVGString().replaceAll('"IBM Plex Sans", system-ui, sans-serif', "Plex");
	} finally { chart.dispose(); }
}`

func newDrawer() (*drawer, error) {
	d := &drawer{vm: goja.New()}
	colors := static.LightColors()
	faces := newFaces(1)
	for name, v := range map[string]any{
		"colorOf":      func(token string) string { return colors[token] },
		"setTimeout":   func() int { return 0 },
		"clearTimeout": func() {},
		"widthOf":      func(text, font string) float64 { return faces.width(text, fontSize(font)) },
		"self":         d.vm.GlobalObject(),
		"console":      map[string]any{"log": func() {}, "warn": func() {}, "error": func() {}},
	} {
		if err := d.vm.Set(name, v); err != nil {
			return nil, err
		}
	}
	for _, p := range scripts() {
		if _, err := d.vm.RunProgram(p); err != nil {
			return nil, fmt.Errorf("chart script: %w", err)
		}
	}
	v, err := d.vm.RunString(
		`echarts.setPlatformAPI({ measureText: (text, font) => ({ width: widthOf(String(text), String(font)) }) });` +
			drawText,
	)
	if err != nil {
		return nil, err
	}
	var ok bool
	if d.draw, ok = goja.AssertFunction(v); !ok {
		return nil, errors.New("chart script: it cannot be called")
	}
	return d, nil
}

// PictureWidth is how wide pictures are drawn, in pixels of the page.
const PictureWidth = 640

// pictureHeight is how high a chart is drawn.
func pictureHeight(c *dashboard.Chart) int {
	if c.Kind == dashboard.Heat {
		return 40 + 24*len(c.Series)
	}
	return 200
}

func lightColor(token string) string { return static.LightColors()[token] }

var sizeInFont = regexp.MustCompile(`(\d+(?:\.\d+)?)px`)

func fontSize(font string) float64 {
	if m := sizeInFont.FindStringSubmatch(font); m != nil {
		if size, err := strconv.ParseFloat(m[1], 64); err == nil {
			return size
		}
	}
	return 11
}

// Picture draws a chart as a PNG, of so many pixels of the page in width and height.
func Picture(ctx context.Context, c *dashboard.Chart, width, height int) ([]byte, error) {
	return unhurried(func() ([]byte, error) { return picture(ctx, c, width, height) })
}

func picture(ctx context.Context, c *dashboard.Chart, width, height int) ([]byte, error) {
	narrow := *c
	narrow.Wide = false // markers' names need room
	svg, err := drawSVG(ctx, &narrow, width, height)
	if err != nil {
		return nil, fmt.Errorf("draw %s: %w", c.ID, err)
	}
	img, err := raster(svg, width, height)
	if err != nil {
		return nil, fmt.Errorf("draw %s: %w", c.ID, err)
	}
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, img); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func drawSVG(ctx context.Context, c *dashboard.Chart, width, height int) (string, error) {
	spec, err := json.Marshal(charts.Draw(c))
	if err != nil {
		return "", err
	}
	d, err := takeDrawer()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, pictureTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { d.vm.Interrupt(ctx.Err()) })
	v, err := d.draw(goja.Undefined(), d.vm.ToValue(string(spec)), d.vm.ToValue(width), d.vm.ToValue(height))
	if !stop() || err != nil { // an engine that was interrupted is not used again
		return "", errors.Join(err, ctx.Err())
	}
	select {
	case drawers <- d:
	default:
	}
	return v.String(), nil
}

// raster draws an SVG of ECharts: shapes by oksvg, which knows no text, and texts above them.
func raster(svg string, width, height int) (*image.RGBA, error) {
	shapes, texts, err := split(svg)
	if err != nil {
		return nil, err
	}
	icon, err := oksvg.ReadIconStream(strings.NewReader(shapes), oksvg.IgnoreErrorMode)
	if err != nil {
		return nil, err
	}
	w, h := width*pictureScale, height*pictureScale
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(img, img.Bounds(), image.White, image.Point{}, draw.Src)
	icon.SetTarget(0, 0, float64(w), float64(h))
	icon.Draw(rasterx.NewDasher(w, h, newScanner(img)), 1)
	faces := newFaces(pictureScale)
	for _, t := range texts {
		faces.draw(img, t)
	}
	return img, nil
}

// label is a text of a picture.
type label struct {
	text   string
	x, y   float64 // of the anchor, at the middle of its height
	anchor string  // start, middle or end
	size   float64
	color  color.Color
}

var translated = regexp.MustCompile(`translate\(([-\d.e]+)[ ,]+([-\d.e]+)\)`)

// split takes the texts out of an SVG. None is turned: the charts have no slanted labels.
func split(svg string) (shapes string, texts []label, err error) {
	var out strings.Builder
	in := xml.NewDecoder(strings.NewReader(svg))
	enc := xml.NewEncoder(&out)
	for {
		token, err := in.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", nil, err
		}
		start, ok := token.(xml.StartElement)
		if ok && start.Name.Local == "text" {
			l, err := labelOf(in, start)
			if err != nil {
				return "", nil, err
			}
			texts = append(texts, l)
			continue
		}
		if ok { // names of spaces are written again by the encoder
			kept := start.Attr[:0]
			for _, a := range start.Attr {
				if a.Name.Space == "" && a.Name.Local != "xmlns" && a.Name.Local != "class" {
					kept = append(kept, a)
				}
			}
			start.Attr = kept
			token = start
		}
		if err := enc.EncodeToken(token); err != nil {
			return "", nil, err
		}
	}
	err = enc.Flush()
	return out.String(), texts, err
}

// labelOf reads a text of a picture, up to its end.
func labelOf(in *xml.Decoder, start xml.StartElement) (l label, err error) {
	l = label{anchor: "start", size: 11, color: color.Black}
	var dy float64
	for _, a := range start.Attr {
		switch a.Name.Local {
		case "text-anchor":
			l.anchor = a.Value
		case "x", "y":
			v, err := strconv.ParseFloat(a.Value, 64)
			if err != nil {
				return l, err
			}
			if a.Name.Local == "x" {
				l.x += v
			} else {
				dy = v
			}
		case "style":
			l.size = fontSize(a.Value)
		case "fill":
			if l.color, err = oksvg.ParseSVGColor(a.Value); err != nil {
				return l, err
			}
		case "transform":
			if m := translated.FindStringSubmatch(a.Value); m != nil {
				x, _ := strconv.ParseFloat(m[1], 64) // the pattern saw to it
				y, _ := strconv.ParseFloat(m[2], 64)
				l.x, l.y = l.x+x, l.y+y
			}
		}
	}
	l.y += dy
	for { // its text, up to its end
		token, err := in.RawToken()
		if err != nil {
			return l, err
		}
		if text, ok := token.(xml.CharData); ok {
			l.text += string(text)
		}
		if end, ok := token.(xml.EndElement); ok && end.Name.Local == "text" {
			return l, nil
		}
	}
}

// faces are the fonts in the sizes that a picture has.
type faces struct {
	scale float64
	known map[faceKey]font.Face
}

type faceKey struct {
	font *typeface
	size float64
}

func newFaces(scale float64) *faces { return &faces{scale, map[faceKey]font.Face{}} }

func (f *faces) of(t *typeface, size float64) font.Face {
	k := faceKey{t, size}
	if f.known[k] == nil {
		face, err := opentype.NewFace(t.sfnt, &opentype.FaceOptions{
			Size: size * f.scale, DPI: 72, Hinting: font.HintingNone,
		})
		if err != nil {
			panic("report: font " + t.name + ": " + err.Error()) // it is part of the program
		}
		f.known[k] = face
	}
	return f.known[k]
}

// width returns a text's width in pixels of the picture.
func (f *faces) width(text string, size float64) (w float64) {
	for _, r := range runs(text, regular()) {
		w += float64(font.MeasureString(f.of(r.font, size), r.text)) / 64
	}
	return w
}

func (f *faces) draw(img draw.Image, l label) {
	x, w := l.x*f.scale, f.width(l.text, l.size)
	switch l.anchor {
	case "middle":
		x -= w / 2
	case "end":
		x -= w
	}
	// Texts stand on their middle: the height of capitals is 0.7 of the size.
	y := (l.y + l.size*0.35) * f.scale
	for _, r := range runs(l.text, regular()) {
		d := font.Drawer{
			Dst: img, Src: image.NewUniform(l.color), Face: f.of(r.font, l.size),
			Dot: fixed.Point26_6{X: fixed.Int26_6(x * 64), Y: fixed.Int26_6(y * 64)},
		}
		d.DrawString(r.text)
		x += float64(d.Dot.X)/64 - x
	}
}
