package sessionlog

// Rows is the table that has the rows of a log. Each slot of the table has one row. The methods run inside the
// transaction of the caller.
type Rows interface {
	// List returns the positions of all rows, in any order.
	List() ([]Position, error)
	// Read appends the blob of the row in a slot to buffer.
	Read(slot int64, buffer []byte) ([]byte, error)
	// Write puts a row into a slot, and replaces the row that the slot had.
	Write(p Position, blob []byte) error
}

// Position is where a row is in the table and in the log.
type Position struct {
	Slot int64 // from 1 on, without a gap
	Seq  int64 // counts the rows since the first one, without a gap
}

// logFloor is how many records a log may have in addition to 1.5 for each session. Fewer records would cost more
// compaction, and more of them more disk.
const logFloor = 4096

// rowIndex is where the rows of the log are. A Batch works on a copy, which replaces the original when the Batch is
// applied. A copy shares the arrays of the original, and only writes to them behind the original's length.
type rowIndex struct {
	slots   []int64 // of the rows from oldest on
	oldest  int64   // the sequence number of the first of slots
	clean   int64   // every row before this sequence number may be overwritten
	records int     // in the rows from clean on
	tail    []byte  // the records of the newest row
}

func newRowIndex(sorted []Position) rowIndex {
	x := rowIndex{oldest: 1}
	if len(sorted) > 0 {
		x.oldest = sorted[0].Seq
	}
	x.clean = x.oldest
	for _, p := range sorted {
		x.slots = append(x.slots, p.Slot)
	}
	return x
}

func (x *rowIndex) newest() int64 { return x.oldest + int64(len(x.slots)) - 1 }

// append appends a record to the newest row, which it first writes and replaces by a new one if it is full.
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

// begin begins a row, in the slot of the oldest row if that one may be overwritten.
func (x *rowIndex) begin() {
	slot := int64(len(x.slots)) + 1
	if x.oldest < x.clean {
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
