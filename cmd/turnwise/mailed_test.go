package main

import (
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"turnwise/access"
	"turnwise/jobs/posttest"
	"turnwise/queries"
	"turnwise/queries/dbtest"
)

// TestKilledMail: two servers send a report to many; each of them is killed in the middle, and started again. Everybody
// gets it once, but for copies with the same id.
func TestKilledMail(t *testing.T) {
	t.Parallel()
	url := dbtest.URL(t)
	if out, err := turnwise(t, "--database-url", url, "demo", "--conversations", "300"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	pool, err := queries.Open(t.Context(), url, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	post := posttest.New(t)
	host, port, err := net.SplitHostPort(post.Address)
	if err != nil {
		t.Fatal(err)
	}
	m := queries.MailSettings{Host: host, Security: "none", From: "turnwise@example.org", Sender: "Turnwise"}
	if m.Port, err = strconv.Atoi(port); err != nil {
		t.Fatal(err)
	}
	u := access.Account{
		ID: queries.NewID(), Email: "ann@example.org", Name: "Ann", Role: "supervisor", PasswordHash: "x",
		CreatedAt: time.Now(),
	}
	if err := queries.AddAccount(t.Context(), pool, u); err != nil {
		t.Fatal(err)
	}
	if err := queries.SetMail(t.Context(), pool, m, u.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	due := time.Now()
	x := queries.Schedule{
		ID: queries.NewID(), Name: "Killed", AccountID: u.ID, Page: "csat", Query: "range=28d",
		Formats: []string{"html"}, Schedule: "monthly on 1 08:00", Zone: "UTC", Destination: "mail", IfEmpty: "send",
		NextAt: &due, CreatedAt: due,
	}
	for i := range 30 {
		x.Target.Recipients = append(x.Target.Recipients, fmt.Sprintf("r%02d@example.org", i))
	}
	if err := queries.AddSchedule(t.Context(), pool, x); err != nil {
		t.Fatal(err)
	}
	start := func() *exec.Cmd {
		cmd, _ := program(t.Context(), "--database-url", url, "work", "--admin-listen", "127.0.0.1:0")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	servers := []*exec.Cmd{start(), start()}
	kill := func(i int) {
		if err := servers[i].Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = servers[i].Wait() // it was killed
	}
	defer func() {
		kill(0)
		kill(1)
	}()
	until := time.Now().Add(6 * time.Minute)
	wait := func(n int) {
		t.Helper()
		for len(post.Letters()) < n {
			if time.Now().After(until) {
				t.Fatalf("%d letters came, waiting for %d", len(post.Letters()), n)
			}
			time.Sleep(time.Millisecond)
		}
	}
	for _, n := range []int{7, 19} { // both die, whichever is at it
		wait(n)
		kill(0)
		kill(1)
		servers[0], servers[1] = start(), start()
	}
	for {
		runs, err := queries.RunsOf(t.Context(), pool, x.ID)
		if err != nil {
			t.Fatal(err)
		}
		if len(runs) == 1 && runs[0].State == queries.RunDone {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("runs: %+v", runs)
		}
		time.Sleep(50 * time.Millisecond)
	}
	to, err := post.Each()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range x.Target.Recipients {
		if to[r] != 1 {
			t.Errorf("%s got %d", r, to[r])
		}
	}
	copies := len(post.Letters()) - len(to)
	// at most the one that was on its way when they died
	if t.Logf("%d copies with an id that had come", copies); copies > 2 {
		t.Errorf("%d copies", copies)
	}
}
