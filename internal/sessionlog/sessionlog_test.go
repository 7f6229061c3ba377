package sessionlog

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/token"
)

// memoryRows is a table of rows in memory. Write decrements failAfter, and fails once failAfter is 0.
type memoryRows struct {
	seqs      map[int64]int64
	blobs     map[int64][]byte
	failAfter int
}

var errWrite = errors.New("no space")

func newRows() *memoryRows {
	return &memoryRows{seqs: map[int64]int64{}, blobs: map[int64][]byte{}, failAfter: -1}
}

func (r *memoryRows) clone() *memoryRows {
	return &memoryRows{seqs: maps.Clone(r.seqs), blobs: maps.Clone(r.blobs), failAfter: -1}
}

func (r *memoryRows) List() ([]Position, error) {
	var positions []Position
	for slot, seq := range r.seqs {
		positions = append(positions, Position{Slot: slot, Seq: seq})
	}
	return positions, nil
}

func (r *memoryRows) Read(slot int64, buffer []byte) ([]byte, error) {
	return append(buffer, r.blobs[slot]...), nil
}

func (r *memoryRows) Write(p Position, blob []byte) error {
	if r.failAfter == 0 {
		return errWrite
	}
	r.failAfter--
	r.seqs[p.Slot] = p.Seq
	r.blobs[p.Slot] = blob
	return nil
}

func sessionID(n int) token.SessionID { return token.SessionID{byte(n), byte(n >> 8), 1} }

// stateOf returns the state of a session at a generation. Every other generation has an idempotency key. Two of three
// sessions are of a later epoch than 0.
func stateOf(n int, generation uint32) State {
	s := State{Epoch: uint32(n % 3), Session: authority.Session{
		ID:         sessionID(n),
		UserID:     int64(n + 1),
		Generation: generation,
		Created:    1_795_500_000,
		Refreshed:  1_795_500_000 + int64(generation),
		Previous:   1_795_500_000 + int64(generation) - 1,
		Expires:    1_795_503_600 + int64(generation),
		Idle:       1_795_503_600 + int64(generation),
		Ends:       1_795_600_000,
	}}
	if generation%2 == 0 {
		s.IdempotencyKey = authority.IdempotencyKeyHash{byte(generation), byte(n)}
	}
	if n%3 == 0 {
		s.Address = authority.AddressHash(n + 1)
	}
	s.HasExtras = n%5 == 0
	return s
}

