// Command withdb runs a command with TURNWISE_TEST_DATABASE_URL naming a throw-away PostgreSQL server, and
// stops the server when the command ends.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"

	"turnwise/localdb"
	"turnwise/queries/dbtest"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "withdb:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(args) == 0 {
		return errors.New("name a command to run")
	}
	if os.Getenv("TURNWISE_TEST_DATABASE_URL") == "" {
		dir, err := dbtest.Dir()
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		server, err := localdb.Start(ctx, localdb.Config{Dir: dir, Throwaway: true})
		if err != nil {
			return err
		}
		defer server.Stop()
		for name, url := range map[string]string{
			"TURNWISE_TEST_DATABASE_URL": server.URL(), "TURNWISE_TEST_KEEPER_URL": server.KeeperURL(),
		} {
			if err := os.Setenv(name, url); err != nil {
				return err
			}
		}
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}
