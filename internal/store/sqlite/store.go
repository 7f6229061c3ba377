// Package sqlite is the embedded store: one SQLite file, owned by one process.
//
// No other process can write to the file, because the store locks the data folder. So the memory of this process is
// always current: it has all sessions (internal/sessionlog), and the users and API keys of recent requests (cache.go).
// Checking a session usually reads nothing from the file.
//
// All writes go through one group commit and one connection, both of which belong to the committer goroutine
// (commit.go). After each commit, the committer updates the memory, and only then returns the results to the callers. A
// few read-only connections (reader.go) serve the queries for lists, and for rows that are not in memory.
package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/throttle"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/sessionlog"
	"github.com/pawlauth/pawl/internal/store/batch"
	"github.com/pawlauth/pawl/internal/token"
)

// FileName is the database's name in the data folder.
const FileName = "pawl.db"

const (
	lockName = "pawl.lock"
	// maxBatchSize is how many rotations one commit can have. With fewer, a disk with a flush of 5 ms would limit them:
	// 256 in a commit are 51,200 a second. Even with the compaction of the rotation log, a batch of rotations
	// writes far fewer pages than checkpointPages (TestLargestBatch).
	maxBatchSize = 2048
	// changeWeight is how many rotations any other operation counts for, because it writes rows of its own. 256 of them
	// fill a batch, so that the pages of a commit fit into the reserve, and no rotation waits long for them.
	changeWeight = 8
	// gatherTime is how long the committer may wait, after a commit, for the next operations of the same callers. It is
	// longer than a client takes to send its next request, and shorter than a commit on a slow disk.
	gatherTime = 500 * time.Microsecond
)

// Store is an authority.Store on SQLite.
type Store struct {
	lock *flock.Flock

	// After Open, only the committer goroutine uses writer and reserve.
	writer  *sqlite.Conn
	reserve reserve
	walMark walMark

	group    *batch.Group[operation]
	readers  readers
	sessions *sessionlog.Log
	users    *cache[int64, *authority.User]
	apiKeys  *cache[authority.APIKeyHash, authority.APIKey]
	extras   *cache[token.SessionID, *authority.SessionExtras]
	sweep    sweepPosition
	metrics  *metrics.Metrics
	feed     *revocation.Feed // may be nil

	stopBackground context.CancelFunc
	background     sync.WaitGroup

	reservations reservations
	counting     countedUsers
	ended        chan struct{} // see Ended
	log          *slog.Logger
}

var _ authority.Store = (*Store)(nil)

// Options are the optional parts of a Store.
type Options struct {
	Metrics *metrics.Metrics // counts commits and errors; nil counts nothing
	Log     *slog.Logger     // receives the migrations of the schema; nil discards them
	Feed    *revocation.Feed // receives what each commit superseded or ended; nil drops it
}

// Open opens the store in dir, and creates both if necessary. If another process owns the folder, the error names the
// process.
func Open(dir string, o Options) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create the data folder: %w", err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		lock:         lock,
		reserve:      reserve{path: filepath.Join(dir, reserveName)},
		users:        newCache[int64, *authority.User](maxCachedUsers),
		apiKeys:      newCache[authority.APIKeyHash, authority.APIKey](maxCachedAPIKeys),
		extras:       newCache[token.SessionID, *authority.SessionExtras](maxCachedExtras),
		metrics:      o.Metrics,
		feed:         o.Feed,
		reservations: reservations{live: map[throttle.AttemptID]reservation{}},
		counting:     countedUsers{calls: map[int64]int{}},
		ended:        make(chan struct{}, 1),
		log:          cmp.Or(o.Log, slog.New(slog.DiscardHandler)),
	}
	path := filepath.Join(dir, FileName)
	if err := checkWAL(path); err != nil {
		lock.Unlock()
		return nil, err
	}
	err = s.open(path)
	if isFull(err) { // SQLite needs some space even to read.
		s.reserve.release()
		err = s.open(path)
	}
	if err != nil {
		lock.Unlock()
		return nil, err
	}
	issued, err := queryOne(s.writer, "SELECT second FROM issued", nil, scanNumber)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s is damaged: %w; restore it from a backup", path, err), s.closeFile())
	}
	if s.sessions.HasEndedEpochs() { // from before the start
		s.signalEnded()
	}
	s.group = batch.New(maxBatchSize, 1, gatherTime, s.commit)
	background, stop := context.WithCancel(context.Background())
	s.stopBackground = stop
	s.background.Go(func() { s.feed.KeepIssued(background, issued, s.saveIssued) })
	if err := s.endLeases(context.Background()); err != nil && !errors.Is(err, fault.ErrUnavailable) {
		return nil, errors.Join(err, s.Close())
	}
	o.Metrics.Register(metrics.Gauges{Sessions: s.SessionCount, DiskFull: s.reserve.full.Load})
	return s, nil
}

