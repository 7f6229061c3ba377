// Package userimport reads users with their password hashes from a file, and adds them to a store.
//
// Run drives an import: lines.go splits the file into lines, json.go and csv.go read the fields of a line, user.go
// turns them into a user, and import.go adds the users to a Store, a page at a time.
package userimport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/prepare"
)

// pageSize is how many users are added in one step.
const pageSize = 1000

// Format is the format of a file.
type Format string

// The formats of files.
const (
	JSONLines Format = "jsonl" // one object on each line
	CSV       Format = "csv"   // a first line with the names of the columns, then one user on each line
)

// Config configures Run.
type Config struct {
	// Store receives the users. If nil, Run only reads the file. It then needs about 100 bytes of memory for each user,
	// to find those that occur twice.
	Store  Store
	Format Format
	// Tenant is the tenant of users without one in their line.
	Tenant authority.Tenant
	// Clock is required with a Store, for the creation time of users without one in their line.
	Clock func() time.Time
	// Skipped receives each line that is not imported, and the reason.
	Skipped func(line int64, reason error)
	// Progress receives how many bytes and lines are done. It is optional.
	Progress func(bytes, lines int64)
}

// Summary counts the lines of a file. Without a store, valid lines count in Lines only.
type Summary struct {
	Lines     int64 `json:"lines"` // every line except empty ones and the names of the columns
	Imported  int64 `json:"imported"`
	Unchanged int64 `json:"unchanged"` // the store already had the same user
	LeftOut   int64 `json:"leftOut"`   // skipped
}

// Run imports a file. Each page of users is one durable step. An error ends the import between two pages: the imported
// users stay, and the same file may be imported again. A skipped line is not an error.
func Run(ctx context.Context, file io.Reader, c Config) (Summary, error) {
	i := importer{Config: c, lines: newLines(file), logins: map[string]bool{}, found: newOccurrences()}
	err := i.run(ctx)
	return i.summary, err
}

// importer is the state of an import.
type importer struct {
	Config
	lines   *lines
	columns columns // the columns of a CSV file; nil before the first line
	summary Summary
	found   *occurrences // of a file without a store

	// The current page.
	users   []authority.UserWithHash
	numbers []int64         // the line number of each user
	logins  map[string]bool // the prepared forms of the logins
}

func (i *importer) run(ctx context.Context) error {
	if err := i.lines.checkStart(); err != nil {
		return fmt.Errorf("cannot read the file: %w", err)
	}
	for {
		line, err := i.lines.next()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == io.EOF && i.Format == CSV && i.columns == nil:
			return errors.New("the file is empty; its first line must name the columns")
		case err == io.EOF:
			return i.flush(ctx)
		case errors.Is(err, errLongLine):
			i.summary.Lines++
			i.skip(i.lines.number, err)
			continue
		case err != nil:
			return fmt.Errorf("cannot read the file: %w", err)
		case len(strings.TrimSpace(string(line))) == 0:
			continue
		}
		if i.Format == CSV && i.columns == nil {
			if i.columns, err = readHeader(line); err != nil {
				return fmt.Errorf("line %d: %w", i.lines.number, err)
			}
			continue
		}
		i.summary.Lines++
		user, err := i.user(line)
		if err != nil {
			i.skip(i.lines.number, err)
			continue
		}
		login := prepare.LoginKey(user.Login)
		if len(i.users) == pageSize || i.logins[login] { // a page must not have a login twice
			if err := i.flush(ctx); err != nil {
				return err
			}
		}
		i.users = append(i.users, user)
		i.numbers = append(i.numbers, i.lines.number)
		i.logins[login] = true
	}
}

func (i *importer) user(line []byte) (authority.UserWithHash, error) {
	read := readJSON
	if i.Format == CSV {
		read = i.columns.read
	}
	f, err := read(line)
	if err != nil {
		return authority.UserWithHash{}, err
	}
	return f.user(i.Tenant)
}

func (i *importer) skip(line int64, reason error) {
	i.summary.LeftOut++
	i.Skipped(line, reason)
}

// flush adds the current page to the store, and begins the next one. It does not end with ctx in the middle of a page,
// so that the summary has exactly the durable users.
func (i *importer) flush(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if i.Store == nil {
		for n, user := range i.users {
			if err := i.found.add(user, i.numbers[n]); err != nil {
				i.skip(i.numbers[n], err)
			}
		}
	} else if len(i.users) > 0 {
		results, err := Import(context.WithoutCancel(ctx), i.Store, i.users, i.Clock().Unix())
		if err != nil {
			return err
		}
		for n, result := range results {
			switch {
			case result.Added:
				i.summary.Imported++
			case result.Conflict != nil:
				i.skip(i.numbers[n], result.Conflict)
			default:
				i.summary.Unchanged++
			}
		}
	}
	i.users = i.users[:0]
	i.numbers = i.numbers[:0]
	clear(i.logins)
	if i.Progress != nil {
		i.Progress(i.lines.read, i.summary.Lines)
	}
	return nil
}
