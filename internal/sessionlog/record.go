package sessionlog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"iter"

	"github.com/pawlauth/pawl/internal/authority"
)

// A row of the log is a blob of RowSize bytes. Numbers are little-endian:
//
//	1   version: 1
//	    records, in the order in which they happened, then zeros
//	4   CRC-32C of everything before it
//
// A record has these fields. A record of an ended session stops after the ID:
//
//	1   kind: recordEnded, or recordState with any of the flags
//	16  session ID
//	8   user ID; its highest bit is set if the session has extras
//	4   generation, never 0
//	20  created, refreshed, previous, expires, ends: Unix seconds, 4 bytes each
//	16  hash of the idempotency key, only withKey
//	4   hash of the address, only withAddress; 0 without it
//	4   idle: Unix seconds, only withIdle; equal to expires without it
//	4   epoch, only withEpoch; 0 without it
//
// The first version of Pawl wrote neither withAddress nor withIdle, and no session had extras.

const rowVersion = 1

// RowSize is the size of a row. One row with its overhead of at most 43 bytes fills a page of 4 KiB.
const RowSize = 4048

const (
	recordEnded = 1
	recordState = 2
	withKey     = 1
	withEpoch   = 4
	withAddress = 8
	withIdle    = 16
	allFlags    = withKey | withEpoch | withAddress | withIdle
)

const (
	checksumSize  = 4
	versionSize   = 1
	endedSize     = 1 + 16
	stateSize     = endedSize + 8 + 4 + 5*4
	keySize       = 16
	addressSize   = 4
	idleSize      = 4
	epochSize     = 4
	maxRecordSize = stateSize + keySize + addressSize + idleSize + epochSize
	maxFilled     = RowSize - checksumSize

	generationOffset = endedSize + 8

	// recordsPerRow is the number of records in a row if all have the largest size.
	recordsPerRow = (maxFilled - versionSize) / maxRecordSize
)

var (
	castagnoli       = crc32.MakeTable(crc32.Castagnoli)
	errDamaged       = errors.New("a row of the rotation log is damaged")
	noIdempotencyKey authority.IdempotencyKeyHash
)

// recordSizes has the size of the records of each kind, and 0 for an invalid kind.
var recordSizes = func() (sizes [256]int) {
	sizes[recordEnded] = endedSize
	for kind := range sizes {
		if kind&^allFlags != recordState {
			continue
		}
		sizes[kind] = stateSize
		for flag, size := range map[int]int{
			withKey: keySize, withAddress: addressSize, withIdle: idleSize, withEpoch: epochSize,
		} {
			if kind&flag != 0 {
				sizes[kind] += size
			}
		}
	}
	return sizes
}()

// appendRecord appends the record of an entry to the records of a row.
func (e *entry) appendRecord(b []byte) []byte {
	if e.ended() {
		b = append(b, recordEnded)
		return append(b, e.id[:]...)
	}
	kind := byte(recordState)
	if e.idempotencyKey != noIdempotencyKey {
		kind |= withKey
	}
	if e.address != 0 {
		kind |= withAddress
	}
	if e.idle != e.expires {
		kind |= withIdle
	}
	if e.epoch != 0 {
		kind |= withEpoch
	}
	b = append(b, kind)
	b = append(b, e.id[:]...)
	b = append(b, e.userID[:]...)
	for _, n := range [...]uint32{e.generation, e.created, e.refreshed, e.previous, e.expires, e.ends} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	if kind&withKey != 0 {
		b = append(b, e.idempotencyKey[:]...)
	}
	if kind&withAddress != 0 {
		b = binary.LittleEndian.AppendUint32(b, uint32(e.address))
	}
	if kind&withIdle != 0 {
		b = binary.LittleEndian.AppendUint32(b, e.idle)
	}
	if kind&withEpoch != 0 {
		b = binary.LittleEndian.AppendUint32(b, e.epoch)
	}
	return b
}

// decode reads a record from eachRecord.
func (e *entry) decode(record []byte) {
	*e = entry{}
	copy(e.id[:], record[1:])
	if len(record) == endedSize {
		return
	}
	copy(e.userID[:], record[endedSize:])
	at := generationOffset
	for _, n := range [...]*uint32{&e.generation, &e.created, &e.refreshed, &e.previous, &e.expires, &e.ends} {
		*n = binary.LittleEndian.Uint32(record[at:])
		at += 4
	}
	if record[0]&withKey != 0 {
		at += copy(e.idempotencyKey[:], record[at:])
	}
	if record[0]&withAddress != 0 {
		e.address = authority.AddressHash(binary.LittleEndian.Uint32(record[at:]))
		at += addressSize
	}
	e.idle = e.expires
	if record[0]&withIdle != 0 {
		e.idle = binary.LittleEndian.Uint32(record[at:])
		at += idleSize
	}
	if record[0]&withEpoch != 0 {
		e.epoch = binary.LittleEndian.Uint32(record[at:])
	}
}

// recordShard returns the shard of the session of a record.
func recordShard(record []byte) byte { return record[1] }

// recordSize returns the size of the record at the beginning of b, or 0 if b has no valid record there.
func recordSize(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	size := recordSizes[b[0]]
	if size > len(b) {
		return 0
	}
	if size > endedSize && binary.LittleEndian.Uint32(b[generationOffset:]) == 0 {
		return 0
	}
	return size
}

// eachRecord iterates over the records at the beginning of a slice.
func eachRecord(records []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for {
			size := recordSize(records)
			if size == 0 || !yield(records[:size]) {
				return
			}
			records = records[size:]
		}
	}
}

// frameRow returns the blob of a row with these records.
func frameRow(records []byte) []byte {
	blob := make([]byte, RowSize)
	blob[0] = rowVersion
	copy(blob[versionSize:], records)
	sum := crc32.Checksum(blob[:RowSize-checksumSize], castagnoli)
	binary.LittleEndian.PutUint32(blob[RowSize-checksumSize:], sum)
	return blob
}

// unframeRow checks the blob of a row, and returns its records.
func unframeRow(blob []byte) ([]byte, error) {
	if len(blob) != RowSize || blob[0] != rowVersion {
		return nil, errDamaged
	}
	sum := binary.LittleEndian.Uint32(blob[RowSize-checksumSize:])
	if crc32.Checksum(blob[:RowSize-checksumSize], castagnoli) != sum {
		return nil, errDamaged
	}
	records := blob[versionSize : RowSize-checksumSize]
	filled := 0
	for record := range eachRecord(records) {
		filled += len(record)
	}
	if filled < len(records) && records[filled] != 0 {
		return nil, errDamaged
	}
	return records[:filled], nil
}
