// Command turnwise is the whole server: it takes in the events of chatbots, stores them in PostgreSQL and
// shows conversations to people.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"turnwise/ingest"
	"turnwise/ingest/mapped"
	"turnwise/localdb"
)

// version is set by the linker.
var version = "development"

func main() {
	mapped.WorkIfAsked()
	// Batches live short and are large: collecting less often costs some memory and saves a tenth of the time.
	debug.SetGCPercent(300)
	limitMemory(160 << 20)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	if err == nil {
		return
	}
	if !errors.Is(err, errReported) {
		fmt.Fprintln(os.Stderr, "turnwise:", err)
	}
	os.Exit(1)
}

// limitMemory makes collecting more frequent from that many bytes on, unless GOMEMLIMIT says otherwise.
func limitMemory(bytes int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(bytes)
	}
}

// streamMemory is what a process may use that reads brokers: they send ahead.
const streamMemory = 240 << 20

// errReported is an error that was shown to the user already.
var errReported = errors.New("reported")

// cli is every command and setting. Each flag has an environment twin.
type cli struct {
	DatabaseURL     string `name:"database-url" env:"TURNWISE_DATABASE_URL" help:"PostgreSQL to use; without it a private local one is started in the data directory." placeholder:"URL"`
	DatabaseURLFile string `name:"database-url-file" env:"TURNWISE_DATABASE_URL_FILE" help:"File that holds the database URL." placeholder:"FILE" type:"path"`
	DataDir         string `name:"data-dir" env:"TURNWISE_DATA_DIR" help:"Data of the local PostgreSQL. Default: /var/lib/turnwise for root, else ~/.local/share/turnwise." placeholder:"DIR" type:"path"`
	PostgresBin     string `name:"postgres-bin" env:"TURNWISE_POSTGRES_BIN" help:"Folder with initdb and postgres." placeholder:"DIR" type:"path"`
	LogLevel        string `name:"log-level" env:"TURNWISE_LOG_LEVEL" enum:"debug,info,warn,error" default:"info" help:"Least level to log: ${enum}."`
	LogFormat       string `name:"log-format" env:"TURNWISE_LOG_FORMAT" enum:"text,json" default:"text" help:"Form of log lines: ${enum}."`
	Pprof           bool   `env:"TURNWISE_PPROF" help:"Serve Go's profiles on the admin address, below /debug/pprof/."`

	Serve       serveCmd       `cmd:"" help:"Run the server: pages, ingest over HTTP and from brokers."`
	Ingest      ingestCmd      `cmd:"" help:"Read brokers and do nothing else; start as many as there are partitions."`
	Follow      followCmd      `cmd:"" help:"Read Rasa's tracker store in PostgreSQL and go on with what is new."`
	Work        workCmd        `cmd:"" help:"Do the jobs that serve does in the background, and nothing else."`
	Migrate     migrateCmd     `cmd:"" help:"Bring the database's schema up to date."`
	Import      importCmd      `cmd:"" help:"Store events from files: what Rasa's stores and brokers give, packed or not."`
	Mapping     mappingCmd     `cmd:"" help:"List, show and test mappings, which make events of what other platforms send."`
	Backfill    backfillCmd    `cmd:"" help:"Read a Kafka topic from its beginning to now, beside live traffic."`
	Demo        demoCmd        `cmd:"" help:"Generate believable conversations and store them."`
	Export      exportCmd      `cmd:"" help:"Write conversations, turns, messages or events as a file."`
	Rebuild     rebuildCmd     `cmd:"" help:"Fold all stored events again; ingest may go on."`
	Token       tokenCmd       `cmd:"" help:"Create, list and revoke tokens of programs."`
	Reader      readerCmd      `cmd:"" help:"Make, list and drop logins of the database for BI tools, which only read."`
	Schema      schemaCmd      `cmd:"" help:"Write the tables of other products as SQL."`
	Markers     markersCmd     `cmd:"" help:"Upload and list the markers that Rasa's files define, and write their statistics."`
	User        userCmd        `cmd:"" help:"Make and change users."`
	Settings    settingsCmd    `cmd:"" help:"Keep the settings in a file: write them, make them what the file says."`
	Doctor      doctorCmd      `cmd:"" help:"Say whether data is there, arrives, and is understood."`
	Healthcheck healthcheckCmd `cmd:"" help:"Ask a running server whether it is ready."`
	Version     versionCmd     `cmd:"" help:"Print the version."`

	ctx            context.Context
	local          *localdb.Server // nil: the address names a database
	stdout, stderr io.Writer
	getenv         func(string) string
}

// run is the program, for main and for tests.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	c := &cli{ctx: ctx, stdout: stdout, stderr: stderr, getenv: getenv}
	exited := false
	parser, err := c.parser(func() { exited = true })
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	if exited {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w; see turnwise --help", err)
	}
	return parsed.Run(c)
}

// parser reads what the program was called with into c.
func (c *cli) parser(exit func()) (*kong.Kong, error) {
	parser, err := kong.New(c,
		kong.Name("turnwise"), kong.Description("Conversation analytics that you own."),
		kong.Writers(c.stdout, c.stderr), kong.Exit(func(int) { exit() }), kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.Vars{"formats": strings.Join(ingest.FormatNames(), ",")},
	)
	if err != nil {
		return nil, err
	}
	return parser, kong.Visit(parser.Model, unsetIsEmpty)
}

// unsetIsEmpty takes variables of the environment that are empty for unset ones, as compose files and units write them.
func unsetIsEmpty(node kong.Visitable, next kong.Next) error {
	if flag, ok := node.(*kong.Flag); ok {
		flag.Tag.Envs = slices.DeleteFunc(flag.Tag.Envs, func(name string) bool { return os.Getenv(name) == "" })
	}
	return next(nil)
}

type versionCmd struct{}

func (versionCmd) Run(c *cli) error {
	_, err := fmt.Fprintln(c.stdout, "turnwise", version)
	return err
}
