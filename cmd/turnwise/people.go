package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/mail"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/term"

	"turnwise/access"
	"turnwise/conversation"
	"turnwise/queries"
)

type userCmd struct {
	Add      userAddCmd      `cmd:"" help:"Make a user."`
	List     userListCmd     `cmd:"" help:"List all users."`
	Password userPasswordCmd `cmd:"" help:"Set a user's password and end the user's sessions."`
	Role     userRoleCmd     `cmd:"" help:"Change what a user may do."`
	Disable  userDisableCmd  `cmd:"" help:"Shut a user out."`
	Enable   userEnableCmd   `cmd:"" help:"Let a user in again."`
	Link     userLinkCmd     `cmd:"" help:"Print a link that signs a user in, once: the way in while nothing else works."`
}

func addUser(ctx context.Context, pool *pgxpool.Pool, email, name, role, password string) error {
	if a, err := mail.ParseAddress(email); err != nil || a.Address != email {
		return fmt.Errorf("%q is no e-mail address", email)
	}
	if name == "" {
		name = email
	}
	hash, err := hashPassword(password, email, name)
	if err != nil {
		return err
	}
	u := access.Account{
		ID: queries.NewID(), Email: email, Name: name, Role: role, PasswordHash: hash, CreatedAt: time.Now(),
	}
	err = audited(ctx, pool, func(tx pgx.Tx) (deed, error) {
		return deed{
			act: queries.AuditAccountMade, id: u.ID.String(), name: email, after: map[string]any{"role": role},
		}, queries.AddAccount(ctx, tx, u)
	})
	if errors.Is(err, queries.ErrConflict) {
		return fmt.Errorf("a user %s exists already", email)
	}
	return err
}

func hashPassword(password, email, name string) (string, error) {
	if err := access.CheckPassword(password, email, name); err != nil {
		return "", err
	}
	return access.HashPassword(password)
}

