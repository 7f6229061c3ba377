package sqlite

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/sessionlog"
	"github.com/pawlauth/pawl/internal/storecopy"
	"github.com/pawlauth/pawl/internal/token"
)

// Check reads the whole store in dir, and returns what is damaged. No other process may use the store. Check changes
// nothing. The errors are those of Backup, and that of a locked folder.
func Check(ctx context.Context, dir string) (storecopy.Report, error) {
	path := filepath.Join(dir, FileName)
	if err := mustExist(path, dir); err != nil {
		return storecopy.Report{}, err
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return storecopy.Report{}, err
	}
	defer lock.Close()
	if err := checkWAL(path); err != nil {
		return storecopy.Report{}, err
	}
	return CheckFile(ctx, path)
}

// CheckFile is Check for a database file, such as a backup. It does not lock anything.
func CheckFile(ctx context.Context, path string) (report storecopy.Report, err error) {
	defer func() { err = orInterrupted(ctx, err, "") }()
	conn, err := openExisting(ctx, path, path)
	if err != nil {
		return report, err
	}
	defer conn.Close()
	c := checker{conn: conn}
	err = c.integrity(ctx)
	if err == nil && len(c.problems) == 0 { // else the other checks find only consequences
		err = errors.Join(c.relations(), c.sessionStates())
	}
	report.Problems = c.problems
	if ctx.Err() != nil { // an interrupted read of the rotation log is no damage
		return storecopy.Report{}, ctx.Err()
	}
	if err != nil || len(c.problems) > 0 {
		return report, err
	}
	if err := requireAdministrator(conn, path); err != nil {
		return report, err
	}
	report.Counts, err = countRows(conn)
	return report, err
}

// openExisting opens a database file of this or an earlier version of the schema to read it, until ctx ends. where is
// for the message of mustExist.
func openExisting(ctx context.Context, path, where string) (*sqlite.Conn, error) {
	if err := mustExist(path, where); err != nil {
		return nil, err
	}
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadOnly)
	if err != nil {
		return nil, fmt.Errorf("cannot open the database %s: %w", path, err)
	}
	conn.SetInterrupt(ctx.Done())
	if err := checkApplication(conn, path); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// mustExist returns storecopy.ErrMissing if there is no database file, or an empty one. where is for the message.
func mustExist(path, where string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return fmt.Errorf("%w in %s", storecopy.ErrMissing, where)
	}
	if err != nil {
		return fmt.Errorf("cannot read the store: %w; run this as the user that Pawl runs as", err)
	}
	return nil
}

// requireAdministrator returns storecopy.ErrNoAdministrator if a database has no user of level Root, and
// storecopy.ErrIncomplete if it is the target of an incomplete copy.
func requireAdministrator(conn *sqlite.Conn, path string) error {
	marks, err := count(conn, "copying")
	if err != nil {
		return unreadable(path, err)
	}
	if marks > 0 {
		return storecopy.ErrIncomplete
	}
	roots, err := count(conn, fmt.Sprintf("user WHERE level = %d", authority.Root))
	if err != nil {
		return unreadable(path, err)
	}
	if roots == 0 {
		return fmt.Errorf("%s: %w", path, storecopy.ErrNoAdministrator)
	}
	return nil
}

// checker collects the problems of a database.
type checker struct {
	conn     *sqlite.Conn
	problems []string
}

func (c *checker) report(problem string) { c.problems = append(c.problems, problem) }

// maxProblems bounds how much of a damaged file is reported.
const maxProblems = 20

// integrity reads every page, and compares each table to its indexes.
func (c *checker) integrity(ctx context.Context) error {
	sql := fmt.Sprintf("PRAGMA integrity_check(%d)", maxProblems)
	found, err := queryAll(c.conn, sql, nil, func(stmt *sqlite.Stmt) string { return stmt.ColumnText(0) })
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil { // some kinds of damage end the check
		found = append(found, err.Error())
	}
	for _, problem := range found {
		if problem != "ok" {
			c.report("SQLite: " + problem)
		}
	}
	return nil
}

// rules has queries for the rows that contradict other rows.
var rules = []struct{ what, rows string }{
	{what: "sessions have no user", rows: "hex(id) AS id FROM session WHERE user_id NOT IN (SELECT id FROM user)"},
	{what: "API keys have no user", rows: "id FROM api_key WHERE user_id NOT IN (SELECT id FROM user)"},
	{
		what: "API keys belong to a session that does not exist",
		rows: "id FROM api_key WHERE session_id IS NOT NULL AND session_id NOT IN (SELECT id FROM session)",
	},
	{
		what: "sessions have ended with all others of their user, but count as live",
		rows: "hex(session.id) AS id FROM session JOIN user ON user.id = user_id WHERE epoch < session_epoch AND " +
			liveSession,
	},
	{
		what: "sessions are of a later epoch than their user",
		rows: "hex(session.id) AS id FROM session JOIN user ON user.id = user_id WHERE epoch > session_epoch",
	},
}

// relations looks for rows that contradict other rows.
func (c *checker) relations() error {
	type damage struct {
		count   int64
		example string
	}
	for _, rule := range rules {
		found, err := queryOne(c.conn, "SELECT count(*), min(id) FROM (SELECT "+rule.rows+")", nil,
			func(stmt *sqlite.Stmt) damage {
				return damage{count: stmt.ColumnInt64(0), example: stmt.ColumnText(1)}
			})
		if err != nil {
			return err
		}
		if found.count > 0 {
			c.report(storecopy.Problem(found.count, rule.what, found.example))
		}
	}
	return nil
}

// sessionStates replays the rotation log, which checks the checksum of each row, and compares it to the sessions.
func (c *checker) sessionStates() error {
	log, err := sessionlog.Load(logRows{c.conn}, nil) // with the sessions of ended epochs
	if err != nil {
		c.report(err.Error())
		return nil
	}
	var sessions, wrong int64
	var example token.SessionID
	err = query(c.conn, "SELECT id, user_id FROM session", nil, func(stmt *sqlite.Stmt) {
		sessions++
		id := scanSessionID(stmt)
		if state, exists := log.Get(id); !exists || state.UserID != stmt.ColumnInt64(1) {
			wrong++
			example = id
		}
	})
	if wrong > 0 {
		c.report(storecopy.Problem(wrong, "sessions have no state in the rotation log, or that of another user",
			hex.EncodeToString(example[:])))
	}
	if states := log.Stats().Sessions; wrong == 0 && states != sessions {
		c.report(fmt.Sprintf("the rotation log has %d sessions, and the table has %d", states, sessions))
	}
	return err
}

// countRows counts the rows of a store.
func countRows(conn *sqlite.Conn) (storecopy.Counts, error) {
	var n storecopy.Counts
	tables := map[string]*int64{
		"user":           &n.Users,
		"signing_key":    &n.SigningKeys,
		"used_assertion": &n.Assertions,

		"session WHERE " + liveSession + " AND " + ofLiveActor: &n.Sessions,
		"api_key WHERE " + liveAPIKey:                          &n.APIKeys,
	}
	for from, rows := range tables {
		var err error
		if *rows, err = count(conn, from); err != nil {
			return n, err
		}
	}
	return n, nil
}
