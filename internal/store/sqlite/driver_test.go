package sqlite_test

import (
	"database/sql"
	"encoding/binary"
	"math/rand/v2"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite" // registers "sqlite" with database/sql
	zsqlite "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

const (
	driverRows  = 100_000
	driverGroup = 48 // updates in a commit
	driverCAS   = "UPDATE session SET generation = generation + 1, refreshed = ?2 WHERE id = ?1 AND generation >= ?3"
)

func driverID(n uint64) []byte {
	source := rand.NewPCG(n, 1)
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, source.Uint64()), source.Uint64())
}

// driverFile is a database with rows under random ids.
func driverFile(b *testing.B) (path string, conn *zsqlite.Conn) {
	b.Helper()
	path = filepath.Join(b.TempDir(), "driver.db")
	conn, err := zsqlite.OpenConn(path, zsqlite.OpenReadWrite, zsqlite.OpenCreate)
	if err != nil {
		b.Fatal(err)
	}
	if err := sqlitex.ExecuteScript(conn, "CREATE TABLE session (id BLOB PRIMARY KEY, generation INT, refreshed INT) WITHOUT ROWID", nil); err != nil {
		b.Fatal(err)
	}
	exec := func(query string, args ...any) {
		if err := sqlitex.Execute(conn, query, &sqlitex.ExecOptions{Args: args}); err != nil {
			b.Fatal(err)
		}
	}
	exec("PRAGMA journal_mode=WAL")
	exec("PRAGMA synchronous=FULL")
	exec("BEGIN")
	for n := range uint64(driverRows) {
		exec("INSERT INTO session VALUES (?, 1, 1)", driverID(n))
	}
	exec("COMMIT")
	return path, conn
}

// BenchmarkDriver holds the two ways to drive the same SQLite against each
// other: commits of compare-and-swap updates, synchronous=FULL. It is why the
// store is below database/sql (docs/architecture.md).
func BenchmarkDriver(b *testing.B) {
	b.Run("zombiezen", func(b *testing.B) {
		_, conn := driverFile(b)
		defer conn.Close()
		run := func(stmt *zsqlite.Stmt) {
			if _, err := stmt.Step(); err != nil {
				b.Fatal(err)
			}
			if err := stmt.Reset(); err != nil {
				b.Fatal(err)
			}
		}
		b.ResetTimer()
		for n := range uint64(b.N) {
			run(conn.Prep("BEGIN IMMEDIATE"))
			for i := range uint64(driverGroup) {
				stmt := conn.Prep(driverCAS)
				stmt.BindBytes(1, driverID((n*driverGroup+i)%driverRows))
				stmt.BindInt64(2, 2)
				stmt.BindInt64(3, 1)
				run(stmt)
				if conn.Changes() != 1 {
					b.Fatal("not moved")
				}
			}
			run(conn.Prep("COMMIT"))
		}
		b.ReportMetric(float64(b.N*driverGroup)/b.Elapsed().Seconds(), "updates/s")
	})
	b.Run("database-sql", func(b *testing.B) {
		path, conn := driverFile(b)
		conn.Close()
		db, err := sql.Open("sqlite", path+"?_pragma=synchronous(FULL)")
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		db.SetMaxOpenConns(1)
		cas, err := db.Prepare(driverCAS)
		if err != nil {
			b.Fatal(err)
		}
		b.ResetTimer()
		for n := range uint64(b.N) {
			tx, err := db.Begin()
			if err != nil {
				b.Fatal(err)
			}
			stmt := tx.Stmt(cas)
			for i := range uint64(driverGroup) {
				result, err := stmt.Exec(driverID((n*driverGroup+i)%driverRows), 2, 1)
				if err != nil {
					b.Fatal(err)
				}
				if moved, _ := result.RowsAffected(); moved != 1 {
					b.Fatal("not moved")
				}
			}
			if err := tx.Commit(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N*driverGroup)/b.Elapsed().Seconds(), "updates/s")
	})
}
