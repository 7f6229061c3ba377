package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/storecopy"
	"github.com/pawlauth/pawl/internal/userimport"
)

type userImportCmd struct {
	Config    string `placeholder:"FILE" help:"JSON file of settings."`
	File      string `arg:"" help:"Users, one a line: .jsonl or .csv; - reads standard input."`
	Format    string `default:"auto" enum:"auto,jsonl,csv" help:"How the file is written (${enum}); auto goes by the name."`
	Data      string `default:"pawl-data" placeholder:"DIR" help:"Data folder."`
	Store     string `default:"sqlite:" placeholder:"ADDRESS" help:"Where the state is: sqlite: (in the data folder) or postgres://... Give one with a password as PAWL_STORE."`
	NetworkID int64  `name:"network" default:"1" help:"Network of a user whose line names none."`
	MailboxID int64  `name:"mailbox" default:"1" help:"Mailbox of a user whose line names none."`
	DryRun    bool   `help:"Only read the file, and say which lines are bad; no store is opened."`
	JSON      bool   `name:"json" help:"Print JSON."`
}

func (*userImportCmd) Help() string {
	return `Example:
  pawl user import users.jsonl --data /var/lib/pawl

A line of users.jsonl; all but login and passwordHash may be left out. In a .csv the first line has these names.
  {"login":"ada@example.com","passwordHash":"$2b$12$...","email":"ada@example.com","firstName":"Ada","lastName":"L.","networkId":7,
   "mailboxId":2,"authLevel":"NetworkUser","status":"Active","created":"2019-05-07T20:00:00Z","userId":4821}

Hashes: argon2id and scrypt in PHC form, bcrypt, ASP.NET Core Identity v3. The next sign-in replaces them by argon2id.

It writes to the store itself: stop the server of a data folder first; nodes on PostgreSQL may run. A bad line, and one that differs
from a user who is there, is named with its number and left out, and the exit code is 1. Run it again as often as you like.`
}

func (c *userImportCmd) Run(ctx context.Context, std stdio) (err error) {
	file, format, size, err := c.open(std)
	if err != nil {
		return err
	}
	defer file.Close()
	progress := newProgress(std.err)
	config := userimport.Config{Format: format, Standard: authority.Tenant{NetworkID: c.NetworkID, MailboxID: c.MailboxID}, Clock: time.Now,
		LeftOut: func(line int64, why error) {
			progress.end()
			fmt.Fprintf(std.err, "line %d: %s\n", line, strings.TrimSuffix(why.Error(), "."))
		},
		Progress: func(bytes, lines int64) { progress.bar(bytes, size, fmt.Sprintf("%d lines", lines)) }}
	if !c.DryRun {
		store, openErr := c.store(ctx)
		if openErr != nil {
			return openErr
		}
		defer func() { err = errors.Join(err, store.Close()) }()
		config.Store = store
	}
	input := untilDone(ctx, file)
	defer input.Close()
	sum, err := userimport.Run(ctx, input, config)
	progress.end()
	switch {
	case err == nil:
		return c.say(std, sum)
	case sum.Lines == 0:
		return err // of the file
	}
	return fmt.Errorf("the import was cut off: %w; %d users are imported, and the same command goes on", err, sum.Imported)
}

// open opens the file, and says how it is written and how long it is: 0 for
// what cannot be known.
func (c *userImportCmd) open(std stdio) (file io.ReadCloser, format userimport.Format, size int64, err error) {
	if c.NetworkID < 0 || c.MailboxID < 0 {
		return nil, "", 0, usagef("--network and --mailbox must be 0 or more")
	}
	format = userimport.Format(c.Format)
	if c.Format == "auto" {
		switch strings.ToLower(filepath.Ext(c.File)) {
		case ".jsonl", ".ndjson":
			format = userimport.JSONLines
		case ".csv":
			format = userimport.CSV
		default:
			return nil, "", 0, usagef("the name of the file does not say how it is written: give --format jsonl or --format csv")
		}
	}
	if c.File == "-" {
		return io.NopCloser(std.in), format, 0, nil
	}
	opened, err := os.Open(c.File)
	if err != nil {
		return nil, "", 0, fmt.Errorf("the file cannot be read: %w", err)
	}
	if info, err := opened.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return opened, format, size, nil
}

// store opens the store, which must be there, and whole.
func (c *userImportCmd) store(ctx context.Context) (app.Store, error) {
	address, err := parseStore("--store", c.Store, c.Data)
	if err != nil {
		return nil, err
	}
	store, err := app.OpenStore(ctx, app.StoreConfig{Address: address, MustExist: true})
	if err != nil {
		return nil, err
	}
	part, err := store.CopyInProgress(ctx)
	if err == nil && part {
		err = storecopy.ErrIncomplete
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

// say prints the counts. That a line was left out is an error, so that a script
// notices.
func (c *userImportCmd) say(std stdio, sum userimport.Summary) error {
	var err error
	switch {
	case c.JSON:
		err = printJSON(std.out, sum)
	case c.DryRun:
		_, err = fmt.Fprintf(std.out, "Read %d lines: %d good, %d bad. Nothing was imported.\n", sum.Lines, sum.Lines-sum.LeftOut, sum.LeftOut)
	default:
		_, err = fmt.Fprintf(std.out, "Imported %d, unchanged %d, left out %d.\n", sum.Imported, sum.Unchanged, sum.LeftOut)
	}
	if err == nil && sum.LeftOut > 0 {
		err = fmt.Errorf("%d lines were left out: mend them, and run the same command again", sum.LeftOut)
	}
	return err
}
