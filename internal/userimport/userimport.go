// Package userimport reads users with their password hashes from a file, and
// adds them to a store.
package userimport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
)

// page is how many users are added in one step.
const page = 1000

// Format is how a file is written.
type Format string

// The formats.
const (
	JSONLines Format = "jsonl" // an object in each line
	CSV       Format = "csv"   // the first line names the columns
)

// Config is what Run needs.
type Config struct {
	Store    Store // nil only reads the file
	Format   Format
	Standard authority.Tenant // of a line that names none
	Clock    func() time.Time
	LeftOut  func(line int64, why error) // hears of each line that is left out
	Progress func(bytes, lines int64)    // hears of how much was read; may be nil
}

// Summary counts lines. One that was read and is in none of the other counts
// is good, and was not imported: there is no store.
type Summary struct {
	Lines     int64 `json:"lines"` // with a user, or meant to have one
	Imported  int64 `json:"imported"`
	Unchanged int64 `json:"unchanged"` // there already, and the same
	LeftOut   int64 `json:"leftOut"`
}

// Run imports a file: page by page, each in one durable step. An error ends it
// between two of them; what was imported stays, and the same file may be
// imported again. A line that is left out is no error.
func Run(ctx context.Context, file io.Reader, c Config) (Summary, error) {
	r := run{Config: c, lines: newLines(file), logins: map[string]bool{}}
	err := r.all(ctx)
	return r.sum, err
}

// run is an import under way.
type run struct {
	Config
	lines   *lines
	columns columns // of a CSV file
	users   []authority.UserWithHash
	numbers []int64         // the line of each of users
	logins  map[string]bool // of users, in lower case
	sum     Summary
}

func (r *run) all(ctx context.Context) error {
	for {
		line, err := r.lines.next()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == io.EOF:
			return r.flush(ctx)
		case errors.Is(err, errLongLine):
			r.sum.Lines++
			r.leaveOut(r.lines.number, err)
			continue
		case err != nil:
			return fmt.Errorf("the file cannot be read: %w", err)
		case len(strings.TrimSpace(string(line))) == 0:
			continue
		}
		if r.Format == CSV && r.columns == nil {
			if r.columns, err = readHeader(line); err != nil {
				return fmt.Errorf("line %d: %w", r.lines.number, err)
			}
			continue
		}
		if err := r.add(ctx, line); err != nil {
			return err
		}
	}
}

// add reads a line's user into the page, which goes to the store when it is
// full, and before a login comes that it has.
func (r *run) add(ctx context.Context, line []byte) error {
	r.sum.Lines++
	user, err := r.user(line)
	if err != nil {
		r.leaveOut(r.lines.number, err)
		return nil
	}
	login := strings.ToLower(user.Login)
	if len(r.users) == page || r.logins[login] {
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	r.users, r.numbers = append(r.users, user), append(r.numbers, r.lines.number)
	r.logins[login] = true
	return nil
}

func (r *run) user(line []byte) (authority.UserWithHash, error) {
	read := readJSON
	if r.Format == CSV {
		read = r.columns.read
	}
	f, err := read(line)
	if err != nil {
		return authority.UserWithHash{}, err
	}
	return f.record(r.Standard)
}

func (r *run) leaveOut(line int64, why error) {
	r.sum.LeftOut++
	r.LeftOut(line, why)
}

// flush adds the page to the store.
func (r *run) flush(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.Store != nil && len(r.users) > 0 {
		if err := r.store(ctx); err != nil {
			return err
		}
	}
	r.users, r.numbers = r.users[:0], r.numbers[:0]
	clear(r.logins)
	if r.Progress != nil {
		r.Progress(r.lines.read, r.sum.Lines)
	}
	return nil
}

func (r *run) store(ctx context.Context) error {
	added, conflicts, err := Import(ctx, r.Store, r.users, r.Clock().Unix())
	if err != nil {
		return err
	}
	for i, line := range r.numbers {
		switch {
		case added[i]:
			r.sum.Imported++
		case conflicts[i] != nil:
			r.leaveOut(line, conflicts[i])
		default:
			r.sum.Unchanged++
		}
	}
	return nil
}
