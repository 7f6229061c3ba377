// Package sqlite is the embedded store: one SQLite file, owned by one process.
//
// Every write goes through one connection and one group commit, whose owner is
// the committer goroutine. Reads of live sessions, users and keys are answered
// from memory; a lock on the folder makes sure that nobody else writes the
// file. Lists and what memory does not have yet come from a pool of readers.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/store/batch"
	"github.com/pawlauth/pawl/internal/token"
)

// FileName is the database's name in the data folder.
const FileName = "pawl.db"

const (
	lockName  = "pawl.lock"
	readers   = 4
	batchSize = 256 // ops in one commit at most
	// gather is longer than callers take to come back, and less than a commit
	// on a slow disk.
	gather = 500 * time.Microsecond
)

// Store is an authority.Store on SQLite.
type Store struct {
	lock *flock.Flock

	// The committer goroutine owns these after Open.
	writer  *sqlite.Conn
	log     stepLog
	reserve reserve
	pending map[token.SessionID]entry // what the batch under way changed

	reads   *sqlitex.Pool
	group   *batch.Group[write]
	memory  *memory
	cursor  sweepCursor
	metrics *metrics.Metrics

	stop    context.CancelFunc // ends the warming
	warming sync.WaitGroup
}

var _ authority.Store = (*Store)(nil)

// Open opens the store in dir, and makes both if they are not there yet. The
// error says who holds the folder if another process does.
func Open(dir string) (*Store, error) { return OpenWith(dir, nil) }

// OpenWith is Open with metrics.
func OpenWith(dir string, m *metrics.Metrics) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the data folder cannot be made: %w", err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{lock: lock, metrics: m, memory: newMemory(), pending: map[token.SessionID]entry{}, reserve: reserve{path: filepath.Join(dir, reserveName)}}
	path := filepath.Join(dir, FileName)
	err = s.open(path)
	if isFull(err) { // SQLite needs some room even to read
		s.reserve.release()
		err = s.open(path)
	}
	if err != nil {
		lock.Unlock()
		return nil, err
	}
	s.group = batch.New(batchSize, 1, gather, s.commit)
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.warming.Go(func() { s.warm(ctx) })
	m.Register(metrics.Gauges{Sessions: s.SessionCount})
	return s, nil
}

// lockFolder takes the folder for this process, and leaves its id for others.
func lockFolder(dir string) (*flock.Flock, error) {
	path := filepath.Join(dir, lockName)
	lock := flock.New(path, flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("the data folder %s cannot be locked: %w; make it writable for the user that Pawl runs as", dir, err)
	}
	if !locked {
		holder, _ := os.ReadFile(path)
		return nil, fmt.Errorf("the data folder %s is held by another Pawl, process %s: stop it, or choose another folder with --data", dir, holder)
	}
	if err := os.WriteFile(path, fmt.Append(nil, os.Getpid()), 0o600); err != nil {
		lock.Unlock()
		return nil, fmt.Errorf("the data folder %s cannot be written: %w; make it writable for the user that Pawl runs as", dir, err)
	}
	return lock, nil
}

func (s *Store) open(path string) error {
	// SQLite gives its -wal and -shm files the mode of the database.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("the database cannot be opened: %w", err)
	}
	file.Close()
	s.writer, err = sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return fmt.Errorf("the database %s cannot be opened: %w", path, err)
	}
	if err := s.prepare(path); err != nil {
		s.writer.Close()
		return err
	}
	return nil
}

// keepPrivate takes the modes back that a copy of the files gave to others, as
// a restore does. Where another user owns the files, it is theirs to do.
func keepPrivate(path string) {
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if info, err := os.Stat(name); err == nil && info.Mode().Perm()&0o077 != 0 {
			_ = os.Chmod(name, 0o600)
		}
	}
}

func (s *Store) prepare(path string) error {
	if err := checkOwner(s.writer, path); err != nil {
		return err
	}
	keepPrivate(path)
	for _, p := range []string{"journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"} {
		if err := sqlitex.ExecuteTransient(s.writer, "PRAGMA "+p, nil); err != nil {
			return unreadable(path, err)
		}
	}
	if err := migrate(s.writer, path); err != nil {
		return err
	}
	if err := s.log.replay(s.writer, s.memory); err != nil {
		return fmt.Errorf("%s is damaged: %w; restore it from a backup", path, err)
	}
	pool, err := sqlitex.NewPool(path, sqlitex.PoolOptions{Flags: sqlite.OpenReadOnly, PoolSize: readers})
	if err != nil {
		return fmt.Errorf("the database %s cannot be opened: %w", path, err)
	}
	s.reads = pool
	return nil
}

// Close finishes the steps under way, folds the write-ahead log into the file,
// and gives the folder free.
func (s *Store) Close() error {
	s.stop()
	s.warming.Wait()
	s.group.Close()
	err := errors.Join(s.reads.Close(), s.writer.Close())
	return errors.Join(err, s.lock.Close())
}

// Ready returns nil if the file can be read.
func (s *Store) Ready(ctx context.Context) error {
	return s.read(ctx, func(conn *sqlite.Conn) error {
		return sqlitex.Execute(conn, "SELECT 1 FROM session LIMIT 1", nil)
	})
}

// read runs f with a reader, within ctx.
func (s *Store) read(ctx context.Context, f func(*sqlite.Conn) error) error {
	conn, err := s.reads.Take(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", fault.ErrUnavailable, err)
	}
	defer s.reads.Put(conn)
	return s.failed(f(conn))
}

// explain marks the errors of SQLite that say that the disk cannot serve now.
func explain(err error) error {
	if err == nil {
		return nil
	}
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultFull, sqlite.ResultIOErr, sqlite.ResultReadOnly, sqlite.ResultCantOpen, sqlite.ResultBusy, sqlite.ResultInterrupt:
		return fmt.Errorf("%w: %w", fault.ErrUnavailable, err)
	}
	return err
}
