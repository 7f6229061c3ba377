package sqlite

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"zombiezen.com/go/sqlite"
)

// This file finds out at a start whether the write-ahead log beside the database belongs to the database. SQLite itself
// does not check that: if a backup is copied over pawl.db while an old pawl.db-wal is still there, SQLite applies the
// pages of the log to the backup and destroys it.
//
// The header of a write-ahead log has two salts. When the log starts again after a checkpoint, SQLite adds 1 to the
// first salt and picks a random second one. The row of the table wal_mark keeps salts as the mark. The first commit
// after the log has started again notices the new salts, and the next commit includes them in the mark. A commit of
// many changes writes a random mark, because it may start the log again and run a checkpoint at once. So at each moment
// one of these rules holds for the commits of a log and the mark in the database file:
//
//   - The mark has the salts before those of the log: the last checkpoint copied the whole previous log.
//   - The first mark in the log was written over the mark in the database file. The log of a new process begins with a
//     mark, because the salts of a new file are random, and so does the log after a random mark.
//   - The log has the mark: a checkpoint has copied at least a part of the log.
//
// A row of wal_mark therefore has two values: the mark before the present one, and the present one. A backup has a
// random mark, and a copy of the file from an earlier log has an earlier mark, so neither of them fits. A copy from the
// same log fits. It is safe, because the log has every page that has changed since.

// salts identify the time from one start of the write-ahead log to the next.
type salts [8]byte

// follows reports whether a log with these salts can come after one with the other salts.
func (s salts) follows(other salts) bool {
	return binary.BigEndian.Uint32(s[:]) == binary.BigEndian.Uint32(other[:])+1
}

// walMark keeps the mark current. Only the committer goroutine uses it.
type walMark struct {
	path string   // of the log
	file *os.File // the log, once there is one
	mark salts    // in the database
	seen salts    // in the header of the log after the last commit; zero before the first one
	due  bool     // whether the next commit has to write the mark

	changes int64 // rows changed by the connection before the present transaction; -1 if it is small
	written bool  // whether the present transaction writes the mark
	next    salts // the mark in the present transaction
	buffer  salts // for read, so that a commit allocates nothing
}

// maxSmallCommit is how many rows a commit may change without a mark. A row and its indexes need a few pages, so the
// commit writes fewer pages than SQLite collects in the log before a checkpoint.
const maxSmallCommit = 100

const walMarkTable = "wal_mark"

// hasWALMark reports whether a database has the table of the mark. A new file and a store from before the mark lack it.
func hasWALMark(conn *sqlite.Conn) (bool, error) {
	tables, err := count(conn, "sqlite_schema WHERE name = '"+walMarkTable+"'")
	return tables > 0, err
}

// loadWALMark reads the mark. The first commit writes the next mark.
func loadWALMark(conn *sqlite.Conn, path string) (walMark, error) {
	mark := walMark{path: path + "-wal", due: true, changes: -1}
	row, err := queryOne(conn, "SELECT salts FROM "+walMarkTable, nil, scanSalts)
	copy(mark.mark[:], row[len(salts{}):])
	return mark, err
}

// scanSalts returns the mark before the present one, and the present one.
func scanSalts(stmt *sqlite.Stmt) (row [2 * len(salts{})]byte) {
	stmt.ColumnBytes(0, row[:])
	return row
}

// begin begins a transaction. If counted is false, the transaction is a small commit.
func (m *walMark) begin(conn *sqlite.Conn, counted bool) (err error) {
	m.changes = -1
	if counted {
		m.changes, err = totalChanges(conn)
	}
	return err
}

// beforeCommit writes the mark in the present transaction if it is due.
func (m *walMark) beforeCommit(conn *sqlite.Conn) error {
	large := false
	if m.changes >= 0 {
		changes, err := totalChanges(conn)
		if err != nil {
			return err
		}
		large = changes-m.changes > maxSmallCommit
	}
	m.written = m.due || large
	if !m.written {
		return nil
	}
	m.next = m.read()
	if large || m.next == (salts{}) {
		rand.Read(m.next[:]) // never fails (crypto/rand)
	}
	return execute(conn, "UPDATE "+walMarkTable+" SET salts = ?", slices.Concat(m.mark[:], m.next[:]))
}

// totalChanges returns how many rows a connection has changed.
func totalChanges(conn *sqlite.Conn) (int64, error) {
	return queryOne(conn, "SELECT total_changes()", nil, scanNumber)
}

// committed reads the salts after a commit. The result is true if the log was started again by another program, such as
// one that replicates it. Its salts are then unrelated to the mark, so that the mark has to be written at once.
func (m *walMark) committed() (unrelated bool) {
	if m.written {
		m.mark = m.next
	}
	before := m.seen
	m.seen = m.read()
	m.due = m.seen != m.mark
	return m.due && before != (salts{}) && m.seen != before && !m.seen.follows(before)
}

// read returns the salts in the header of the log, or zeros if there is none yet.
func (m *walMark) read() salts {
	if m.file == nil {
		file, err := os.Open(m.path)
		if err != nil {
			return salts{}
		}
		m.file = file
	}
	m.buffer = salts{}
	_, _ = m.file.ReadAt(m.buffer[:], walSaltsAt) // an empty log has no salts
	return m.buffer
}

func (m *walMark) close() {
	if m.file != nil {
		m.file.Close()
	}
}

// The layout of a write-ahead log (https://sqlite.org/fileformat2.html#walformat).
const (
	walMagic       = 0x377f0682 // the lowest bit means that checksums are of big-endian numbers
	walHeaderSize  = 32
	walFrameHeader = 24
	walSaltsAt     = 16
	walChecksumAt  = 24
)

