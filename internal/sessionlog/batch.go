package sessionlog

import "github.com/pawlauth/pawl/internal/token"

// Rows is the table of the log, inside the transaction of the caller. A slot of the table has one row.
type Rows interface {
	// List returns the positions of all rows, in any order.
	List() ([]Position, error)
	// Read appends the blob in a slot to buffer.
	Read(slot int64, buffer []byte) ([]byte, error)
	// Write puts a blob into a slot, in place of the previous one.
	Write(p Position, blob []byte) error
}

// Position locates a row: its slot in the table, and its sequence number in the log.
type Position struct {
	Slot int64 // from 1 to the number of rows
	Seq  int64 // goes up by one from each row of the log to the next
}

// Batch has the changes of one transaction. Only the committer uses it.
type Batch struct {
	log     *Log
	rows    rowIndex
	changes []entry                 // new state of each changed session
	indexes map[token.SessionID]int // index in changes
	lowest  map[int64]uint32        // new lowest live epoch of each user with ended or removed sessions
	fetched byte                    // keeps the compiler from leaving out the reads of fetch
}

// logFloor is the number of records that a log may have in addition to 1.75 for each session. Lower bounds would cost
// more compaction, and higher ones more disk.
const logFloor = 4096

// maxKept is the largest number of changes for which Apply keeps the memory for the next Batch.
const maxKept = 2048

// Begin returns an empty Batch. It reuses the previous Batch, which must no longer be in use.
func (l *Log) Begin() *Batch {
	b := &l.batch
	if b.indexes == nil {
		b.indexes = map[token.SessionID]int{}
		b.lowest = map[int64]uint32{}
	}
	clear(b.indexes)
	clear(b.lowest)
	b.changes = b.changes[:0]
	b.rows = l.rows
	return b
}

// Get returns a session with the changes of the batch so far, and whether it exists.
func (b *Batch) Get(id token.SessionID) (State, bool) {
	var e entry
	if i, changed := b.indexes[id]; changed {
		e = b.changes[i]
	} else {
		e, _ = b.entry(&id)
	}
	return e.state(), !e.ended() && b.live(&e)
}

// entry returns the present entry of a session, even one of an ended epoch. It takes no lock, because nothing but Apply
// changes a table.
func (b *Batch) entry(id *token.SessionID) (entry, bool) { return b.log.shard(id).table.get(id) }

func (b *Batch) live(e *entry) bool {
	if len(b.lowest) > 0 {
		if lowest, changed := b.lowest[e.user()]; changed {
			return e.epoch >= lowest
		}
	}
	return b.log.epochs.live(e)
}

// Put stores the state of a session after it was opened, rotated, or moved to another epoch.
func (b *Batch) Put(s State) { b.change(pack(&s)) }

// EndEpochs ends all of a user's sessions with an epoch below lowest.
func (b *Batch) EndEpochs(userID int64, lowest uint32) { b.lowest[userID] = lowest }

// ForgetEpochs drops what EndEpochs stored for a user. The caller must first call End for each session that EndEpochs
// ended, because the log would otherwise treat the remaining ones as live again.
func (b *Batch) ForgetEpochs(userID int64) { b.lowest[userID] = 0 }

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

// compact makes the oldest rows reusable while the log has too many records. It first appends the current records of
// those rows to the newest row. For each change of the batch it examines about four records, so that the log shrinks
// and no batch takes long.
func (b *Batch) compact(rows Rows) error {
	x := &b.rows
	sessions := int(b.log.count.Load())
	budget := 4*len(b.changes) + 128
	var blob []byte
	for budget > 0 && x.reusableTo < x.newest() && x.records > sessions+sessions*3/4+logFloor {
		var err error
		if blob, err = rows.Read(x.slots[x.reusableTo-x.oldest], blob[:0]); err != nil {
			return err
		}
		records, err := unframeRow(blob)
		if err != nil {
			return err
		}
		x.reusableTo++
		b.fetch(records)
		for record := range eachRecord(records) {
			x.records--
			budget--
			var e entry
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

// fetch reads the slots where compact will look for the sessions of these records, two for each, because a slot is
// often on two cache lines and a search often needs the next one. With many sessions they are not in the processor's
// cache, and it waits for all of them at the same time instead of one after the other (make bench-large).
func (b *Batch) fetch(records []byte) {
	for record := range eachRecord(records) {
		id := (*token.SessionID)(record[1:])
		if t := &b.log.shard(id).table; t.count > 0 {
			slot := t.home(id)
			b.fetched ^= t.slots[slot].id[0] ^ t.slots[t.after(slot)].id[0]
		}
	}
}

// current reports whether a record in the log is the current state of its session. The record of an ended session is
// never current. compact may drop it, because the older records of the session were in older rows. Those rows are
// already reusable.
func (b *Batch) current(record *entry) bool {
	if _, changed := b.indexes[record.id]; changed {
		return false
	}
	present, exists := b.entry(&record.id)
	return exists && present == *record
}

// Apply makes the changes visible to readers. The transaction must be committed first.
func (b *Batch) Apply() {
	b.log.rows = b.rows
	b.log.records.Store(int64(b.rows.records))
	for i := range b.changes {
		b.log.set(&b.changes[i])
	}
	b.log.epochs.apply(b.lowest)
	if len(b.changes) > maxKept {
		b.changes, b.indexes = nil, nil
	}
}

// rowIndex finds the rows of the log, and appends to the newest one. A Batch works on a copy. The copy replaces the
// original when the Batch is applied. The two share their arrays. The copy never overwrites an element of the original.
type rowIndex struct {
	oldest     int64   // sequence number of the oldest row
	slots      []int64 // slot of each row, in the order of the sequence numbers
	reusableTo int64   // rows before this sequence number have no current record and may be overwritten
	records    int     // number of records in the rows from reusableTo on
	tail       []byte  // records of the newest row
}

func newRowIndex(sorted []Position) rowIndex {
	x := rowIndex{oldest: 1}
	if len(sorted) > 0 {
		x.oldest = sorted[0].Seq
	}
	x.reusableTo = x.oldest
	for _, p := range sorted {
		x.slots = append(x.slots, p.Slot)
	}
	return x
}

func (x *rowIndex) newest() int64 { return x.oldest + int64(len(x.slots)) - 1 }

// append appends a record to the newest row. If that row is full, append writes it and begins a new one.
func (x *rowIndex) append(rows Rows, e *entry) error {
	if len(x.slots) == 0 || versionSize+len(x.tail)+maxRecordSize > maxFilled {
		if err := x.flush(rows); err != nil {
			return err
		}
		x.begin()
	}
	x.tail = e.appendRecord(x.tail)
	x.records++
	return nil
}

// begin begins a row. It reuses the slot of the oldest row if that row may be overwritten.
func (x *rowIndex) begin() {
	slot := int64(len(x.slots)) + 1
	if x.oldest < x.reusableTo {
		slot = x.slots[0]
		x.slots = x.slots[1:]
		x.oldest++
	}
	x.slots = append(x.slots, slot)
	x.tail = make([]byte, 0, maxFilled)
}

// flush writes the newest row.
func (x *rowIndex) flush(rows Rows) error {
	if len(x.slots) == 0 {
		return nil
	}
	p := Position{Slot: x.slots[len(x.slots)-1], Seq: x.newest()}
	return rows.Write(p, frameRow(x.tail))
}
