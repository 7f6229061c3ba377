// Package sessionlog keeps the state of every session in memory, and rebuilds it from the rotation log.
//
// The rotation log is an append-only log of session states in a table of the SQLite file. Each sign-in and each
// rotation appends the new state of its session, and each end appends that the session has ended. Load replays the log,
// so that after a start the memory has every session: a session that Get does not find does not exist.
//
// A Log has one writer, the committer of the store, and any number of readers. The committer changes a Log in a Batch,
// as follows:
//
//	batch := log.Begin()
//	... batch.Get, batch.Put and batch.End, for each operation of the transaction
//	batch.Write(rows) // appends the records and compacts the log, inside the transaction
//	... COMMIT
//	batch.Apply()     // makes the changes visible to readers
//
// If anything fails before COMMIT succeeds, the committer rolls the transaction back and drops the Batch. The memory
// and the log are then as they were.
//
// # Memory
//
// A session takes an entry of 64 bytes without pointers in one of 256 hash tables (table.go), so that millions of
// sessions cost the garbage collector nothing.
//
// # The log
//
// The log is cut into rows of one size, each of which fills a page of the database (record.go). A row has a sequence
// number, and lives in a slot of the table. Compaction removes the oldest rows while the log has more than 1.5 records
// for each session: it appends the records of a row that are still current, and then gives the slot of the row to the
// next new row (rows.go). So a commit overwrites a page or two, and the table stays as small as the sessions allow.
package sessionlog

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/token"
)

// Log is the state of all sessions, and the log that makes it durable.
type Log struct {
	shards [shardCount]shard
	count  atomic.Int64 // sessions in all shards

	records atomic.Int64 // in the log

	// The committer owns these.
	rows  rowIndex
	batch Batch
}

// shardCount is the number of shards. A session belongs to the shard of the first byte of its ID, which is random.
const shardCount = 256

type shard struct {
	mu    sync.RWMutex
	table table // guarded by mu
}

func (l *Log) shard(id *token.SessionID) *shard { return &l.shards[id[0]] }

// Get returns a session. Any goroutine may call it.
func (l *Log) Get(id token.SessionID) (authority.Session, bool) {
	e, ok := l.get(&id)
	return e.unpack(), ok
}

func (l *Log) get(id *token.SessionID) (entry, bool) {
	s := l.shard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.table.get(id)
}

// set stores an entry, or removes the session if the entry marks its end.
func (l *Log) set(e *entry) {
	s := l.shard(&e.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.ended() {
		if s.table.remove(&e.id) {
			l.count.Add(-1)
		}
	} else if s.table.put(e) {
		l.count.Add(1)
	}
}

// Expired finds sessions whose token had expired at now, for a sweep that examines all sessions in many calls. The
// first call has position 0, and each later call has the position that the call before it returned.
//
// Expired returns at most limit sessions. It stops at the end of a shard once it has examined limit sessions, so that a
// call examines at most limit and one shard.
func (l *Log) Expired(position int, now int64, limit int) (ids []token.SessionID, next int, done bool) {
	examined := 0
	for n := position; n < shardCount; n++ {
		if examined >= limit {
			return ids, n, false
		}
		s := &l.shards[n]
		s.mu.RLock()
		examined += s.table.count
		for i := range s.table.slots {
			e := &s.table.slots[i]
			if e.ended() || int64(e.expires) > now {
				continue
			}
			if len(ids) == limit { // The next call finds the rest of this shard.
				s.mu.RUnlock()
				return ids, n, false
			}
			ids = append(ids, e.id)
		}
		s.mu.RUnlock()
	}
	return ids, 0, true
}

// Stats are figures of a Log.
type Stats struct {
	Sessions int64
	Bytes    int64 // allocated for the sessions, in memory that has no pointers
	Records  int64 // in the log
}

// Stats returns the present figures.
func (l *Log) Stats() Stats {
	stats := Stats{Sessions: l.count.Load(), Records: l.records.Load()}
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.RLock()
		stats.Bytes += int64(len(s.table.slots)) * entrySize
		s.mu.RUnlock()
	}
	return stats
}

// Load replays the log of a database. It returns an error if a row is damaged or missing.
func Load(rows Rows) (*Log, error) {
	positions, err := rows.List()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(positions, func(a, b Position) int { return int(a.Seq - b.Seq) })
	l := &Log{rows: newRowIndex(positions)}
	l.batch.log = l
	for i, p := range positions {
		if p.Seq != l.rows.oldest+int64(i) || p.Slot < 1 || p.Slot > int64(len(positions)) {
			return nil, fmt.Errorf("%w: row %d is missing", errDamaged, l.rows.oldest+int64(i))
		}
	}
	// A compacted log has at most 1.5 records for each session. A table that is large enough from the start saves the
	// time of growing it.
	sessions := len(positions) * recordsPerRow * 2 / 3
	for i := range l.shards {
		l.shards[i].table.resize(minSlots + sessions/shardCount*5/4)
	}
	if err := l.replay(rows, positions); err != nil {
		return nil, err
	}
	l.records.Store(int64(l.rows.records))
	return l, nil
}

// replay reads the rows in order and applies their records. While all processors apply one part of the log, each to
// its own shards, this goroutine reads the next part. The records of a session stay in order, because one worker
// applies all records of a shard.
func (l *Log) replay(rows Rows, positions []Position) error {
	const rowsPerPart = 256
	workers := runtime.GOMAXPROCS(0)
	var working sync.WaitGroup
	defer working.Wait()
	var reading, applying, blob, records []byte
	for part := range slices.Chunk(positions, rowsPerPart) {
		for _, p := range part {
			var err error
			if blob, err = rows.Read(p.Slot, blob[:0]); err != nil {
				return err
			}
			var count int
			if records, count, err = unframeRow(blob); err != nil {
				return fmt.Errorf("%w: row %d", err, p.Seq)
			}
			l.rows.records += count
			reading = append(reading, records...)
		}
		working.Wait()
		reading, applying = applying[:0], reading
		for worker := range workers {
			working.Go(func() { l.applyPart(applying, worker, workers) })
		}
	}
	l.rows.tail = slices.Clone(records)
	return nil
}

// applyPart applies the records whose shards belong to a worker.
func (l *Log) applyPart(records []byte, worker, workers int) {
	var e entry
	for record := range eachRecord(records) {
		if int(recordShard(record))%workers == worker {
			e.decode(record)
			l.set(&e)
		}
	}
}
