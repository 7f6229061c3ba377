package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/storecopy"
)

// Restored describes a restore.
type Restored struct {
	storecopy.Counts        // of the restored store
	Ended            int64  // sessions of the backup, which were ended
	Previous         string // the folder with the files of the previous store; empty if there was none
}

// restoreName is the folder, inside of the data folder, in which Restore prepares the database.
const restoreName = "pawl.restoring"

// Restore replaces the store in dir by a backup, and ends all its sessions, because tokens that have been superseded
// since the backup are current in it. It moves the files of the present store aside. No other process may use dir.
//
// Until the backup is checked and its sessions are ended, the present store stays as it is, also if ctx ends. If a
// crash interrupts Restore after that, dir has no database, or the restored one.
func Restore(
	ctx context.Context, from, dir string, now time.Time, progress storecopy.Progress,
) (restored Restored, err error) {
	if _, err := os.Stat(dir); err != nil {
		return Restored{}, fmt.Errorf("cannot read the data folder: %w", err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return Restored{}, err
	}
	defer lock.Close()
	work := filepath.Join(dir, restoreName)
	if err := os.RemoveAll(work); err != nil { // of an interrupted restore
		return Restored{}, err
	}
	defer os.RemoveAll(work)
	if err := os.Mkdir(work, 0o700); err != nil {
		return Restored{}, fmt.Errorf("cannot prepare the restore: %w", err)
	}
	prepared := filepath.Join(work, FileName)
	err = copyBackup(ctx, from, prepared)
	if err == nil {
		restored, err = prepareRestored(ctx, work, now, progress)
	}
	if err != nil {
		return restored, orInterrupted(ctx, err, "; the present store is unchanged")
	}
	if restored.Previous, err = moveAside(dir, now); err != nil {
		return restored, fmt.Errorf("cannot move the previous files aside: %w; "+
			"free %s of pawl.db and its -wal file yourself, and run the same line again", err, dir)
	}
	if err := os.Rename(prepared, filepath.Join(dir, FileName)); err != nil {
		return restored, fmt.Errorf("cannot put the restored file in place: %w; run the same line again", err)
	}
	return restored, syncFolder(dir)
}

// copyBackup copies a backup to a new file, and checks that the copy is whole.
func copyBackup(ctx context.Context, from, to string) error {
	if info, err := os.Stat(from + "-wal"); err == nil && info.Size() > 0 {
		return fmt.Errorf("%s has a write-ahead log beside it, so it is a store and not a backup: "+
			"make a backup with pawl store backup", from)
	}
	source, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("cannot read the backup: %w", err)
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("cannot copy the backup: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { source.Close() }) // ends a read of a pipe
	defer stop()
	err = copyInSteps(ctx, target, source)
	if err := errors.Join(err, target.Close()); err != nil {
		return fmt.Errorf("cannot copy the backup: %w", err)
	}
	report, err := CheckFile(ctx, to)
	if err != nil {
		return fmt.Errorf("the backup %s cannot be restored: %w", from, err)
	}
	if len(report.Problems) > 0 {
		return fmt.Errorf("the backup %s is damaged: %s; use another backup", from, strings.Join(report.Problems, "; "))
	}
	return nil
}

// copyInSteps copies a file to the disk, until ctx ends. A single sync at the end could take minutes, and no signal
// ends a sync.
func copyInSteps(ctx context.Context, to *os.File, from io.Reader) error {
	const step = 16 << 20
	for {
		_, err := io.CopyN(to, from, step)
		if err != nil && err != io.EOF {
			return err
		}
		if err := errors.Join(to.Sync(), ctx.Err()); err != nil {
			return err
		}
		if err == io.EOF {
			return nil
		}
	}
}

// prepareRestored ends all sessions of the store in dir, and closes it.
func prepareRestored(
	ctx context.Context, dir string, now time.Time, progress storecopy.Progress,
) (r Restored, err error) {
	store, err := Open(dir, Options{})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := storecopy.AnnounceEnds(ctx, store, now, "restored from a backup", progress); err != nil {
		return r, fmt.Errorf("cannot announce the ends of the sessions: %w", err)
	}
	if r.Ended, err = store.endAllSessions(ctx, progress); err != nil {
		return r, fmt.Errorf("cannot end the sessions of the backup: %w", err)
	}
	detail := fmt.Sprintf("from a backup, %d sessions ended", r.Ended)
	event := audit.Event{At: now.Unix(), Kind: audit.StoreRestored, Detail: detail}
	if err := store.AddEvents(ctx, []audit.Event{event}); err != nil {
		return r, err
	}
	r.Counts, err = store.Count(ctx)
	return r, err
}

// endAllSessions ends every session page by page, including those of ended epochs.
func (s *Store) endAllSessions(ctx context.Context, progress storecopy.Progress) (ended int64, err error) {
	const page = 5000
	total := s.Stats().Sessions
	for {
		n, err := tx(ctx, s, urgent, func(c *change) (int, error) {
			err := c.deleteSessions("id IN (SELECT id FROM session LIMIT ?)", int64(page))
			return len(c.ended), err
		})
		if err != nil || n == 0 {
			return ended, err
		}
		ended += int64(n)
		progress("sessions", ended, total)
	}
}

// moveAside moves the files of the store in dir into a new folder in dir, and returns the folder. The database is the
// first, because without its write-ahead log it would lack the last commits.
func moveAside(dir string, now time.Time) (to string, err error) {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		name := FileName + suffix
		if _, err := os.Lstat(filepath.Join(dir, name)); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if to == "" {
			if to, err = os.MkdirTemp(dir, "before-restore-"+now.UTC().Format("20060102T150405Z-")); err != nil {
				return "", err
			}
		}
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(to, name)); err != nil {
			return to, err
		}
		if err := syncFolder(dir); err != nil {
			return to, err
		}
	}
	return to, nil
}

// syncFolder writes the names of a folder's files to the disk.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil // Windows cannot sync a folder
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
