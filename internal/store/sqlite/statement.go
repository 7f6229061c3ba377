package sqlite

import (
	"fmt"
	"strings"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority/fault"
)

// args are the values of the parameters of a statement.
type args []any

// queryAll returns all rows of a query.
func queryAll[T any](conn *sqlite.Conn, sql string, a args, scan func(*sqlite.Stmt) T) ([]T, error) {
	rows := []T{}
	err := query(conn, sql, a, func(stmt *sqlite.Stmt) { rows = append(rows, scan(stmt)) })
	return rows, err
}

// queryOne returns the row of a query, or ErrNotFound if there is none.
func queryOne[T any](conn *sqlite.Conn, sql string, a args, scan func(*sqlite.Stmt) T) (T, error) {
	var row T
	found := false
	err := query(conn, sql, a, func(stmt *sqlite.Stmt) {
		row = scan(stmt)
		found = true
	})
	if err == nil && !found {
		err = fault.ErrNotFound
	}
	return row, err
}

// execute runs a statement without result rows.
func execute(conn *sqlite.Conn, sql string, a ...any) error {
	return query(conn, sql, a, func(*sqlite.Stmt) {})
}

// executeOne runs a statement that must change a row, and returns ErrNotFound if it changes none.
func executeOne(conn *sqlite.Conn, sql string, a ...any) error {
	if err := execute(conn, sql, a...); err != nil {
		return err
	}
	if conn.Changes() == 0 {
		return fault.ErrNotFound
	}
	return nil
}

// query executes a statement, and calls row at each row.
func query(conn *sqlite.Conn, sql string, a args, row func(*sqlite.Stmt)) error {
	return queryWhile(conn, sql, a, func(stmt *sqlite.Stmt) (bool, error) {
		row(stmt)
		return true, nil
	})
}

// queryWhile executes a statement, and calls row at each row until row returns false or an error. queryWhile prepares
// the statement once for each connection. row may execute other statements.
func queryWhile(conn *sqlite.Conn, sql string, a args, row func(*sqlite.Stmt) (more bool, err error)) error {
	stmt, err := conn.Prepare(sql)
	if err != nil {
		return err
	}
	defer reset(stmt)
	bind(stmt, a)
	for {
		found, err := stmt.Step()
		if err != nil || !found {
			return err
		}
		if more, err := row(stmt); err != nil || !more {
			return err
		}
	}
}

func bind(stmt *sqlite.Stmt, a args) {
	for i, arg := range a {
		switch v := arg.(type) {
		case int64:
			stmt.BindInt64(i+1, v)
		case string:
			stmt.BindText(i+1, v)
		case []byte:
			stmt.BindBytes(i+1, v)
		case bool:
			stmt.BindBool(i+1, v)
		case nil:
			stmt.BindNull(i + 1)
		default:
			panic(fmt.Sprintf("sqlite: cannot bind a %T", arg))
		}
	}
}

// reset releases the read lock of a statement. It ignores the error of Reset, because Step has returned the same error.
func reset(stmt *sqlite.Stmt) {
	_ = stmt.Reset()
	_ = stmt.ClearBindings()
}

func scanNumber(stmt *sqlite.Stmt) int64 { return stmt.ColumnInt64(0) }

// conditions are the conditions of a WHERE clause. All conditions must hold.
type conditions struct {
	text []string
	args args
}

func (c *conditions) add(condition string, a ...any) {
	c.text = append(c.text, condition)
	c.args = append(c.args, a...)
}

func (c *conditions) sql() string {
	if len(c.text) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.text, " AND ")
}

// nullable returns the value at p, or NULL.
func nullable[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

func nullableNumber[T ~uint8](p *T) any {
	if p == nil {
		return nil
	}
	return int64(*p)
}
