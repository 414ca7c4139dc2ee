// Package localdb runs a private PostgreSQL server for one data directory: on a Unix socket only, as an
// ordinary user also when Turnwise runs as root, and stopped with Turnwise.
package localdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Config says where and how the server runs.
type Config struct {
	Dir       string // holds data, socket and log; made if missing
	Bin       string // folder of initdb and postgres; "" searches the usual places
	Throwaway bool   // for tests: nothing need survive a crash
	Keep      bool   // start it again when it ends by itself, or when another Turnwise that ran it stops
	Log       *slog.Logger
}

// Server is a running server.
type Server struct {
	cfg    Config
	cmd    *exec.Cmd     // nil: another Turnwise runs it
	exited chan struct{} // closed when cmd ended
	socket string
	owner  *syscall.Credential

	stopping chan struct{} // closed by Stop
	kept     sync.WaitGroup
}

const (
	keeper   = "keeper"   // the superuser: makes roles and the database, and is nobody's whom a page or a job asks for
	userName = "turnwise" // owns the database and all that is in it
	database = "turnwise"
	port     = "5432" // part of the socket's name
)

// FindBin returns the folder with PostgreSQL's programs.
func FindBin() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	slices.SortFunc(found, func(a, b string) int {
		version := func(p string) int {
			n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(p))))
			return n
		}
		return version(b) - version(a)
	})
	if len(found) > 0 {
		return filepath.Dir(found[0]), nil
	}
	if p, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(p), nil
	}
	return "", errors.New(
		"PostgreSQL's server programs were not found: install the package postgresql, or set TURNWISE_DATABASE_URL " +
			"to use a server that runs already",
	)
}

// binFor prefers the programs of the version that made the data.
func binFor(data string) (string, error) {
	if version, err := os.ReadFile(filepath.Join(data, "PG_VERSION")); err == nil {
		bin := filepath.Join("/usr/lib/postgresql", strings.TrimSpace(string(version)), "bin")
		if _, err := os.Stat(filepath.Join(bin, "postgres")); err == nil {
			return bin, nil
		}
	}
	return FindBin()
}

// Start starts the server, making the cluster and the database when they are missing.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	cfg.Dir = dir
	if cfg.Bin == "" {
		if cfg.Bin, err = binFor(filepath.Join(dir, "data")); err != nil {
			return nil, err
		}
	}
	s := &Server{cfg: cfg, exited: make(chan struct{}), stopping: make(chan struct{})}
	if err := s.owned(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "PG_VERSION")); errors.Is(err, os.ErrNotExist) {
		if err := s.initdb(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.checkVersion(ctx); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	if cfg.Keep {
		s.kept.Go(s.keep)
	}
	return s, nil
}

// Running tells whether a server runs on the data of a folder, without starting any.
func Running(ctx context.Context, dir string) bool {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return false
	}
	s := &Server{cfg: Config{Dir: dir}}
	s.socket = socketOf(dir)
	return s.answers(ctx)
}

// socketOf is the folder of the socket. Its path must stay below 108 bytes.
func socketOf(dir string) string {
	socket := filepath.Join(dir, "socket")
	if len(socket) > 85 {
		socket = filepath.Join(os.TempDir(), "turnwise-"+strconv.FormatUint(uint64(hash(dir)), 36))
	}
	return socket
}

