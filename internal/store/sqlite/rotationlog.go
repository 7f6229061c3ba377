package sqlite

import (
	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/sessionlog"
)

// logRows implements sessionlog.Rows on the table rotation_log.
type logRows struct{ conn *sqlite.Conn }

func (r logRows) List() ([]sessionlog.Position, error) {
	return queryAll(r.conn, "SELECT slot, seq FROM rotation_log", nil, func(stmt *sqlite.Stmt) sessionlog.Position {
		return sessionlog.Position{Slot: stmt.ColumnInt64(0), Seq: stmt.ColumnInt64(1)}
	})
}

func (r logRows) Read(slot int64, buffer []byte) ([]byte, error) {
	err := query(r.conn, "SELECT records FROM rotation_log WHERE slot = ?", args{slot}, func(stmt *sqlite.Stmt) {
		length := len(buffer)
		buffer = append(buffer, make([]byte, stmt.ColumnLen(0))...)
		stmt.ColumnBytes(0, buffer[length:])
	})
	return buffer, err
}

// Write overwrites the row in place, because all rows have the same size.
func (r logRows) Write(p sessionlog.Position, blob []byte) error {
	err := execute(r.conn, "UPDATE rotation_log SET seq = ?, records = ? WHERE slot = ?", p.Seq, blob, p.Slot)
	if err != nil || r.conn.Changes() > 0 {
		return err
	}
	return execute(r.conn, "INSERT INTO rotation_log (slot, seq, records) VALUES (?, ?, ?)", p.Slot, p.Seq, blob)
}
