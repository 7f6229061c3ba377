package sessionlog

import (
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/token"
)

// Batch is the changes of one transaction. Only the committer uses it.
type Batch struct {
	log     *Log
	rows    rowIndex
	changes []entry                 // the new state of each session that the batch changed
	indexes map[token.SessionID]int // in changes
}

// maxKept is the number of changes whose memory a Batch keeps for the next one.
const maxKept = 1024

// Begin returns an empty Batch. It reuses the memory of the Batch before it, which must no longer be in use.
func (l *Log) Begin() *Batch {
	b := &l.batch
	if b.indexes == nil {
		b.indexes = map[token.SessionID]int{}
	}
	clear(b.indexes)
	b.changes = b.changes[:0]
	b.rows = l.rows
	return b
}

// Get returns a session as the batch has it so far.
func (b *Batch) Get(id token.SessionID) (authority.Session, bool) {
	i, changed := b.indexes[id]
	if !changed {
		return b.log.Get(id)
	}
	e := &b.changes[i]
	return e.unpack(), !e.ended()
}

// Put stores the state of a session that was opened or rotated.
func (b *Batch) Put(s authority.Session) { b.change(pack(&s)) }

// End removes a session.
func (b *Batch) End(id token.SessionID) { b.change(entry{id: id}) }

func (b *Batch) change(e entry) {
	i, changed := b.indexes[e.id]
	if !changed {
		i = len(b.changes)
		b.changes = append(b.changes, entry{})
		b.indexes[e.id] = i
	}
	b.changes[i] = e
}

// Write appends the records of the changes to the log, and compacts the log.
func (b *Batch) Write(rows Rows) error {
	if len(b.changes) == 0 {
		return nil
	}
	for i := range b.changes {
		if err := b.rows.append(rows, &b.changes[i]); err != nil {
			return err
		}
	}
	if err := b.compact(rows); err != nil {
		return err
	}
	return b.rows.flush(rows)
}

// compact removes the oldest rows while the log has more records than it should, and appends again what is still
// current. It examines about four records for each change of the batch. So the log gets shorter, but no batch waits
// long.
func (b *Batch) compact(rows Rows) error {
	x := &b.rows
	sessions := int(b.log.count.Load())
	budget := 4*len(b.changes) + 128
	var blob []byte
	var e entry
	for budget > 0 && x.clean < x.newest() && x.records > sessions+sessions/2+logFloor {
		var err error
		if blob, err = rows.Read(x.slots[x.clean-x.oldest], blob[:0]); err != nil {
			return err
		}
		records, count, err := unframeRow(blob)
		if err != nil {
			return err
		}
		x.clean++
		x.records -= count
		budget -= count
		for record := range eachRecord(records) {
			e.decode(record)
			if !b.current(&e) {
				continue
			}
			if err := x.append(rows, &e); err != nil {
				return err
			}
		}
	}
	return nil
}

// current reports whether a record of the log is the present state of its session. The record of an end never is:
// compaction goes from the oldest row to the newest, so the log has no older record of that session any more.
func (b *Batch) current(record *entry) bool {
	if _, changed := b.indexes[record.id]; changed {
		return false
	}
	present, ok := b.log.get(&record.id)
	return ok && present == *record
}

// Apply makes the changes visible to readers. The caller has committed the transaction.
func (b *Batch) Apply() {
	b.log.rows = b.rows
	b.log.records.Store(int64(b.rows.records))
	for i := range b.changes {
		b.log.set(&b.changes[i])
	}
	if len(b.changes) > maxKept {
		b.changes, b.indexes = nil, nil
	}
}