// readPassword asks on a terminal, or reads a line of standard input.
func (c *cli) readPassword() (string, error) {
	if fd := int(os.Stdin.Fd()); term.IsTerminal(fd) {
		fmt.Fprint(c.stderr, "Password: ")
		b, err := term.ReadPassword(fd)
		fmt.Fprintln(c.stderr)
		return string(b), err
	}
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil && line == "" {
		return "", errors.New("no password on standard input")
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// with opens the database for a short command.
func (c *cli) with(do func(pool *pgxpool.Pool) error) error {
	pool, done, err := c.open(c.ctx, c.logger(), 4)
	if err != nil {
		return err
	}
	defer done()
	return do(pool)
}

// deed is what is written down in the audit log.
type deed struct {
	act      queries.AuditAct
	id, name string
	after    any
}

// audited does something by the command line and writes it down: both, or neither.
func audited(ctx context.Context, pool *pgxpool.Pool, do func(tx pgx.Tx) (deed, error)) error {
	who := queries.Actor{Name: "command line"}
	if u, err := user.Current(); err == nil {
		who.Name += " (" + u.Username + ")"
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		d, err := do(tx)
		if err != nil {
			return err
		}
		return queries.Record(ctx, tx, who, time.Now(), d.act, d.id, d.name, nil, d.after)
	})
}

func (c *cli) audited(pool *pgxpool.Pool, do func(tx pgx.Tx) (deed, error)) error {
	return audited(c.ctx, pool, do)
}

type userAddCmd struct {
	Email    string `arg:"" help:"Address to sign in with."`
	Name     string `help:"Name to show."`
	Role     string `enum:"viewer,reviewer,supervisor,admin" default:"viewer" help:"One of ${enum} (${default})."`
	Generate bool   `help:"Draw a password and print it, instead of reading one."`
}

func (u *userAddCmd) Run(c *cli) error {
	password := rand.Text()[:16]
	if !u.Generate {
		var err error
		if password, err = c.readPassword(); err != nil {
			return err
		}
	}
	return c.with(func(pool *pgxpool.Pool) error {
		if err := addUser(c.ctx, pool, u.Email, u.Name, u.Role, password); err != nil {
			return err
		}
		fmt.Fprintf(c.stdout, "%s may sign in as %s.\n", u.Email, u.Role)
		if u.Generate {
			fmt.Fprintln(c.stdout, "password:", password)
		}
		return nil
	})
}

type userListCmd struct{}

func (userListCmd) Run(c *cli) error {
	return c.with(func(pool *pgxpool.Pool) error {
		users, err := queries.Accounts(c.ctx, pool)
		for _, u := range users {
			state := ""
			if u.Disabled {
				state = "  disabled"
			}
			fmt.Fprintf(c.stdout, "%-12s %s  %s%s\n", u.Role, u.Email, u.Name, state)
		}
		return err
	})
}

func known(email string, err error) error {
	if errors.Is(err, queries.ErrNotFound) {
		return fmt.Errorf("there is no user %s", email)
	}
	return err
}

type userPasswordCmd struct {
	Email string `arg:"" help:"Whose password."`
}

func (u *userPasswordCmd) Run(c *cli) error {
	password, err := c.readPassword()
	if err != nil {
		return err
	}
	return c.with(func(pool *pgxpool.Pool) error {
		x, err := queries.AccountByEmail(c.ctx, pool, u.Email)
		if err != nil {
			return known(u.Email, err)
		}
		hash, err := hashPassword(password, x.Email, x.Name)
		if err != nil {
			return err
		}
		return c.audited(pool, func(tx pgx.Tx) (deed, error) {
			return deed{
				act: queries.AuditPasswordSet, id: x.ID.String(), name: x.Email,
			}, queries.SetPassword(c.ctx, tx, x.ID, hash)
		})
	})
}

// changeUser changes what a user is and may.
func (c *cli) changeUser(email string, change func(u *access.Account), told map[string]any) error {
	return c.with(func(pool *pgxpool.Pool) error {
		err := c.audited(pool, func(tx pgx.Tx) (d deed, err error) {
			u, err := queries.AccountByEmail(c.ctx, tx, email)
			if err != nil {
				return d, err
			}
			change(&u)
			d = deed{act: queries.AuditAccountChanged, id: u.ID.String(), name: u.Email, after: told}
			if err := queries.ChangeAccount(c.ctx, tx, u); err != nil || !u.Disabled {
				return d, err
			}
			return d, queries.EndSessions(c.ctx, tx, u.ID, queries.NoSession)
		})
		if errors.Is(err, queries.ErrLastAdmin) {
			return fmt.Errorf("%s is the last admin; make another one first", email)
		}
		return known(email, err)
	})
}

type userRoleCmd struct {
	Email string `arg:"" help:"Whose role."`
	Role  string `arg:"" enum:"viewer,reviewer,supervisor,admin" help:"One of ${enum}."`
}

func (u *userRoleCmd) Run(c *cli) error {
	return c.changeUser(u.Email, func(x *access.Account) {
		if x.Role = u.Role; x.Role == "admin" {
			x.Assistants = nil // an admin sets up all of them
		}
	}, map[string]any{"role": u.Role})
}

type userDisableCmd struct {
	Email string `arg:"" help:"Whom to shut out."`
}

func (u *userDisableCmd) Run(c *cli) error {
	return c.changeUser(u.Email, func(x *access.Account) { x.Disabled = true }, map[string]any{"disabled": true})
}

type userEnableCmd struct {
	Email string `arg:"" help:"Whom to let in."`
}

func (u *userEnableCmd) Run(c *cli) error {
	return c.changeUser(u.Email, func(x *access.Account) { x.Disabled = false }, map[string]any{"disabled": false})
}

type userLinkCmd struct {
	Email string `arg:"" help:"Who is to sign in."`
	URL   string `env:"TURNWISE_URL" default:"http://localhost:5754" help:"Address under which people reach the pages (${default})." placeholder:"URL"`
}

// Run prints a link that signs in once, also while passwords are off and the provider of single sign-on is away.
func (u *userLinkCmd) Run(c *cli) error {
	return c.with(func(pool *pgxpool.Pool) error {
		key := ""
		if err := c.audited(pool, func(tx pgx.Tx) (d deed, err error) {
			x, err := queries.AccountByEmail(c.ctx, tx, u.Email)
			if err != nil {
				return d, err
			}
			key, err = queries.NewLink(c.ctx, tx, x.ID, access.LinkSignIn, time.Now())
			return deed{
				act: queries.AuditUserInvited, id: x.ID.String(), name: x.Email,
				after: map[string]any{"for": access.LinkSignIn},
			}, err
		}); err != nil {
			return known(u.Email, err)
		}
		fmt.Fprintf(
			c.stdout, "%s/welcome/%s\nsigns %s in, once, within 15 minutes.\n", strings.TrimSuffix(u.URL, "/"), key,
			u.Email,
		)
		return nil
	})
}

type tokenCmd struct {
	Create tokenCreateCmd `cmd:"" help:"Make a token and print it, this once."`
	List   tokenListCmd   `cmd:"" help:"List tokens."`
	Revoke tokenRevokeCmd `cmd:"" help:"End a token."`
}

type tokenCreateCmd struct {
	Name        string   `arg:"" help:"Name of the token and of its source."`
	Role        []string `enum:"ingest,analytics_viewer,analytics_admin,admin" default:"ingest" help:"What it may do, one or several of ${enum} (${default})."`
	Only        []string `help:"Assistants of which it may send or read; default: all." placeholder:"NAME"`
	Days        int      `help:"Expires after so many days; default: never."`
	Events      int32    `name:"events-per-minute" help:"How many events it may send in a minute; default: any number."`
	Megabytes   int64    `name:"megabytes-per-minute" help:"How many megabytes it may send in a minute; default: any number."`
	Assistant   string   `help:"Assistant of events that name none; default: the token's name."`
	Always      bool     `help:"All events belong to that assistant, also those that name another."`
	Environment string   `help:"Environment of the events, such as production."`
}

func (t *tokenCreateCmd) Run(c *cli) error {
	if t.Assistant == "" {
		t.Assistant = t.Name
		if len(t.Only) > 0 {
			t.Assistant = t.Only[0]
		}
	}
	return c.with(func(pool *pgxpool.Pool) error {
		secret := ""
		err := c.audited(pool, func(tx pgx.Tx) (d deed, err error) {
			x := access.Token{
				Name: t.Name, Roles: t.Role, Assistants: t.Only, Assistant: t.Assistant, Always: t.Always,
				Environment: t.Environment, CreatedBy: "command line", CreatedAt: time.Now(),
			}
			if t.Events != 0 {
				x.MostEvents = &t.Events
			}
			if size := t.Megabytes << 20; size != 0 {
				x.MostBytes = &size
			}
			secret, err = queries.NewToken(c.ctx, tx, x, t.Days)
			return deed{act: queries.AuditTokenMade, name: t.Name, after: x.Audit(t.Days)}, err
		})
		if err == nil {
			fmt.Fprintln(c.stdout, secret)
		}
		return err
	})
}

type tokenListCmd struct{}

func (tokenListCmd) Run(c *cli) error {
	return c.with(func(pool *pgxpool.Pool) error {
		tokens, err := queries.Tokens(c.ctx, pool)
		if err != nil || len(tokens) == 0 {
			return err
		}
		table := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "ID\tBEGINS WITH\tSTATE\tROLES\tNAME\tONLY\tASSISTANT\tEXPIRES")
		for _, t := range tokens {
			state := "active"
			switch {
			case t.RevokedAt != nil:
				state = "revoked"
			case t.ExpiresAt != nil && t.ExpiresAt.Before(time.Now()):
				state = "expired"
			}
			expires := "never"
			if t.ExpiresAt != nil {
				expires = t.ExpiresAt.UTC().Format(time.DateOnly)
			}
			fmt.Fprintf(
				table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, t.Prefix, state, strings.Join(t.Roles, ","), t.Name,
				cmp.Or(strings.Join(t.Assistants, ","), "all"), cmp.Or(t.Assistant, "-"), expires,
			)
		}
		return table.Flush()
	})
}

type tokenRevokeCmd struct {
	ID string `arg:"" help:"Id of the token, as list shows it."`
}

func (t *tokenRevokeCmd) Run(c *cli) error {
	id, err := conversation.ParseUUID(t.ID)
	if err != nil {
		return fmt.Errorf("%q is no id of a token", t.ID)
	}
	return c.with(func(pool *pgxpool.Pool) error {
		return c.audited(pool, func(tx pgx.Tx) (deed, error) {
			name, err := queries.RevokeToken(c.ctx, tx, id, time.Now())
			if errors.Is(err, queries.ErrNotFound) {
				err = errors.New("there is no such active token")
			}
			if err == nil {
				fmt.Fprintf(c.stdout, "revoked %s\n", name)
			}
			return deed{act: queries.AuditTokenRevoked, id: id.String(), name: name}, err
		})
	})
}