func mustLoad(t *testing.T, rows Rows) *Log {
	t.Helper()
	l, err := Load(rows, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// mustHave compares the sessions of a log to their expected generations. Generation 0 stands for a session that ended
// or never existed.
func mustHave(t *testing.T, l *Log, want map[int]uint32) {
	t.Helper()
	live := int64(0)
	for n, generation := range want {
		id := sessionID(n)
		got, ok := l.Get(id)
		switch {
		case ok != (generation > 0):
			t.Errorf("session %d exists: %v, want generation %d", n, ok, generation)
		case ok && got != stateOf(n, generation):
			t.Errorf("session %d is %+v, want %+v", n, got, stateOf(n, generation))
		}
		if generation > 0 {
			live++
		}
	}
	if stats := l.Stats(); stats.Sessions != live {
		t.Errorf("%d sessions, want %d", stats.Sessions, live)
	}
}

// commit writes and applies a batch, as the committer does.
func commit(t *testing.T, l *Log, rows Rows, change func(*Batch)) {
	t.Helper()
	b := l.Begin()
	change(b)
	if err := b.Write(rows); err != nil {
		t.Fatal(err)
	}
	b.Apply()
}

// TestBatchIsInvisibleUntilApplied checks that readers see a batch as a whole, after Apply, and the batch itself sees
// its changes at once.
func TestBatchIsInvisibleUntilApplied(t *testing.T) {
	rows := newRows()
	l := mustLoad(t, rows)
	commit(t, l, rows, func(b *Batch) {
		b.Put(stateOf(1, 1))
		b.Put(stateOf(2, 1))
	})
	b := l.Begin()
	b.Put(stateOf(1, 2))
	b.End(sessionID(2))
	b.Put(stateOf(3, 1))
	for n, want := range map[int]uint32{1: 2, 2: 0, 3: 1, 4: 0} {
		if s, ok := b.Get(sessionID(n)); s.Generation != want || ok != (want > 0) {
			t.Errorf("the batch has session %d at generation %d, want %d", n, s.Generation, want)
		}
	}
	mustHave(t, l, map[int]uint32{1: 1, 2: 1, 3: 0})
	if err := b.Write(rows); err != nil {
		t.Fatal(err)
	}
	mustHave(t, l, map[int]uint32{1: 1, 2: 1, 3: 0})
	b.Apply()
	mustHave(t, l, map[int]uint32{1: 2, 2: 0, 3: 1})
	mustHave(t, mustLoad(t, rows), map[int]uint32{1: 2, 2: 0, 3: 1})
}

// TestZeroID checks that a session with the zero ID is never found.
func TestZeroID(t *testing.T) {
	rows := newRows()
	l := mustLoad(t, rows)
	if _, ok := l.Get(token.SessionID{}); ok {
		t.Error("an empty log has the zero ID")
	}
	commit(t, l, rows, func(b *Batch) { b.End(token.SessionID{}) })
	mustHave(t, mustLoad(t, rows), map[int]uint32{})
}

const (
	modelSessions = 400
	rareSessions  = 100 // change so rarely that compaction has to keep their records
)

// TestAgainstModel compares a log to a map over random batches, some of which fail at a random write. From time to time
// it continues with a log loaded from the rows, as after a start.
func TestAgainstModel(t *testing.T) {
	const batches = 600
	random := rand.New(rand.NewPCG(1, 2))
	rows := newRows()
	l := mustLoad(t, rows)
	want := map[int]authority.Session{}
	maxRows, failed := 0, 0
	for i := range batches {
		before := rows.clone()
		b := l.Begin()
		next := changeAtRandom(random, b, want, i)
		if i%3 == 0 {
			rows.failAfter = random.IntN(6)
		}
		if err := b.Write(rows); err != nil {
			rows = before // ROLLBACK
			failed++
			continue
		}
		rows.failAfter = -1
		b.Apply()
		want = next
		maxRows = max(maxRows, len(rows.seqs))
		if i%10 == 0 {
			mustEqualModel(t, l, want)
			l = mustLoad(t, rows)
			mustEqualModel(t, l, want)
		}
	}
	mustEqualModel(t, l, want)
	if failed < batches/20 {
		t.Errorf("only %d batches failed", failed)
	}
	oldest := slices.Min(slices.Collect(maps.Values(rows.seqs)))
	if oldest < 100 {
		t.Errorf("the oldest row is %d, so compaction hardly ran", oldest)
	}
	if limit := 3 * (logFloor + 2*modelSessions) / recordsPerRow; maxRows > limit {
		t.Errorf("the log grew to %d rows, want at most %d", maxRows, limit)
	}
}

// changeAtRandom opens, rotates and ends sessions in a batch, and returns the model with the same changes.
func changeAtRandom(random *rand.Rand, b *Batch, model map[int]authority.Session, i int) map[int]authority.Session {
	next := maps.Clone(model)
	for range random.IntN(200) {
		n := random.IntN(modelSessions - rareSessions)
		if random.IntN(33) == 0 {
			n = modelSessions - 1 - random.IntN(rareSessions)
		}
		session, exists := next[n]
		if exists && random.IntN(10) == 0 {
			delete(next, n)
			b.End(sessionID(n))
			continue
		}
		// An ended session may be opened again with another state, as by a restarted copy.
		state := stateOf(n, session.Generation+1)
		state.Created += int64(i)
		next[n] = state.Session
		b.Put(state)
	}
	return next
}

func mustEqualModel(t *testing.T, l *Log, model map[int]authority.Session) {
	t.Helper()
	for n := range modelSessions {
		got, exists := l.Get(sessionID(n))
		if want, ok := model[n]; exists != ok || got.Session != want {
			t.Fatalf("session %d is %+v, want %+v", n, got, want)
		}
	}
	if count := l.Stats().Sessions; count != int64(len(model)) {
		t.Fatalf("%d sessions, want %d", count, len(model))
	}
}

// TestCompactionKeepsCurrentStates leaves some sessions behind in the oldest rows, and rotates the others until those
// rows are overwritten.
func TestCompactionKeepsCurrentStates(t *testing.T) {
	rows := newRows()
	l := mustLoad(t, rows)
	want := map[int]uint32{}
	for n := range 100 {
		want[n] = 1
		commit(t, l, rows, func(b *Batch) { b.Put(stateOf(n, 1)) })
	}
	for range 4 * logFloor / 90 {
		commit(t, l, rows, func(b *Batch) {
			for n := 10; n < 100; n++ {
				want[n]++
				b.Put(stateOf(n, want[n]))
			}
		})
	}
	if rows.seqs[1] == 1 {
		t.Error("the first row was not overwritten")
	}
	if records := l.Stats().Records; records > logFloor+150+90 {
		t.Errorf("the log has %d records", records)
	}
	mustHave(t, l, want)
	mustHave(t, mustLoad(t, rows), want)
}

// TestDamagedRows checks that Load rejects a log with a damaged or a missing row, wherever the row is.
func TestDamagedRows(t *testing.T) {
	rows := newRows()
	l := mustLoad(t, rows)
	commit(t, l, rows, func(b *Batch) {
		for n := range 300 {
			b.Put(stateOf(n, 1))
		}
	})
	last := int64(len(rows.blobs))
	if last < 4 {
		t.Fatalf("the log has only %d rows", last)
	}
	tests := map[string]func(r *memoryRows, slot int64){
		"truncated":  func(r *memoryRows, slot int64) { r.blobs[slot] = r.blobs[slot][:100] },
		"too long":   func(r *memoryRows, slot int64) { r.blobs[slot] = append(slices.Clone(r.blobs[slot]), 0) },
		"empty":      func(r *memoryRows, slot int64) { r.blobs[slot] = nil },
		"first byte": func(r *memoryRows, slot int64) { r.blobs[slot] = flip(r.blobs[slot], 0) },
		"a record":   func(r *memoryRows, slot int64) { r.blobs[slot] = flip(r.blobs[slot], 1000) },
		"last byte":  func(r *memoryRows, slot int64) { r.blobs[slot] = flip(r.blobs[slot], RowSize-1) },
		"an invalid record": func(r *memoryRows, slot int64) {
			r.blobs[slot] = frameRow(append([]byte{recordEnded}, make([]byte, 16)...))
			r.blobs[slot] = frameRow(append(r.blobs[slot][versionSize:endedSize+versionSize], 9))
		},
		"generation 0": func(r *memoryRows, slot int64) {
			r.blobs[slot] = frameRow(append([]byte{recordState}, make([]byte, stateSize-1)...))
		},
	}
	for name, damage := range tests {
		for slot := int64(1); slot <= last; slot++ {
			damaged := rows.clone()
			damage(damaged, slot)
			if _, err := Load(damaged, nil); !errors.Is(err, errDamaged) {
				t.Errorf("%s: row %d of %d: %v", name, slot, last, err)
			}
		}
	}
	for slot := int64(2); slot < last; slot++ {
		missing := rows.clone()
		delete(missing.blobs, slot)
		delete(missing.seqs, slot)
		if _, err := Load(missing, nil); !errors.Is(err, errDamaged) {
			t.Errorf("without row %d of %d: %v", slot, last, err)
		}
	}
}

func flip(blob []byte, at int) []byte {
	blob = slices.Clone(blob)
	blob[at] ^= 1
	return blob
}

// TestFailedRead checks that an error of the table ends Load.
func TestFailedRead(t *testing.T) {
	rows := newRows()
	l := mustLoad(t, rows)
	commit(t, l, rows, func(b *Batch) { b.Put(stateOf(1, 1)) })
	if _, err := Load(unreadableRows{rows}, nil); !errors.Is(err, errWrite) {
		t.Errorf("error %v", err)
	}
}

type unreadableRows struct{ *memoryRows }

func (unreadableRows) Read(int64, []byte) ([]byte, error) { return nil, errWrite }

// TestRecords checks that each kind of record survives encoding.
func TestRecords(t *testing.T) {
	largest := State{Epoch: 1<<32 - 1, Session: authority.Session{
		ID:             token.SessionID{15: 255},
		UserID:         1<<63 - 1,
		Generation:     1<<32 - 1,
		Created:        1<<32 - 1,
		Refreshed:      1<<32 - 2,
		Previous:       1<<32 - 3,
		Expires:        1<<32 - 4,
		Idle:           1<<32 - 5,
		Ends:           1<<32 - 6,
		IdempotencyKey: authority.IdempotencyKeyHash{15: 1},
		Address:        1<<32 - 1,
	}, HasExtras: true}
	idle, addressAndEpoch := stateOf(4, 1), stateOf(5, 2)
	idle.Idle = idle.Ends
	addressAndEpoch.Address, addressAndEpoch.Epoch = 7, 8
	ended := State{Session: authority.Session{ID: sessionID(3)}}
	var want []State
	var filled []byte
	for _, s := range []State{
		stateOf(1, 1), stateOf(2, 2), largest, ended, stateOf(3, 2), stateOf(3, 3), idle, addressAndEpoch,
	} {
		e := pack(&s)
		want = append(want, s)
		filled = e.appendRecord(filled)
	}
	records, err := unframeRow(frameRow(filled))
	if err != nil || string(records) != string(filled) {
		t.Fatalf("%d bytes of records, %v; want %d", len(records), err, len(filled))
	}
	var got []State
	for record := range eachRecord(records) {
		var e entry
		e.decode(record)
		got = append(got, e.state())
	}
	if !slices.Equal(got, want) {
		t.Errorf("the records are %+v, want %+v", got, want)
	}
}

// TestFirstRecords loads the records written before sessions had an idle time of their own, an address and extras.
func TestFirstRecords(t *testing.T) {
	var filled []byte
	for kind := range byte(8) {
		if kind&^(withKey|withEpoch) != recordState {
			continue
		}
		filled = append(filled, kind)
		filled = append(filled, append([]byte{kind}, make([]byte, 15)...)...) // the ID
		filled = append(filled, 9, 0, 0, 0, 0, 0, 0, 0)                       // the user ID
		for _, n := range []byte{1, 10, 20, 30, 40, 50} {                     // the generation and the times
			filled = append(filled, n, 0, 0, 0)
		}
		if kind&withKey != 0 {
			filled = append(filled, append([]byte{3}, make([]byte, 15)...)...)
		}
		if kind&withEpoch != 0 {
			filled = append(filled, 4, 0, 0, 0)
		}
	}
	rows := newRows()
	rows.blobs[1], rows.seqs[1] = frameRow(filled), 1
	l := mustLoad(t, rows)
	for _, kind := range []byte{recordState, recordState | withKey, recordState | withEpoch} {
		want := State{Session: authority.Session{
			ID: token.SessionID{kind}, UserID: 9, Generation: 1,
			Created: 10, Refreshed: 20, Previous: 30, Expires: 40, Idle: 40, Ends: 50,
		}}
		if kind&withKey != 0 {
			want.IdempotencyKey = authority.IdempotencyKeyHash{3}
		}
		if kind&withEpoch != 0 {
			want.Epoch = 4
		}
		if got, _ := l.Get(want.ID); got != want {
			t.Errorf("kind %d is %+v, want %+v", kind, got, want)
		}
	}
}

// TestExpired goes over all sessions with several limits, and removes what Expired finds between the calls.
func TestExpired(t *testing.T) {
	for _, limit := range []int{1, 7, 100, 10_000} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			rows := newRows()
			l := mustLoad(t, rows)
			want := map[int]uint32{}
			now := stateOf(0, 5).Expires
			commit(t, l, rows, func(b *Batch) {
				for n := range 2000 {
					want[n] = uint32(4 + n%3)
					b.Put(stateOf(n, want[n]))
				}
			})
			position, done := 0, false
			for calls := 0; !done; calls++ {
				if calls > 2000 {
					t.Fatal("Expired does not come to an end")
				}
				var ids []token.SessionID
				ids, position, done = l.Expired(position, now, limit)
				if len(ids) > limit {
					t.Fatalf("%d sessions, want %d at most", len(ids), limit)
				}
				commit(t, l, rows, func(b *Batch) {
					for _, id := range ids {
						b.End(id)
					}
				})
			}
			for n, generation := range want {
				if generation <= 5 {
					want[n] = 0
				}
			}
			mustHave(t, l, want)
		})
	}
}

