package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/dashboard"
	"turnwise/demo"
	"turnwise/ingest"
	"turnwise/ingest/rasa"
	"turnwise/ingest/wire"
	"turnwise/jobs"
	"turnwise/metric"
	"turnwise/queries"
	"turnwise/report"
)

// reports fills a database and measures a mailed page, retention beside ingest, and exports of a million conversations.
func (b *bench) reports(conversations int) error {
	u, drop, err := b.fresh("bench_reports")
	if err != nil {
		return err
	}
	defer func() { _ = drop() }() // the cluster may go too
	pool, err := queries.Open(b.ctx, u, 10)
	if err != nil {
		return err
	}
	defer pool.Close()
	viewers, err := queries.OpenForPages(b.ctx, u, 10)
	if err != nil {
		return err
	}
	defer viewers.Close()
	counts, err := b.fill(pool, conversations, 1000)
	if err != nil {
		return err
	}
	b.note("events in the database", float64(counts.Stored), "events", "")
	if err := b.rollups(pool); err != nil {
		return err
	}
	if _, err := pool.Exec(b.ctx, "vacuum analyze"); err != nil {
		return err
	}
	if err := b.mailed(viewers); err != nil {
		return err
	}
	if err := b.retained(pool); err != nil {
		return err
	}
	return b.exported(pool)
}

// mailed makes pages into mails and PDFs.
func (b *bench) mailed(pool *pgxpool.Pool) error {
	user := access.Account{ID: queries.NewID(), Name: "bench", Role: "admin"}
	for _, page := range []string{"overview", "latency"} {
		begun := time.Now()
		v := dashboard.NewViewer(pool, user, time.UTC, time.Now())
		answer, err := v.Document(b.ctx, page, url.Values{"range": {"90d"}})
		var d report.Document
		if err == nil {
			d, err = report.NewDocument(b.ctx, v, answer, "https://bench.example.org")
		}
		if err == nil {
			_, err = d.Letter(b.ctx, "bench", nil, "")
		}
		if err != nil {
			return err
		}
		b.note("a mail of "+page+" over 90 days", time.Since(begun).Seconds(), "s", "< 10")
		begun = time.Now()
		if _, _, err := d.WriteAs(b.ctx, io.Discard, "pdf", time.Now()); err != nil {
			return err
		}
		b.note("the PDF of it", time.Since(begun).Seconds(), "s", "")
	}
	return nil
}

// retained deletes conversations older than 300 days, and texts older than 200, while a writer stores small batches.
func (b *bench) retained(pool *pgxpool.Pool) error {
	user := access.Account{
		ID: queries.NewID(), Email: "retention@example.org", Name: "bench", Role: "admin", PasswordHash: "x",
		CreatedAt: time.Now(),
	}
	if err := queries.AddAccount(b.ctx, pool, user); err != nil {
		return err
	}
	whole, texts := int32(300), int32(200)
	if err := queries.AddRetentionRule(
		b.ctx, pool,
		queries.RetentionRule{
			ID: queries.NewID(), TextDays: &texts, ConversationDays: &whole, Most: 10_000_000, ChangedAt: time.Now(),
		},
		user.ID,
	); err != nil {
		return err
	}
	before, err := b.storing(pool, 1, func(ctx context.Context) error {
		select {
		case <-ctx.Done():
		case <-time.After(15 * time.Second):
		}
		return nil
	})
	if err != nil {
		return err
	}
	var run queries.RetentionRun
	var took float64
	during, err := b.storing(pool, 2, func(ctx context.Context) (err error) {
		begun := time.Now()
		run, err = jobs.Retain(ctx, pool, time.UTC, time.Now)
		took = time.Since(begun).Seconds()
		return err
	})
	if err != nil {
		return err
	}
	b.note("retention: conversations deleted", float64(run.Conversations), "conv", "")
	b.note("retention: conversations without their texts", float64(run.Texts), "conv", "")
	b.note("retention of 100,000 of them", took/float64(run.Conversations+run.Texts)*100_000, "s", "< 60")
	for _, x := range []struct {
		name  string
		times []float64
	}{{"alone", before}, {"beside retention", during}} {
		b.note("storing 100 events "+x.name+", p50", x.times[len(x.times)/2], "ms", "")
		b.note("storing 100 events "+x.name+", longest", x.times[len(x.times)-1], "ms", "< 1000")
	}
	return nil
}

