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
	driverGroup = 48 // updates in one commit
	driverCAS   = "UPDATE session SET generation = generation + 1, refreshed = ?2 WHERE id = ?1 AND generation >= ?3"
)

func driverID(n uint64) []byte {
	source := rand.NewPCG(n, 1)
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, source.Uint64()), source.Uint64())
}

// driverFile makes a database with rows under random IDs.
func driverFile(b *testing.B) (path string, conn *zsqlite.Conn) {
	b.Helper()
	path = filepath.Join(b.TempDir(), "driver.db")
	conn, err := zsqlite.OpenConn(path, zsqlite.OpenReadWrite, zsqlite.OpenCreate)
	if err != nil {
		b.Fatal(err)
	}
	exec := func(query string, args ...any) {
		if err := sqlitex.Execute(conn, query, &sqlitex.ExecOptions{Args: args}); err != nil {
			b.Fatal(err)
		}
	}
	exec("CREATE TABLE session (id BLOB PRIMARY KEY, generation INT, refreshed INT) WITHOUT ROWID")
	exec("PRAGMA journal_mode=WAL")
	exec("PRAGMA synchronous=FULL")
	exec("BEGIN")
	for n := range uint64(driverRows) {
		exec("INSERT INTO session VALUES (?, 1, 1)", driverID(n))
	}
	exec("COMMIT")
	return path, conn
}

// BenchmarkDriver compares two drivers of the same SQLite: commits of compare-and-swap updates with synchronous=FULL.
// It is the reason why the store does not use database/sql (docs/decisions.md).
func BenchmarkDriver(b *testing.B) {
	b.Run("zombiezen", benchmarkZombiezen)
	b.Run("database-sql", benchmarkDatabaseSQL)
}

func benchmarkZombiezen(b *testing.B) {
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
				b.Fatal("no row was updated")
			}
		}
		run(conn.Prep("COMMIT"))
	}
	b.ReportMetric(float64(b.N*driverGroup)/b.Elapsed().Seconds(), "updates/s")
}

func benchmarkDatabaseSQL(b *testing.B) {
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
			if updated, _ := result.RowsAffected(); updated != 1 {
				b.Fatal("no row was updated")
			}
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*driverGroup)/b.Elapsed().Seconds(), "updates/s")
}