// begin joins the server of this directory if another Turnwise runs it: then it stays when we end. Else it starts one.
// One that is just stopping is waited for.
func (s *Server) begin(ctx context.Context) error {
	for deadline := time.Now().Add(30 * time.Second); ; {
		s.cmd, s.exited = nil, make(chan struct{})
		if s.answers(ctx) {
			return nil
		}
		if err := s.run(); err != nil { //nolint:contextcheck // the server outlives the context of its start
			return err
		}
		err := s.ready(ctx)
		if err == nil {
			return nil
		}
		s.end()
		if !s.locked() || time.Now().After(deadline) || ctx.Err() != nil {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// keep has the server running until Stop.
func (s *Server) keep() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-s.stopping
		cancel()
	}()
	for wait := time.Second; ; wait = min(2*wait, 15*time.Second) {
		if s.runs(ctx); ctx.Err() != nil {
			return
		}
		s.cfg.Log.WarnContext(ctx, "the local PostgreSQL ended; it is started again")
		begun := time.Now()
		err := s.begin(ctx)
		if err == nil {
			s.cfg.Log.InfoContext(ctx, "the local PostgreSQL runs again")
			wait = time.Second / 2
			continue
		}
		if ctx.Err() != nil {
			return
		}
		s.cfg.Log.ErrorContext(ctx, "the local PostgreSQL does not start", "error", err)
		select {
		case <-time.After(wait - min(wait, time.Since(begun))):
		case <-ctx.Done():
			return
		}
	}
}

// runs returns when the server has ended, or ctx has.
func (s *Server) runs(ctx context.Context) {
	if s.cmd != nil {
		select {
		case <-s.exited:
		case <-ctx.Done():
		}
		return
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", filepath.Join(s.socket, ".s.PGSQL."+port))
		if err != nil {
			return
		}
		conn.Close()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// answers tells whether a server runs already on the socket.
func (s *Server) answers(ctx context.Context) bool {
	conn, err := pgx.Connect(ctx, s.URL())
	if err != nil {
		return false
	}
	return conn.Close(ctx) == nil
}

// locked tells whether the last start failed because another server holds the directory.
func (s *Server) locked() bool {
	log, _ := os.ReadFile(filepath.Join(s.cfg.Dir, "postgres.log"))
	return strings.Contains(string(log[max(0, len(log)-600):]), "lock file")
}

// URL is the address of the database, for its owner.
func (s *Server) URL() string { return s.url(userName, database) }

// KeeperURL is the address of the database for the server's superuser, who makes logins for others.
func (s *Server) KeeperURL() string { return s.url(keeper, database) }

func (s *Server) url(user, db string) string {
	q := url.Values{"host": {s.socket}, "user": {user}, "port": {port}, "dbname": {db}, "sslmode": {"disable"}}
	return "postgres:///?" + q.Encode()
}

// Exited is closed when the server that was started here ended, by Stop or by itself. It says nothing of one that is
// kept running.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// owned makes the folders and, as root, finds the user that shall own them.
func (s *Server) owned() error {
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			if u, err = user.Lookup("nobody"); err != nil {
				return errors.New(
					"PostgreSQL does not run as root, and there is neither a user postgres nor nobody to run it as",
				)
			}
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		s.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	if err := os.MkdirAll(s.cfg.Dir, 0o755); err != nil {
		return err
	}
	if s.owner != nil {
		for p := s.cfg.Dir; ; p = filepath.Dir(p) {
			info, err := os.Stat(p)
			if err != nil {
				return err
			}
			if info.Mode().Perm()&0o001 == 0 && p != "/" {
				return fmt.Errorf(
					"%s cannot be entered by the user that PostgreSQL runs as; choose a data directory outside it", p,
				)
			}
			if p == "/" {
				break
			}
		}
	}
	s.socket = socketOf(s.cfg.Dir)
	// The owner of data that are there stays; a server of another user may run on them.
	if info, err := os.Stat(filepath.Join(s.cfg.Dir, "data", "PG_VERSION")); err == nil {
		owner := info.Sys().(*syscall.Stat_t) //nolint:forcetypeassert // as on every Unix
		if s.owner != nil {
			s.owner.Uid, s.owner.Gid = owner.Uid, owner.Gid
		} else if int(owner.Uid) != os.Geteuid() {
			return fmt.Errorf(
				"the data in %s belong to user %d; run turnwise as that user or as root, or choose another "+
					"data directory",
				s.cfg.Dir, owner.Uid,
			)
		}
	}
	return s.ownDir(s.socket)
}

// ownDir makes a folder that only the server's user may enter. One that is there must be such a folder: in
// /tmp, anybody may have made it.
func (s *Server) ownDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t) //nolint:forcetypeassert // as on every Unix
	if !info.IsDir() || int(owner.Uid) != os.Geteuid() && (s.owner == nil || owner.Uid != s.owner.Uid) {
		return fmt.Errorf("%s is not a folder of the user that PostgreSQL runs as", path)
	}
	if s.owner != nil {
		return os.Lchown(path, int(s.owner.Uid), int(s.owner.Gid))
	}
	return nil
}

func hash(s string) (h uint32) {
	for _, c := range []byte(s) {
		h = h*16777619 ^ uint32(c)
	}
	return h
}

func (s *Server) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.cfg.Bin, program), args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TZ=UTC", "LC_ALL=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Setpgid: true}
	return cmd
}

func (s *Server) initdb(ctx context.Context) error {
	// Beside its place, so that an interrupted initdb leaves nothing that looks whole.
	fresh, err := os.MkdirTemp(s.cfg.Dir, "initdb-")
	if err != nil {
		return err
	}
	if err := s.ownDir(fresh); err != nil {
		return err
	}
	args := []string{"-D", fresh, "-U", keeper, "-A", "trust", "-E", "UTF8", "--no-locale"}
	if s.cfg.Throwaway {
		args = append(args, "-N")
	}
	if out, err := s.command(ctx, "initdb", args...).CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("make the database cluster: %w\n%s", err, out), os.RemoveAll(fresh))
	}
	// Fails when something is there that is no cluster: nothing of others is ever removed.
	if err := os.Rename(fresh, filepath.Join(s.cfg.Dir, "data")); err != nil {
		return errors.Join(
			fmt.Errorf("the data directory holds something that is not PostgreSQL's: %w", err), os.RemoveAll(fresh),
		)
	}
	return nil
}