// lockFolder locks the folder for this process, and writes the process ID into the lock file.
func lockFolder(dir string) (*flock.Flock, error) {
	path := filepath.Join(dir, lockName)
	lock := flock.New(path, flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("cannot lock the data folder %s: %w; make it writable for the user that Pawl runs as",
			dir, err)
	}
	if !locked {
		holder, _ := os.ReadFile(path)
		return nil, fmt.Errorf("the data folder %s is held by another Pawl, process %s: stop that process, or choose "+
			"another folder with --data", dir, holder)
	}
	if err := os.WriteFile(path, fmt.Append(nil, os.Getpid()), 0o600); err != nil {
		lock.Unlock()
		return nil, fmt.Errorf("cannot write to the data folder %s: %w; make it writable for the user that Pawl "+
			"runs as", dir, err)
	}
	return lock, nil
}

// isLocked reports whether another process has locked the folder.
func isLocked(dir string) bool {
	lock := flock.New(filepath.Join(dir, lockName), flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	if locked {
		lock.Unlock()
	}
	return err == nil && !locked
}

func (s *Store) open(path string) error {
	// SQLite gives its -wal and -shm files the mode of the database.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open the database: %w", err)
	}
	file.Close()
	s.writer, err = sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return fmt.Errorf("cannot open the database %s: %w", path, err)
	}
	if err := s.prepare(path); err != nil {
		s.writer.Close()
		return err
	}
	return nil
}

func (s *Store) prepare(path string) error {
	if err := checkApplication(s.writer, path); err != nil {
		return err
	}
	restrictModes(path)
	for _, p := range []string{"journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"} {
		if err := sqlitex.ExecuteTransient(s.writer, "PRAGMA "+p, nil); err != nil {
			return unreadable(path, err)
		}
	}
	if err := migrate(s.writer, path, s.log); err != nil {
		return err
	}
	var err error
	if s.walMark, err = loadWALMark(s.writer, path); err != nil {
		return fmt.Errorf("%s is damaged: %w; restore it from a backup", path, err)
	}
	lowest, err := lowestEpochs(s.writer)
	if err != nil {
		return fmt.Errorf("%s is damaged: %w; restore it from a backup", path, err)
	}
	if s.sessions, err = sessionlog.Load(logRows{s.writer}, lowest); err != nil {
		return fmt.Errorf("%s is damaged: %w; restore it from a backup", path, err)
	}
	if s.readers, err = openReaders(path); err != nil {
		return fmt.Errorf("cannot open the database %s: %w", path, err)
	}
	return nil
}

// restrictModes removes the permissions of other users, because a restored backup may have them. It ignores errors,
// because the process cannot change the mode of another user's file.
func restrictModes(path string) {
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if info, err := os.Stat(name); err == nil && info.Mode().Perm()&0o077 != 0 {
			_ = os.Chmod(name, 0o600)
		}
	}
}

// Close completes the operations in progress, checkpoints the write-ahead log, and unlocks the folder.
func (s *Store) Close() error {
	s.stopBackground()
	s.background.Wait()
	s.group.Close()
	return s.closeFile()
}

// saveIssued raises the highest iat of a token.
func (s *Store) saveIssued(ctx context.Context, second int64) error {
	return s.write(ctx, normal, func(c *change) error {
		return execute(c.conn, "UPDATE issued SET second = max(second, ?)", second)
	})
}

func (s *Store) closeFile() error {
	s.walMark.close()
	err := errors.Join(s.readers.close(), s.writer.Close())
	return errors.Join(err, s.lock.Close())
}

// Ready returns nil if the file can be read.
func (s *Store) Ready(ctx context.Context) error {
	_, err := list(ctx, s, "SELECT 1 FROM session LIMIT 1", nil, scanNumber)
	return err
}

// Ahead returns 0, because the store has no other clock.
func (s *Store) Ahead(context.Context) (time.Duration, error) { return 0, nil }

// Stats returns the number of sessions, and how much memory they take. Both include the remaining sessions of ended
// epochs.
func (s *Store) Stats() sessionlog.Stats { return s.sessions.Stats() }

// SessionCount returns the number of sessions, without those of ended epochs. The number is always known.
func (s *Store) SessionCount(context.Context) (int64, bool) { return s.sessions.Live(), true }
