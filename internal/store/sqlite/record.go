package sqlite

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// The blob of a step row has rowSize bytes, with numbers little-endian:
//
//	1   version: 1
//	    records, in the order in which they happened, then zeros
//	4   CRC-32C of all before
//
// and a record is:
//
//	1   kind, never 0
//	16  session id
//	    and of one that moved, its new state:
//	8   user id
//	4   generation
//	20  created, refreshed, previous, expires, ends: Unix seconds, 4 bytes each
//	16  retry key, of the kind that has one
const recordVersion = 1

// rowSize fills a page of 4 KiB with one row, whose overhead is 43 bytes at most.
const rowSize = 4048

// The kinds of records.
const (
	recordEnded   = 1
	recordMoved   = 2 // and the refresh had no retry key
	recordRetried = 3
)

const (
	endedSize = 1 + 16
	movedSize = endedSize + 8 + 4 + 5*4
	maxRecord = movedSize + 16
	sumSize   = 4
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errDamaged = errors.New("a row of the step log is damaged")
)

func recordSize(e *entry) int {
	switch {
	case e.generation == 0:
		return endedSize
	case e.retryKey == [16]byte{}:
		return movedSize
	}
	return maxRecord
}

// appendRecord adds the state of a session; an entry of generation 0 has ended.
func appendRecord(b []byte, e *entry) []byte {
	if e.generation == 0 {
		return append(append(b, recordEnded), e.id[:]...)
	}
	kind := byte(recordMoved)
	if e.retryKey != [16]byte{} {
		kind = recordRetried
	}
	b = append(append(b, kind), e.id[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(e.userID))
	for _, n := range [...]uint32{e.generation, e.created, e.refreshed, e.previous, e.expires, e.ends} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	if kind == recordRetried {
		b = append(b, e.retryKey[:]...)
	}
	return b
}

// seal makes a row's blob of its version and records.
func seal(filled []byte) []byte {
	blob := make([]byte, rowSize)
	copy(blob, filled)
	binary.LittleEndian.PutUint32(blob[rowSize-sumSize:], crc32.Checksum(blob[:rowSize-sumSize], castagnoli))
	return blob
}

// eachRecord checks a row's blob and calls f with each of its records.
func eachRecord(blob []byte, f func(*entry) error) error {
	if len(blob) != rowSize || blob[0] != recordVersion {
		return errDamaged
	}
	rest := blob[1 : rowSize-sumSize]
	if crc32.Checksum(blob[:rowSize-sumSize], castagnoli) != binary.LittleEndian.Uint32(blob[rowSize-sumSize:]) {
		return errDamaged
	}
	for e := new(entry); len(rest) > 0 && rest[0] != 0; {
		var err error
		if rest, err = nextRecord(rest, e); err != nil {
			return err
		}
		if err := f(e); err != nil {
			return err
		}
	}
	return nil
}

// unfilled returns a good blob's version and records, with room for more.
func unfilled(blob []byte) []byte {
	end := 1
	_ = eachRecord(blob, func(e *entry) error { end += recordSize(e); return nil })
	return blob[:end]
}

// nextRecord reads the first record of b into e, and returns the rest.
func nextRecord(b []byte, e *entry) ([]byte, error) {
	*e = entry{}
	if len(b) < endedSize {
		return nil, errDamaged
	}
	kind := b[0]
	copy(e.id[:], b[1:])
	switch {
	case kind == recordEnded:
		return b[endedSize:], nil
	case kind == recordMoved && len(b) >= movedSize, kind == recordRetried && len(b) >= maxRecord:
	default:
		return nil, errDamaged
	}
	b = b[endedSize:]
	e.userID = int64(binary.LittleEndian.Uint64(b))
	b = b[8:]
	for _, n := range [...]*uint32{&e.generation, &e.created, &e.refreshed, &e.previous, &e.expires, &e.ends} {
		*n = binary.LittleEndian.Uint32(b)
		b = b[4:]
	}
	if kind == recordRetried {
		b = b[copy(e.retryKey[:], b):]
	}
	if e.generation == 0 {
		return nil, errDamaged
	}
	return b, nil
}