func (s *Server) checkVersion(ctx context.Context) error {
	have, err := os.ReadFile(filepath.Join(s.cfg.Dir, "data", "PG_VERSION"))
	if err != nil {
		return err
	}
	out, err := s.command(ctx, "postgres", "--version").Output()
	if err != nil {
		return fmt.Errorf("ask PostgreSQL for its version: %w", err)
	}
	major := strings.TrimSpace(string(have))
	if fields := strings.Fields(string(out)); len(fields) < 3 || !strings.HasPrefix(fields[2], major) {
		return fmt.Errorf(
			"the data in %s belong to PostgreSQL %s, but %s has %q: install postgresql-%s, or upgrade the data "+
				"with pg_upgrade",
			s.cfg.Dir, major, s.cfg.Bin, strings.TrimSpace(string(out)), major,
		)
	}
	return nil
}

// run starts the server so that it gets a fast shutdown when this process dies.
func (s *Server) run() error {
	args := []string{
		"-D", filepath.Join(s.cfg.Dir, "data"), "-k", s.socket, "-p", port, "-c", "listen_addresses=",
		"-c", "max_connections=100", "-c", "shared_buffers=" +
			buffers(), "-c", "max_wal_size=4GB", "-c", "min_wal_size=512MB",
		"-c", "checkpoint_completion_target=0.9", "-c", "random_page_cost=1.1", "-c", "effective_cache_size=4GB", "-c",
		"wal_compression=lz4",
		"-c", "maintenance_work_mem=256MB", "-c", "work_mem=16MB", "-c", "default_toast_compression=lz4",
	}
	if s.cfg.Throwaway {
		args = append(
			args, "-F", "-c", "full_page_writes=off", "-c", "synchronous_commit=off", "-c", "wal_level=minimal", "-c",
			"max_wal_senders=0", "-c", "max_connections=200",
		)
	}
	logFile, err := os.OpenFile(filepath.Join(s.cfg.Dir, "postgres.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	s.cmd = s.command(context.Background(), "postgres", args...)
	s.cmd.Stdout, s.cmd.Stderr = logFile, logFile
	s.cmd.SysProcAttr.Pdeathsig = syscall.SIGINT
	started := make(chan error)
	cmd, exited := s.cmd, s.exited
	go func() {
		// Pdeathsig fires when the thread that started the child ends, so that thread waits for it.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended stands in its log
		}
		logFile.Close()
		close(exited)
	}()
	return <-started
}

// buffers is an eighth of the memory, between 128 MB and 2 GB.
func buffers() string {
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) != nil {
		return "128MB"
	}
	mb := int64(info.Totalram) * int64(info.Unit) >> 23
	return strconv.FormatInt(min(max(mb, 128), 2048), 10) + "MB"
}

// ready waits until the server answers, and has it hold the roles and the database.
func (s *Server) ready(ctx context.Context) error {
	deadline := time.Now().Add(60 * time.Second)
	for {
		conn, err := pgx.Connect(ctx, s.url(keeper, "postgres"))
		if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && refused.Code == noSuchRole {
			if err := s.demote(ctx); err != nil { // there is no such role: of a version that had but one
				return fmt.Errorf("give the database an owner of its own: %w", err)
			}
			continue
		}
		if err == nil {
			defer conn.Close(ctx)
			return s.populate(ctx, conn)
		}
		select {
		case <-s.exited:
			tail, _ := os.ReadFile(filepath.Join(s.cfg.Dir, "postgres.log"))
			return fmt.Errorf(
				"the local PostgreSQL ended at once; the end of its log:\n%s", tail[max(0, len(tail)-1000):],
			)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(25 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the local PostgreSQL does not answer: %w", err)
		}
	}
}

// Stop shuts the server down if it was started here.
func (s *Server) Stop() {
	select {
	case <-s.stopping:
	default:
		close(s.stopping)
	}
	s.kept.Wait()
	s.end()
}

// end shuts the process down: fast, after 20 s at once, after 5 s more by force.
func (s *Server) end() {
	if s.cmd == nil {
		return
	}
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGINT, 20 * time.Second}, {syscall.SIGQUIT, 5 * time.Second}, {syscall.SIGKILL, 5 * time.Second}} {
		_ = s.cmd.Process.Signal(step.signal) // it may have ended already
		select {
		case <-s.exited:
			return
		case <-time.After(step.wait):
		}
	}
}
