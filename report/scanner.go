package report

import (
	"image"

	"github.com/srwiley/rasterx"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
)

// scanner fills paths as rasterx's does, but looks at the pixels around each path alone instead of all of the image's
// for each.
type scanner struct {
	*rasterx.ScannerGV // holds color, clip and target
	steps              []step
	box                fixed.Rectangle26_6 // of the steps
	r                  vector.Rasterizer
}

// step is a point of a path, or where one starts.
type step struct {
	at    fixed.Point26_6
	start bool
}

func newScanner(img *image.RGBA) *scanner {
	size := img.Bounds().Size()
	s := &scanner{ScannerGV: rasterx.NewScannerGV(size.X, size.Y, img, img.Bounds())}
	s.Clear()
	return s
}

func (s *scanner) add(at fixed.Point26_6, start bool) {
	if len(s.steps) == 0 {
		s.box = fixed.Rectangle26_6{Min: at, Max: at}
	}
	s.box.Min.X, s.box.Min.Y = min(s.box.Min.X, at.X), min(s.box.Min.Y, at.Y)
	s.box.Max.X, s.box.Max.Y = max(s.box.Max.X, at.X), max(s.box.Max.Y, at.Y)
	s.steps = append(s.steps, step{at, start})
}

// Start starts a path.
func (s *scanner) Start(at fixed.Point26_6) { s.add(at, true) }

// Line goes on with it.
func (s *scanner) Line(to fixed.Point26_6) { s.add(to, false) }

// GetPathExtent is where the paths lie.
func (s *scanner) GetPathExtent() fixed.Rectangle26_6 { return s.box }

// Clear forgets the paths.
func (s *scanner) Clear() {
	s.steps, s.box = s.steps[:0], fixed.Rectangle26_6{}
}

// Draw fills the paths.
func (s *scanner) Draw() {
	box := image.Rect(
		s.box.Min.X.Floor(), s.box.Min.Y.Floor(), s.box.Max.X.Ceil()+1, s.box.Max.Y.Ceil()+1,
	).Intersect(s.Dest.Bounds())
	if len(s.steps) == 0 || box.Empty() {
		return
	}
	s.r.Reset(box.Dx(), box.Dy())
	for _, p := range s.steps {
		x, y := float32(p.at.X)/64-float32(box.Min.X), float32(p.at.Y)/64-float32(box.Min.Y)
		if p.start {
			s.r.MoveTo(x, y)
		} else {
			s.r.LineTo(x, y)
		}
	}
	s.r.Draw(s.Dest, box, s.Source, s.Offset.Add(box.Min))
}