// epochState returns a session of a user in an epoch.
func epochState(n int, userID int64, epoch uint32) State {
	s := stateOf(n, 1)
	s.UserID = userID
	s.Epoch = epoch
	return s
}

// liveSessions returns the numbers of the first 12 sessions found by get.
func liveSessions(get func(token.SessionID) bool) (sessions []int) {
	for n := range 12 {
		if get(sessionID(n)) {
			sessions = append(sessions, n)
		}
	}
	return sessions
}

// TestEndEpochs ends the epochs of a user, removes the sessions, and forgets the epochs. Readers see each step after
// Apply, the batch itself at once, and a log loaded with the epochs as the log in use.
func TestEndEpochs(t *testing.T) {
	rows := newRows()
	l := mustLoad(t, rows)
	commit(t, l, rows, func(b *Batch) {
		for n := range 10 {
			b.Put(epochState(n, 7, uint32(n%2)))
		}
		b.Put(epochState(10, 8, 0))
	})
	wantLive := func(l *Log, want ...int) {
		t.Helper()
		got := liveSessions(func(id token.SessionID) bool { _, ok := l.Get(id); return ok })
		if !slices.Equal(got, want) {
			t.Errorf("live sessions %v, want %v", got, want)
		}
	}
	b := l.Begin()
	b.EndEpochs(7, 2)
	b.Put(epochState(3, 7, 2))  // continues
	b.Put(epochState(11, 7, 2)) // is opened
	want := []int{3, 10, 11}
	if got := liveSessions(func(id token.SessionID) bool { _, ok := b.Get(id); return ok }); !slices.Equal(got, want) {
		t.Errorf("live sessions in the batch %v, want %v", got, want)
	}
	wantLive(l, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	if err := b.Write(rows); err != nil {
		t.Fatal(err)
	}
	b.Apply()
	wantLive(l, want...)
	loaded, err := Load(rows, map[int64]uint32{7: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []*Log{l, loaded} {
		wantLive(l, want...)
		if !l.HasEndedEpochs() || l.Stats().Sessions != 12 || l.Live() != 3 {
			t.Errorf("before the removal: %+v, %d live, ended epochs %v", l.Stats(), l.Live(), l.HasEndedEpochs())
		}
		ids, _, done := l.Expired(0, math.MaxUint32, 100)
		expired := liveSessions(func(id token.SessionID) bool { return slices.Contains(ids, id) })
		if !done || !slices.Equal(expired, want) {
			t.Errorf("expired sessions %v, done %v; want the live ones %v", expired, done, want)
		}
	}
	commit(t, l, rows, func(b *Batch) {
		for _, n := range []int{0, 1, 2, 4, 5, 6, 7, 8, 9} {
			b.End(sessionID(n))
		}
		b.ForgetEpochs(7)
	})
	for _, l := range []*Log{l, mustLoad(t, rows)} {
		wantLive(l, want...)
		if l.HasEndedEpochs() || l.Stats().Sessions != 3 || l.Live() != 3 {
			t.Errorf("after the removal: %+v, %d live, ended epochs %v", l.Stats(), l.Live(), l.HasEndedEpochs())
		}
	}
}

// TestStats checks the figures of an empty log and of one with sessions.
func TestStats(t *testing.T) {
	rows := newRows()
	l := mustLoad(t, rows)
	empty := l.Stats()
	if empty.Sessions != 0 || empty.Records != 0 {
		t.Errorf("empty: %+v", empty)
	}
	const sessions = 20_000
	for n := 0; n < sessions; n += 1000 {
		commit(t, l, rows, func(b *Batch) {
			for i := range 1000 {
				b.Put(stateOf(n+i, 1))
			}
		})
	}
	for _, l := range []*Log{l, mustLoad(t, rows)} {
		stats := l.Stats()
		perSession := float64(stats.Bytes) / sessions
		if stats.Sessions != sessions || stats.Records != sessions || perSession < 72 || perSession > 112 {
			t.Errorf("%+v, %.0f bytes for each session", stats, perSession)
		}
	}
}
