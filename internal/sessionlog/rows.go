package sessionlog

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

// logFloor is the number of records that a log may have in addition to 1.5 for each session. A lower floor would cost
// more compaction, and a higher one more disk.
const logFloor = 4096

// rowIndex finds the rows of the log, and appends to the newest one. A Batch works on a copy, which replaces the
// original when the Batch is applied. The two share their arrays. The copy never overwrites an element that the
// original can see.
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
