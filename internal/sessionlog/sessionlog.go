// Package sessionlog keeps the state of every session in memory, and in a log from which Load rebuilds the memory.
//
// The rotation log is an append-only log in a table of the SQLite file. Each sign-in, rotation and end of a session
// appends the new state of the session. Load replays the whole log. After that, a session not found by Get does not
// exist.
//
// A Log has one writer, the committer of the store, and any number of readers. The committer changes the sessions in a
// Batch. Each Batch belongs to a transaction:
//
//	batch := log.Begin()
//	... batch.Get, Put, End and EndEpochs, for each operation of the transaction
//	batch.Write(rows) // appends the records and compacts the log, inside the transaction
//	... COMMIT
//	batch.Apply()     // makes the changes visible to readers
//
// If anything fails before COMMIT succeeds, the committer rolls the transaction back and never calls Apply. The memory
// and the log are then as they were.
//
// # Memory
//
// A session is an entry of 76 bytes in one of 256 hash tables (table.go). Entries have no pointers, so that millions of
// sessions cost the garbage collector nothing.
//
// # Epochs
//
// A session carries its user's epoch at the sign-in. EndEpochs ends all sessions of a user with an earlier epoch,
// however many there are, in one small step: Get no longer finds them. Their entries and records remain until End has
// removed each of them. The log does not contain the ended epochs. The store saves them in the same transaction, and
// passes them to Load.
//
// # The log
//
// The log consists of rows of one size. Each row fills a page of the database (record.go). A row has a sequence number,
// and occupies a slot of the table. While the log has more than 1.75 records for each session, commits compact it: they
// append the current records of the oldest row again, and reuse the slot of that row for a new one. So a commit
// overwrites a page or two, and the table stops growing.
package sessionlog

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/token"
)

// Log has the state of all sessions, and the log that makes it durable.
type Log struct {
	shards  [shardCount]shard
	count   atomic.Int64 // number of sessions, with those of ended epochs; see Live
	records atomic.Int64 // number of records in the log
	epochs  epochs

	// Only the committer uses the fields below.
	rows  rowIndex
	batch Batch
}

const shardCount = 256

// shard has the sessions with the same first byte of the ID. IDs are random, so all shards have about the same size.
type shard struct {
	mu    sync.RWMutex
	table table // guarded by mu
}

func (l *Log) shard(id *token.SessionID) *shard { return &l.shards[id[0]] }

// State is the state of a session, without its extras.
type State struct {
	authority.Session
	Epoch     uint32 // the user's epoch at the sign-in, or a later one if the session was kept when the others ended
	HasExtras bool   // whether the session has extras, which the log does not contain
}

func (e *entry) state() State {
	return State{Session: e.unpack(), Epoch: e.epoch, HasExtras: e.hasExtras()}
}

