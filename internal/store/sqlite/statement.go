package sqlite

import (
	"fmt"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority/fault"
)

// bind sets the parameters of a statement, which it makes ready to run.
func bind(stmt *sqlite.Stmt, args ...any) {
	for i, arg := range args {
		switch v := arg.(type) {
		case int64:
			stmt.BindInt64(i+1, v)
		case string:
			stmt.BindText(i+1, v)
		case []byte:
			stmt.BindBytes(i+1, v)
		case nil:
			stmt.BindNull(i + 1)
		default:
			panic(fmt.Sprintf("sqlite: cannot bind a %T", arg))
		}
	}
}

// truth is a truth value as SQLite has it.
func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// each runs a statement to its end, and calls row at each row.
func each(stmt *sqlite.Stmt, row func()) error {
	defer reset(stmt)
	for {
		more, err := stmt.Step()
		if err != nil || !more {
			return err
		}
		row()
	}
}

// one runs a statement that gives one row, or none: ErrNotFound.
func one(stmt *sqlite.Stmt, row func()) error {
	found := false
	err := each(stmt, func() { row(); found = true })
	if err == nil && !found {
		err = fault.ErrNotFound
	}
	return err
}

// changeOne runs a statement that must change one row, else ErrNotFound.
func changeOne(conn *sqlite.Conn, stmt *sqlite.Stmt) error {
	if err := each(stmt, func() {}); err != nil {
		return err
	}
	if conn.Changes() == 0 {
		return fault.ErrNotFound
	}
	return nil
}

// reset lets go of the read lock; an error was Step's already.
func reset(stmt *sqlite.Stmt) { _ = stmt.Reset(); _ = stmt.ClearBindings() }
