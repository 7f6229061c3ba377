package sqlite

import (
	"cmp"
	"fmt"
	"slices"

	"zombiezen.com/go/sqlite"
)

// The log may have half as many records more than there are sessions, and
// logFloor. A smaller share costs cleaning, a larger one disk.
const logFloor = 4096

// stepLog is the table step as the committer sees it. A copy is changed within
// a transaction, and takes the place of the original after the commit; what the
// two share is only written to past the original's ends.
type stepLog struct {
	slots   []int64 // of the rows, by seq
	oldest  int64   // seq of the first of them
	clean   int64   // rows before this seq hold nothing any more
	records int     // in the rows from clean on
	tail    []byte  // the last row as far as it is filled
	added   int     // records since the last cleaning
}

func (l *stepLog) newest() int64 { return l.oldest + int64(len(l.slots)) - 1 }

// add appends a record. The last row goes to the file with flush.
func (l *stepLog) add(conn *sqlite.Conn, e *entry) error {
	if l.tail == nil || len(l.tail)+maxRecord > rowSize-sumSize {
		if err := l.flush(conn); err != nil {
			return err
		}
		if err := l.begin(conn); err != nil {
			return err
		}
	}
	l.tail = appendRecord(l.tail, e)
	l.records++
	l.added++
	return nil
}

// begin begins a row, in the slot of the oldest if that holds nothing.
func (l *stepLog) begin(conn *sqlite.Conn) error {
	slot := int64(len(l.slots)) + 1
	if len(l.slots) > 0 && l.oldest < l.clean {
		slot = l.slots[0]
		l.slots = l.slots[1:]
		l.oldest++
	} else {
		stmt := conn.Prep("INSERT INTO rotation_log (slot, seq, records) VALUES (?, 0, zeroblob(?))")
		bind(stmt, slot, int64(rowSize))
		if err := each(stmt, func() {}); err != nil {
			return err
		}
	}
	l.slots = append(l.slots, slot)
	l.tail = append(make([]byte, 0, rowSize), recordVersion)
	return nil
}

// flush writes the last row. As its size stays, SQLite overwrites it in place.
func (l *stepLog) flush(conn *sqlite.Conn) error {
	if l.tail == nil {
		return nil
	}
	stmt := conn.Prep("UPDATE rotation_log SET seq = ?, records = ? WHERE slot = ?")
	bind(stmt, l.newest(), seal(l.tail), l.slots[len(l.slots)-1])
	return each(stmt, func() {})
}

// shorten takes the oldest rows out of the log while it has more than its
// share, and adds what in them still holds anew. It looks at about four records
// for each that was added: so the log gets shorter, and no batch waits long.
func (l *stepLog) shorten(conn *sqlite.Conn, sessions int64, holds func(*entry) bool) error {
	budget := 4*l.added + 128
	for budget > 0 && l.clean < l.newest() && l.records > int(sessions+sessions/2)+logFloor {
		stmt := conn.Prep("SELECT records FROM rotation_log WHERE slot = ?")
		bind(stmt, l.slots[l.clean-l.oldest])
		var blob []byte
		if err := each(stmt, func() { blob = columnBlob(stmt, 0) }); err != nil {
			return err
		}
		l.clean++
		err := eachRecord(blob, func(e *entry) error {
			l.records--
			budget--
			if e.generation == 0 || !holds(e) { // of what ended no older record is left
				return nil
			}
			return l.add(conn, e)
		})
		if err != nil {
			return err
		}
	}
	l.added = 0
	return l.flush(conn)
}

// replay reads the log into memory.
func (l *stepLog) replay(conn *sqlite.Conn, m *memory) error {
	type row struct{ seq, slot int64 }
	var rows []row
	stmt, err := conn.Prepare("SELECT seq, slot FROM rotation_log") // Prep panics if a column is missing
	if err != nil {
		return err
	}
	if err := each(stmt, func() { rows = append(rows, row{stmt.ColumnInt64(0), stmt.ColumnInt64(1)}) }); err != nil {
		return err
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.seq, b.seq) })
	*l = stepLog{oldest: 1}
	if len(rows) > 0 {
		l.oldest = rows[0].seq
	}
	l.clean = l.oldest
	read, err := conn.Prepare("SELECT records FROM rotation_log WHERE slot = ?")
	if err != nil {
		return err
	}
	var blob []byte
	m.reserve(len(rows) * (rowSize / maxRecord) * 2 / 3) // of each session there are 1.5 records at most
	memory := newReplayer(m)
	defer memory.end()
	for i, r := range rows {
		if r.seq != l.oldest+int64(i) || r.slot < 1 || r.slot > int64(len(rows)) {
			return fmt.Errorf("%w: row %d is missing", errDamaged, l.oldest+int64(i))
		}
		bind(read, r.slot)
		if err := each(read, func() { blob = columnBlob(read, 0) }); err != nil {
			return err
		}
		err := eachRecord(blob, func(e *entry) error {
			memory.add(e)
			l.records++
			return nil
		})
		if err != nil {
			return fmt.Errorf("%w: row %d", err, r.seq)
		}
		l.slots = append(l.slots, r.slot)
	}
	if len(rows) > 0 {
		l.tail = unfilled(blob)
	}
	return nil
}

func columnBlob(stmt *sqlite.Stmt, column int) []byte {
	b := make([]byte, stmt.ColumnLen(column))
	stmt.ColumnBytes(column, b)
	return b
}