// Get returns a session, and whether it exists.
func (l *Log) Get(id token.SessionID) (State, bool) {
	s := l.shard(&id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.table.get(&id)
	return e.state(), ok && l.epochs.live(&e)
}

// Find is Get, but it also finds the sessions of ended epochs until End removes them.
func (l *Log) Find(id token.SessionID) (State, bool) {
	e, ok := l.get(&id)
	return e.state(), ok
}

// HasEndedEpochs reports whether sessions of ended epochs may remain to be removed.
func (l *Log) HasEndedEpochs() bool { return l.epochs.count.Load() > 0 }

// get returns the entry of a session, even one of an ended epoch.
func (l *Log) get(id *token.SessionID) (entry, bool) {
	s := l.shard(id)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.table.get(id)
}

// set stores an entry, or removes its session if the session has ended.
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

// Expired returns sessions that could no longer be refreshed at now, from a part of the sessions. A sweep calls it
// repeatedly: first with position 0, then with the position returned by the previous call, until done is true. It must
// end the returned sessions before the next call, which may examine the same shard again.
//
// A call returns at most limit sessions. Once a call has examined limit sessions, it stops at the end of a shard.
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
			if e.ended() || int64(e.idle) > now || !l.epochs.live(e) {
				continue // EndEpochs has ended the last of these, and the store removes them separately
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

// Live returns the number of sessions, without those of ended epochs. While any of those remain, it examines every
// session.
func (l *Log) Live() int64 {
	lowest := l.epochs.all()
	if len(lowest) == 0 {
		return l.count.Load()
	}
	live := int64(0)
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.RLock()
		for j := range s.table.slots {
			if e := &s.table.slots[j]; !e.ended() && e.epoch >= lowest[e.user()] {
				live++
			}
		}
		s.mu.RUnlock()
	}
	return live
}

// Stats describes the size of a Log.
type Stats struct {
	Sessions int64 // number of sessions, with the remaining ones of ended epochs
	Bytes    int64 // memory of the hash tables, which have no pointers
	Records  int64 // number of records in the log
}

// Stats returns the present size.
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

// Load replays a log. It returns an error if a row is damaged or missing. lowestEpochs has the lowest live epoch of
// each user with a call of EndEpochs and no later call of ForgetEpochs.
func Load(rows Rows, lowestEpochs map[int64]uint32) (*Log, error) {
	positions, err := rows.List()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(positions, func(a, b Position) int { return cmp.Compare(a.Seq, b.Seq) })
	l := &Log{rows: newRowIndex(positions), epochs: epochs{lowest: map[int64]uint32{}}}
	l.epochs.apply(lowestEpochs)
	l.batch.log = l
	for i, p := range positions {
		if p.Seq != l.rows.oldest+int64(i) || p.Slot < 1 || p.Slot > int64(len(positions)) {
			return nil, fmt.Errorf("%w: row %d is missing", errDamaged, l.rows.oldest+int64(i))
		}
	}
	// Large tables take time to grow, so allocate them for the likely number of sessions: a log of many sessions has
	// about 1.75 records for each.
	sessions := len(positions) * recordsPerRow * 4 / 7
	for i := range l.shards {
		l.shards[i].table.resize(minSlots + sessions/shardCount*5/4)
	}
	if err := l.replay(rows, positions); err != nil {
		return nil, err
	}
	l.records.Store(int64(l.rows.records))
	return l, nil
}

// replay reads the rows in order and applies their records. While the workers apply one part of the log, replay reads
// the next part. A worker applies all records of a shard before those of the next shard. So the records of a session
// stay in order, and the worker uses one small table at a time, which takes about half the time of using all tables at
// once.
func (l *Log) replay(rows Rows, positions []Position) error {
	const rowsPerPart = 4096
	workers := runtime.GOMAXPROCS(0)
	var working sync.WaitGroup
	defer working.Wait()
	var reading, applying [shardCount][]byte // the records of a part, by shard
	var blob, records []byte
	for part := range slices.Chunk(positions, rowsPerPart) {
		for i := range reading {
			reading[i] = reading[i][:0]
		}
		for _, p := range part {
			var err error
			if blob, err = rows.Read(p.Slot, blob[:0]); err != nil {
				return err
			}
			if records, err = unframeRow(blob); err != nil {
				return fmt.Errorf("%w: row %d", err, p.Seq)
			}
			for record := range eachRecord(records) {
				shard := recordShard(record)
				reading[shard] = append(reading[shard], record...)
				l.rows.records++
			}
		}
		working.Wait()
		reading, applying = applying, reading
		for worker := range workers {
			working.Go(func() {
				for shard := worker; shard < shardCount; shard += workers {
					l.applyRecords(applying[shard])
				}
			})
		}
	}
	l.rows.tail = slices.Clone(records)
	return nil
}

func (l *Log) applyRecords(records []byte) {
	var e entry
	for record := range eachRecord(records) {
		e.decode(record)
		l.set(&e)
	}
}
