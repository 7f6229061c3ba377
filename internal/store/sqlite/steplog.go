package sqlite

import (
	"fmt"

	"zombiezen.com/go/sqlite"
)

const (
	// rowSize is what fills a page of 4 KiB: its overhead is 40 bytes at most.
	// So a page has one row, no row has a second page, and the newest row is
	// written again until it is full at no cost, as its page is anyway.
	rowSize = 4050
	// The log may have half as many records more than there are sessions, and
	// logFloor. A smaller share costs cleaning, a larger one disk.
	logFloor = 4096
)

// stepLog is the table step as the committer sees it. A copy is changed within
// a transaction, and takes the place of the original after the commit.
type stepLog struct {
	first, last int64  // the rows' seq; the first is past the last if there is none
	records     int    // in all rows
	tail        []byte // the last row, without its sum
	added       int    // records since the last clean
}

// add appends a record. The last row goes to the file with flush.
func (l *stepLog) add(conn *sqlite.Conn, e *entry) error {
	if l.tail == nil || len(l.tail)+maxRecord+sumSize > rowSize {
		if err := l.flush(conn); err != nil {
			return err
		}
		l.last++
		l.tail = append(make([]byte, 0, rowSize), recordVersion)
	}
	l.tail = appendRecord(l.tail, e) // past the end of the original's tail, which so stays as it is
	l.records++
	l.added++
	return nil
}

func (l *stepLog) flush(conn *sqlite.Conn) error {
	if l.tail == nil {
		return nil
	}
	stmt := conn.Prep("REPLACE INTO step (seq, records) VALUES (?, ?)")
	bind(stmt, l.last, seal(l.tail))
	return each(stmt, func() {})
}

// clean removes the oldest rows while the log has more than its share, and adds
// what in them still holds anew. It looks at about four records for each that
// was added since it was last called: the log gets shorter, and no batch waits long.
func (l *stepLog) clean(conn *sqlite.Conn, sessions int64, holds func(*entry) bool) error {
	budget := 4*l.added + 128
	for budget > 0 && l.first < l.last && l.records > int(sessions+sessions/2)+logFloor {
		stmt := conn.Prep("DELETE FROM step WHERE seq = ? RETURNING records")
		bind(stmt, l.first)
		var blob []byte
		if err := each(stmt, func() { blob = columnBlob(stmt, 0) }); err != nil {
			return err
		}
		l.first++
		err := eachRecord(blob, func(e *entry) error {
			l.records--
			budget--
			if e.generation == 0 || !holds(e) { // of what ended no older record is left
				return nil
			}
			return l.add(conn, e)
		})
		if err != nil {
			return fmt.Errorf("step %d: %w", l.first-1, err)
		}
	}
	l.added = 0
	return l.flush(conn)
}

// replay reads the log into memory.
func (l *stepLog) replay(conn *sqlite.Conn, m *memory) error {
	stmt := conn.Prep("SELECT seq, records FROM step ORDER BY seq")
	defer reset(stmt)
	*l = stepLog{first: 1}
	for {
		more, err := stmt.Step()
		if err != nil || !more {
			return err
		}
		seq := stmt.ColumnInt64(0)
		if l.tail != nil && seq != l.last+1 {
			return fmt.Errorf("%w: rows %d to %d are not there", errDamaged, l.last+1, seq-1)
		}
		if l.tail == nil {
			l.first = seq
		}
		l.last = seq
		blob := columnBlob(stmt, 1)
		err = eachRecord(blob, func(e *entry) error {
			l.records++
			if e.generation == 0 {
				m.drop(e.id)
			} else {
				m.put(e)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("step %d: %w", seq, err)
		}
		l.tail = blob[:len(blob)-sumSize]
	}
}

// eachRecord checks a blob and calls f with each of its records.
func eachRecord(blob []byte, f func(*entry) error) error {
	rest, err := unseal(blob)
	for e := new(entry); err == nil && len(rest) > 0; {
		if rest, err = nextRecord(rest, e); err == nil {
			err = f(e)
		}
	}
	return err
}

func columnBlob(stmt *sqlite.Stmt, column int) []byte {
	b := make([]byte, stmt.ColumnLen(column))
	stmt.ColumnBytes(column, b)
	return b
}