// storing stores batches of 100 events, one after the other, while something is done, and returns how long each took,
// sorted.
func (b *bench) storing(
	pool *pgxpool.Pool, seed uint64, while func(context.Context) error,
) (times []float64, err error) {
	g := demo.New(demo.Options{Conversations: 1 << 20, Days: 2, Until: time.Now(), Seed: 900 + seed})
	w := ingest.NewWriter(pool, b.log)
	src, err := w.Open(b.ctx, ingest.Source{
		Name: "beside " + strconv.FormatUint(seed, 10), Kind: "file", Assistant: "bench", Environment: "production",
	})
	if err != nil {
		return nil, err
	}
	d := rasa.NewDecoder()
	ctx, stop := context.WithCancelCause(b.ctx)
	go func() { stop(errors.Join(while(ctx), context.Canceled)) }()
	for ctx.Err() == nil {
		batch := make([]*conversation.Event, 0, 100)
		for len(batch) < cap(batch) {
			body, ok := g.Next()
			if !ok {
				return nil, errors.New("the demo is at its end")
			}
			if e, rej := d.Decode(
				string(body), wire.Intake{Assistant: "bench", Environment: "production"}, time.Now(),
			); rej == nil {
				batch = append(batch, e)
			}
		}
		begun := time.Now()
		if _, err := w.Store(b.ctx, src, batch); err != nil {
			return nil, err
		}
		times = append(times, float64(time.Since(begun).Microseconds())/1000)
	}
	slices.Sort(times)
	if err := context.Cause(ctx); err.Error() != context.Canceled.Error() {
		return nil, err
	}
	return times, nil
}

// million is how many conversations are exported.
const million = 1_000_000

// exported writes a million conversations as CSV and XLSX. Those that are missing are copies of rows under other ids.
func (b *bench) exported(pool *pgxpool.Pool) error {
	var there int
	var columns, values string
	if err := pool.QueryRow(
		b.ctx,
		`select (select count(*) from conversations), string_agg(column_name, ', ' order by ordinal_position),
	string_agg(case column_name when 'id' then 'gen_random_uuid()' when 'checkpoint' then '''''' else column_name end,
		', ' order by ordinal_position) from information_schema.columns where table_name = 'conversations'`,
	).Scan(&there, &columns, &values); err != nil {
		return err
	}
	for ; there < million; there = min(million, 2*there) {
		if _, err := pool.Exec(
			b.ctx, "insert into conversations ("+columns+") select "+values+" from conversations limit $1",
			min(there, million-there),
		); err != nil {
			return err
		}
	}
	if _, err := pool.Exec(b.ctx, "analyze conversations"); err != nil {
		return err
	}
	for _, x := range []struct {
		format report.Format
		goal   string
	}{{report.CSV, "< 120"}, {report.XLSX, "< 240"}} {
		debug.FreeOSMemory()
		if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // the peak begins anew
			return err
		}
		begun := time.Now()
		rows, err := report.WriteRows(
			b.ctx, pool, io.Discard,
			report.Wanted{
				Grain: queries.ByConversation, Format: x.format,
				Filter: metric.Filter{Range: metric.Range{Days: metric.MaxDays}}, Title: "bench",
			},
			time.Now(), time.UTC, func(int64) {},
		)
		if err != nil {
			return err
		}
		b.note(fmt.Sprintf("%d conversations as %s", rows, x.format), time.Since(begun).Seconds(), "s", x.goal)
		peak, err := peakMemory()
		if err != nil {
			return err
		}
		b.note("the process's memory at most, the benchmark included", peak, "MB", "< 256")
	}
	return nil
}

// peakMemory is how much memory the process has held at most, in MB.
func peakMemory() (float64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kb / 1000, err
}
