package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"turnwise/localdb"
	"turnwise/queries/dbtest"
)

// TestDiskFull lets the tables' disk fill up under a stream: nothing is acknowledged or set aside, /readyz says
// why, and when there is room again it goes on by itself.
func TestDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root may mount a small disk")
	}
	dir, err := dbtest.Dir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	db, err := localdb.Start(context.Background(), localdb.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Stop)
	small := filepath.Join(dir, "small")
	if err := os.Mkdir(small, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=100m"); err != nil {
		t.Skip("SKIPPED: a small disk cannot be mounted here: ", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(small, syscall.MNT_DETACH) })
	info, err := os.Stat(filepath.Join(dir, "data"))
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	space := filepath.Join(small, "space")
	if err := os.Mkdir(space, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(space, int(owner.Uid), int(owner.Gid)); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), db.KeeperURL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, sql := range []string{
		"create tablespace small location '" + space + "'", "create database small owner turnwise tablespace small",
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	url := strings.Replace(db.URL(), "dbname=turnwise", "dbname=small", 1)
	if out, err := turnwise(t, "--database-url", url, "migrate"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var room syscall.Statfs_t
	if err := syscall.Statfs(small, &room); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(small, "filler") // all but 6 MB
	size := fmt.Sprint(int64(room.Bavail)*room.Bsize - 6<<20)
	if out, err := exec.Command("fallocate", "-l", size, filler).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "rasa_core_events"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	producer, err := kgo.NewClient(kgo.SeedBrokers(fake.ListenAddrs()...), kgo.DefaultProduceTopic("rasa_core_events"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(producer.Close)
	const events = 30000
	for i := range events {
		producer.Produce(
			t.Context(),
			kgo.StringRecord(
				fmt.Sprintf(
					`{"sender_id":"s%d","event":"user","timestamp":%d.5,"text":"message %x","message_id":"m%d"}`, i%900,
					1790000000+i, i*7919, i,
				),
			),
			nil,
		)
	}
	if err := producer.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	admin := freePort(t)
	out := new(output)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- run(
			ctx,
			[]string{
				"--database-url", url, "ingest", "--admin-listen", admin, "--kafka-brokers", fake.ListenAddrs()[0],
			},
			os.Getenv, out, out,
		)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("ingest ended with %v\n%s", err, out)
		}
	})
	waiting := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(60 * time.Second); !done(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s does not come\n%s", what, tail(out))
			}
		}
	}
	ready := func() (int, string) {
		return fetch(t, "http://"+admin+"/readyz")
	}
	waiting("the listener", func() bool { return strings.Contains(out.String(), "reads kafka;") })
	waiting("the full disk", func() bool {
		status, text := ready()
		return status == 503 && strings.Contains(
			text, `source "kafka": waiting: nothing can be stored`,
		) && strings.Contains(text, "No space left on device")
	})
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	look, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer look.Close(context.Background())
	var stored, aside int
	waiting("the rest", func() bool {
		if err := look.QueryRow(
			t.Context(), `select (select count(*) from events), (select count(*) from rejected_events)`,
		).Scan(&stored, &aside); err != nil {
			t.Fatal(err)
		}
		status, _ := ready()
		return stored == events && status == 200
	})
	if aside != 0 {
		t.Errorf("%d events were set aside", aside)
	}
}
