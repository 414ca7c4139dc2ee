package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"turnwise/access"
	"turnwise/jobs"
	"turnwise/queries"
	"turnwise/secret"
)

// hanging measures how long a report takes to arrive while others of the same owner, and very many of another, hang at
// servers that say nothing.
func (b *bench) hanging() (err error) {
	alone, err := b.arrives(0, 0)
	if err != nil {
		return err
	}
	b.note("hanging: a report alone arrives after", alone, "s", "")
	for _, x := range [][2]int{{2, 0}, {2, 40}} {
		beside, err := b.arrives(x[0], x[1])
		if err != nil {
			return err
		}
		b.note(
			fmt.Sprintf("hanging: beside %d of its owner and %d of another that hang", x[0], x[1]), beside, "s", "< 10",
		)
	}
	return nil
}

// arrives returns after how many seconds a report is there, beside so many of its owner and of others that hang.
func (b *bench) arrives(own, others int) (float64, error) {
	url, drop, err := b.fresh("bench_hanging")
	if err != nil {
		return 0, err
	}
	defer func() { _ = drop() }() // the cluster goes too
	pool, err := queries.Open(b.ctx, url, 12)
	if err != nil {
		return 0, err
	}
	defer pool.Close()
	silent, err := new(net.ListenConfig).Listen(b.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer silent.Close()
	arrived := make(chan time.Time, 1)
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		select {
		case arrived <- time.Now():
		default:
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer sink.Close()
	box, err := secret.NewBox("a key of the bench, long enough")
	if err != nil {
		return 0, err
	}
	if err := b.hangingReports(pool, own, others, "http://"+silent.Addr().String(), sink.URL); err != nil {
		return 0, err
	}
	quiet := slog.New(slog.DiscardHandler)
	begun := time.Now()
	client, err := jobs.Start(b.ctx, jobs.Config{Pool: pool, Log: quiet, Zone: time.UTC, Reports: jobs.Reports{
		Pages: pool, Box: box, URL: "http://localhost", Internal: jobs.Networks{
			netip.MustParsePrefix("127.0.0.0/8"),
		},
	}})
	if err != nil {
		return 0, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(b.ctx, time.Second) // what hangs is broken off
		defer cancel()
		_ = client.Stop(ctx)
	}()
	select {
	case at := <-arrived:
		return at.Sub(begun).Seconds(), nil
	case <-time.After(2 * time.Minute):
		return 120, nil
	}
}

// hangingReports adds reports to an address that does not answer, and one to an address that does.
func (b *bench) hangingReports(pool *pgxpool.Pool, own, others int, silent, sink string) error {
	now := time.Now()
	keep := func(owner access.Account, n int, to string) error {
		for i := range n {
			due := now
			err := queries.AddSchedule(b.ctx, pool, queries.Schedule{
				ID: queries.NewID(), AccountID: owner.ID, Name: fmt.Sprint("report ", i), Page: "csat",
				Query: "range=12d", Formats: []string{"csv"}, Destination: "http", Target: queries.Target{URL: to},
				Zone: "UTC", CreatedAt: now, NextAt: &due, Schedule: "daily 13:00", IfEmpty: "send",
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	var people [2]access.Account
	for i := range people {
		people[i] = access.Account{
			ID: queries.NewID(), Email: fmt.Sprintf("bench%d@example.org", i), Name: "bench", Role: "supervisor",
			PasswordHash: "x", CreatedAt: now,
		}
		if err := queries.AddAccount(b.ctx, pool, people[i]); err != nil {
			return err
		}
	}
	for _, x := range []struct {
		of int
		n  int
		to string
	}{
		{1, others, silent},
		{0, own, silent},
		{0, 1, sink},
	} {
		if err := keep(people[x.of], x.n, x.to); err != nil {
			return err
		}
	}
	return nil
}
