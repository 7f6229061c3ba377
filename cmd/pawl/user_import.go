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
	"github.com/pawlauth/pawl/internal/userimport"
)

// userImportCmd adds users to a store directly, because password hashes do not travel through the API.
type userImportCmd struct {
	File   string `arg:"" help:"File with one user on each line, .jsonl or .csv; - reads standard input."`
	Format string `default:"auto" enum:"auto,jsonl,csv" help:"Format of the file (${enum}); auto uses its name."`

	Config string `placeholder:"FILE" help:"JSON file of settings."`
	Data   string `default:"${data}" placeholder:"DIR" help:"Data folder."`
	Store  string `default:"${store}" placeholder:"ADDRESS" help:"Store: sqlite: (in --data) or postgres://..."`

	NetworkID int64 `name:"network" default:"1" help:"Network of users whose line has none."`
	MailboxID int64 `name:"mailbox" default:"1" help:"Mailbox of users whose line has none."`
	DryRun    bool  `help:"Only report bad lines and users that occur twice; open no store."`
	JSON      bool  `name:"json" help:"Print JSON."`
}

func (*userImportCmd) Help() string {
	return `Example:
  pawl user import users.jsonl --data /var/lib/pawl

A line of users.jsonl, broken for reading. Only login and passwordHash are required. In a .csv file the first line has
these names.
  {"login":"ada@example.com","passwordHash":"$2b$12$...","email":"ada@example.com","firstName":"Ada",
   "lastName":"L.","networkId":7,"mailboxId":2,"authLevel":"NetworkUser","status":"Active",
   "created":"2019-05-07T20:00:00Z","userId":4821}

Hashes: argon2id and scrypt in PHC form, bcrypt, ASP.NET Core Identity v3. The next sign-in replaces them by argon2id.

The import writes to the store itself. Stop the server of a data folder first; nodes on PostgreSQL may keep running. A
bad line, or a line that differs from an existing user, is reported with its number and skipped; the exit code is then
1. You can run the same import again at any time. Put an address with a password into PAWL_STORE.`
}

func (c *userImportCmd) Run(ctx context.Context, std stdio) (err error) {
	if c.NetworkID < 0 || c.MailboxID < 0 {
		return usagef("--network and --mailbox must be 0 or more")
	}
	format, err := c.fileFormat()
	if err != nil {
		return err
	}
	file, size, err := c.openFile(std)
	if err != nil {
		return err
	}
	defer file.Close()
	progress := newProgress(std.err)
	config := userimport.Config{
		Format: format,
		Tenant: authority.Tenant{NetworkID: c.NetworkID, MailboxID: c.MailboxID},
		Clock:  time.Now,
		Skipped: func(line int64, reason error) {
			progress.end()
			fmt.Fprintf(std.err, "line %d: %s\n", line, strings.TrimSuffix(reason.Error(), "."))
		},
		Progress: func(bytes, lines int64) { progress.bar(bytes, size, fmt.Sprintf("%d lines", lines)) },
	}
	if !c.DryRun {
		store, openErr := c.openStore(ctx, std)
		if openErr != nil {
			return openErr
		}
		defer func() { err = errors.Join(err, store.Close()) }()
		config.Store = store
	}
	input := untilDone(ctx, file)
	defer input.Close()
	summary, err := userimport.Run(ctx, input, config)
	progress.end()
	switch {
	case err == nil:
		return c.print(std, summary)
	case summary.Lines == 0 && ctx.Err() == nil:
		return err // the file itself is bad
	case c.DryRun:
		return fmt.Errorf("the file was read in part: %w", err)
	}
	if c.JSON {
		err = errors.Join(err, printJSON(std.out, summary))
	}
	return fmt.Errorf("the import was interrupted: %w; %d users are imported permanently, %d were unchanged, "+
		"and the same command imports the rest", err, summary.Imported, summary.Unchanged)
}

// fileFormat returns the format stated by --format or the name of the file.
func (c *userImportCmd) fileFormat() (userimport.Format, error) {
	if c.Format != "auto" {
		return userimport.Format(c.Format), nil
	}
	switch strings.ToLower(filepath.Ext(c.File)) {
	case ".jsonl", ".ndjson":
		return userimport.JSONLines, nil
	case ".csv":
		return userimport.CSV, nil
	}
	return "", usagef("the name of the file does not show its format; give --format jsonl or --format csv")
}

// openFile opens the file and returns its size. The size of a pipe is 0.
func (c *userImportCmd) openFile(std stdio) (io.ReadCloser, int64, error) {
	if c.File == "-" {
		return io.NopCloser(std.in), 0, nil
	}
	file, err := os.Open(c.File)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot read the file: %w", err)
	}
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		return file, info.Size(), nil
	}
	return file, 0, nil
}

// openStore opens the store. The store must exist and must not be the target of an incomplete copy.
func (c *userImportCmd) openStore(ctx context.Context, std stdio) (app.Store, error) {
	address, err := parseStore("store", c.Store, c.Data)
	if err != nil {
		return nil, err
	}
	store, err := app.OpenStore(ctx, app.StoreConfig{Address: address, MustExist: true, Log: commandLog(std)})
	if err != nil {
		return nil, explainMissing(err, storeFlag(address))
	}
	return store, nil
}

// print prints the summary. Skipped lines are an error, so that a script notices them.
func (c *userImportCmd) print(std stdio, s userimport.Summary) error {
	var err error
	switch {
	case c.JSON:
		err = printJSON(std.out, s)
	case c.DryRun:
		_, err = fmt.Fprintf(std.out, "Read %d lines: %d valid, %d bad. Nothing was imported.\n",
			s.Lines, s.Lines-s.LeftOut, s.LeftOut)
	default:
		_, err = fmt.Fprintf(std.out, "Imported %d, unchanged %d, skipped %d.\n", s.Imported, s.Unchanged, s.LeftOut)
	}
	if err == nil && s.LeftOut > 0 {
		err = fmt.Errorf("skipped lines: %d; correct them, and run the same command again", s.LeftOut)
	}
	return err
}
