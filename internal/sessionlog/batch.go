package sessionlog

import (
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/token"
)

// Batch has the changes of one transaction. Only the committer uses it.
type Batch struct {
	log     *Log
	rows    rowIndex
	changes []entry                 // new state of each session that changed
	indexes map[token.SessionID]int // index in changes
}

// maxKept is the largest number of changes for which Apply keeps the memory for the next Batch.
const maxKept = 1024

// Begin returns an empty Batch. It reuses the previous Batch, which must no longer be in use.
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

// Get returns a session with the changes of the batch so far, and whether it exists.
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

// End ends a session.
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

// compact makes the oldest rows reusable while the log has too many records. It first appends those of their records
// that are current to the newest row. For each change of the batch it examines about four records, so that the log
// shrinks and no batch takes long.
func (b *Batch) compact(rows Rows) error {
	x := &b.rows
	sessions := int(b.log.count.Load())
	budget := 4*len(b.changes) + 128
	var blob []byte
	var e entry
	for budget > 0 && x.reusableTo < x.newest() && x.records > sessions+sessions/2+logFloor {
		var err error
		if blob, err = rows.Read(x.slots[x.reusableTo-x.oldest], blob[:0]); err != nil {
			return err
		}
		records, err := unframeRow(blob)
		if err != nil {
			return err
		}
		x.reusableTo++
		for record := range eachRecord(records) {
			x.records--
			budget--
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

// current reports whether a record in the log is the current state of its session. The record of an ended session is
// never current. compact may drop it, because the older records of the session were in older rows, and are gone
// already.
func (b *Batch) current(record *entry) bool {
	if _, changed := b.indexes[record.id]; changed {
		return false
	}
	present, ok := b.log.get(&record.id)
	return ok && present == *record
}

// Apply makes the changes visible to readers. The transaction must be committed first.
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
