package jobs

import (
	"context"
	"crypto/rand"
	"errors"
	"io"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/conversation"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/report"
)

// files stores the files of a run as they are written.
type files struct {
	ctx   context.Context //nolint:containedctx // a writer has no other way to get it
	pool  *pgxpool.Pool
	claim queries.RunClaim
	all   []queries.ReportFile
	of    string // the part of the report that they hold
	words string // which that is
}

// leave has nobody get the files of the part so far.
func (b *files) leave() {
	for i := range b.all {
		if b.all[i].Of == b.of {
			b.all[i].Role = ""
		}
	}
}

// add stores a whole file.
func (b *files) add(f queries.ReportFile, body []byte) error {
	out := b.begin(f)
	if _, err := out.Write(body); err != nil {
		return err
	}
	return out.end()
}

// letter stores a mail.
func (b *files) letter(l report.Letter) error {
	if err := b.add(queries.ReportFile{Name: l.Subject, Kind: "text/plain", Role: "text"}, []byte(l.Text)); err != nil {
		return err
	}
	if err := b.add(queries.ReportFile{Name: l.Subject, Kind: "text/html", Role: "html"}, l.HTML); err != nil {
		return err
	}
	for _, p := range l.Pictures {
		if err := b.add(queries.ReportFile{Name: p.Name, Kind: p.Kind, Role: "picture"}, p.Body); err != nil {
			return err
		}
	}
	return nil
}

// storing is a file that is being written.
type storing struct {
	*parts
	files *files
	n     int
}

func (b *files) begin(f queries.ReportFile) *storing {
	n := len(b.all)
	f.Of, f.Key = b.of, rand.Text()
	b.all = append(b.all, f)
	return &storing{
		&parts{store: func(part int, body []byte) error { return b.claim.Part(b.ctx, b.pool, n, part, body) }}, b, n,
	}
}

func (s *storing) end() error {
	if err := s.flush(); err != nil {
		return err
	}
	s.files.all[s.n].Size = s.bytes.Load()
	return nil
}

// content reads a stored file.
func (s *sending) content(ctx context.Context, n int) io.Reader {
	return &stored{ctx: ctx, pool: s.pool, run: s.run.ID, n: n, left: s.run.Files[n].Size}
}

type stored struct {
	ctx  context.Context //nolint:containedctx // a reader has no other way to get it
	pool *pgxpool.Pool
	run  conversation.UUID
	n    int
	part int
	left int64 // bytes that are still to come
	rest []byte
}

// Read reads on.
func (s *stored) Read(b []byte) (int, error) {
	for len(s.rest) == 0 {
		body, err := queries.ReportPart(s.ctx, s.pool, s.run, s.n, s.part)
		if errors.Is(err, queries.ErrNotFound) && s.left == 0 {
			return 0, io.EOF
		}
		if errors.Is(err, queries.ErrNotFound) {
			return 0, &metric.InputError{Field: "files", Msg: "have expired"}
		}
		if err != nil {
			return 0, err
		}
		s.rest = body
		s.part++
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	s.left -= int64(n)
	return n, nil
}

// text reads a stored file whole.
func (s *sending) text(ctx context.Context, n int) (string, error) {
	b, err := io.ReadAll(s.content(ctx, n))
	return string(b), err
}