// checkWAL returns an error if the write-ahead log beside a database has commits and is not the log of that database,
// or is no write-ahead log. It changes no file. A damaged database returns nil, because opening it explains more.
func checkWAL(path string) error {
	file, err := os.Open(path + "-wal")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the write-ahead log: %w", err)
	}
	defer file.Close()
	log := walReader{in: bufio.NewReaderSize(file, 1<<20)}
	switch valid, err := log.readHeader(); {
	case err != nil:
		return fmt.Errorf("%s-wal: %w; move it away if the database is a backup", path, err)
	case !valid:
		return nil // A loss of power left the header incomplete, so the log has no commit.
	}
	root, mark, ok := markInFile(path)
	if !ok || log.salts.follows(mark) {
		return nil
	}
	marks, commits, err := log.marks(root)
	switch {
	case err != nil:
		return fmt.Errorf("cannot read the write-ahead log: %w", err)
	case !commits, len(marks) > 0 && marks[0].before == mark:
		return nil
	case slices.ContainsFunc(marks, func(row markRow) bool { return row.mark == mark }):
		return nil
	}
	return fmt.Errorf("%s-wal is the write-ahead log of another database or of another time, and nothing was changed: "+
		"if a backup was copied over the database, run pawl store restore --from FILE; "+
		"else put back the files that belong together", path)
}

// markInFile returns the mark in the database file without its write-ahead log, and the page of its table. ok is false
// if the file has no table for the mark, or cannot be read without the log.
func markInFile(path string) (root uint32, mark salts, ok bool) {
	uri := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: "immutable=1"}
	if filepath.VolumeName(path) != "" {
		uri.Path = "/" + uri.Path // as SQLite expects it on Windows
	}
	conn, err := sqlite.OpenConn(uri.String(), sqlite.OpenReadOnly, sqlite.OpenURI)
	if err != nil {
		return 0, mark, false
	}
	defer conn.Close()
	page, err := queryOne(conn, "SELECT rootpage FROM sqlite_schema WHERE name = ?", args{walMarkTable}, scanNumber)
	if err != nil {
		return 0, mark, false
	}
	loaded, err := loadWALMark(conn, path)
	return uint32(page), loaded.mark, err == nil
}

// walReader reads a write-ahead log from its beginning.
type walReader struct {
	in       *bufio.Reader
	salts    salts
	order    binary.ByteOrder // of the numbers in checksums
	sum      [2]uint32        // the checksum so far
	pageSize int
}

// readHeader reads the header of the log. valid is false if SQLite would ignore the log.
func (r *walReader) readHeader() (valid bool, err error) {
	var header [walHeaderSize]byte
	if _, err := io.ReadFull(r.in, header[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = nil
		}
		return false, err
	}
	magic := binary.BigEndian.Uint32(header[:])
	switch {
	case header == [walHeaderSize]byte{}:
		return false, nil
	case magic&^1 != walMagic:
		return false, errors.New("the file is not a write-ahead log")
	}
	r.order = binary.LittleEndian
	if magic&1 != 0 {
		r.order = binary.BigEndian
	}
	r.pageSize = int(binary.BigEndian.Uint32(header[8:]))
	copy(r.salts[:], header[walSaltsAt:])
	r.add(header[:walChecksumAt])
	valid = r.sumIs(header[walChecksumAt:]) && r.pageSize >= 512 && r.pageSize <= 65536
	return valid, nil
}

// markRow is a row of wal_mark.
type markRow struct{ before, mark salts }

// marks returns the marks that the log's commits wrote to a page, and whether the log has any commit. Like SQLite, it
// ignores everything from the first invalid frame on.
func (r *walReader) marks(root uint32) (marks []markRow, commits bool, err error) {
	frame := make([]byte, walFrameHeader+r.pageSize)
	found := 0 // the number of marks in whole commits
	for {
		if _, err := io.ReadFull(r.in, frame); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = nil
			}
			return marks[:found], commits, err
		}
		r.add(frame[:8])
		r.add(frame[walFrameHeader:])
		if !bytes.Equal(frame[8:16], r.salts[:]) || !r.sumIs(frame[16:walFrameHeader]) {
			return marks[:found], commits, nil
		}
		if binary.BigEndian.Uint32(frame) == root {
			if row, ok := parseMarkPage(frame[walFrameHeader:]); ok {
				marks = append(marks, row)
			}
		}
		if binary.BigEndian.Uint32(frame[4:]) != 0 { // the last frame of a commit
			commits = true
			found = len(marks)
		}
	}
}

// parseMarkPage returns the only row of a page of wal_mark: a leaf with one cell. The cell has the size of the record,
// the rowid, and the record, in which the salts are the last value.
func parseMarkPage(page []byte) (markRow, bool) {
	const size = 2 * len(salts{})
	at := int(binary.BigEndian.Uint16(page[8:]))
	if page[0] != 13 || at < 8 || at+2 > len(page) {
		return markRow{}, false
	}
	end := at + 2 + int(page[at])
	if end > len(page) || end-size < at+2 {
		return markRow{}, false
	}
	row := page[end-size : end]
	return markRow{before: salts(row[:len(salts{})]), mark: salts(row[len(salts{}):])}, true
}

// add adds pairs of numbers to the checksum.
func (r *walReader) add(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		r.sum[0] += r.order.Uint32(b) + r.sum[1]
		r.sum[1] += r.order.Uint32(b[4:]) + r.sum[0]
	}
}

func (r *walReader) sumIs(b []byte) bool {
	return binary.BigEndian.Uint32(b) == r.sum[0] && binary.BigEndian.Uint32(b[4:]) == r.sum[1]
}
