package revocation

import "slices"

// ring has the latest events as one text, cut into blocks, so that all subscribers read the same bytes. A position in
// the ring counts the bytes since the epoch began. Bytes never change once they are in a block, so a subscriber may
// write a part of a block while the feed appends to it.
type ring struct {
	limit  int // bytes of all blocks
	size   int // bytes of all blocks
	blocks []block
}

// block is a part of the ring.
type block struct {
	start int64    // the position of the first byte
	first uint64   // the sequence of the first event
	text  []byte   // its capacity never grows
	ends  []uint32 // where in text each event ends
}

const blockSize = 64 << 10

// reset drops all events.
func (r *ring) reset() {
	r.blocks = nil
	r.size = 0
}

// begin returns the position of the oldest byte.
func (r *ring) begin() int64 {
	if len(r.blocks) == 0 {
		return 0
	}
	return r.blocks[0].start
}

// end returns the position after the newest byte.
func (r *ring) end() int64 {
	if len(r.blocks) == 0 {
		return 0
	}
	last := &r.blocks[len(r.blocks)-1]
	return last.start + int64(len(last.text))
}

// append adds an event of at most size bytes, and drops the oldest blocks above the limit. The newest block stays.
func (r *ring) append(sequence uint64, size int, encode func([]byte) []byte) {
	if n := len(r.blocks); n == 0 || cap(r.blocks[n-1].text)-len(r.blocks[n-1].text) < size {
		text := make([]byte, 0, max(blockSize, size))
		r.blocks = append(r.blocks, block{start: r.end(), first: sequence, text: text})
		r.size += cap(text)
		for r.size > r.limit && len(r.blocks) > 1 {
			r.size -= cap(r.blocks[0].text)
			r.blocks = slices.Delete(r.blocks, 0, 1)
		}
	}
	last := &r.blocks[len(r.blocks)-1]
	last.text = encode(last.text)
	last.ends = append(last.ends, uint32(len(last.text)))
}

// from returns the bytes from a position to the end of its block. The position must not be before begin.
func (r *ring) from(position int64) []byte {
	for i := len(r.blocks) - 1; i >= 0; i-- {
		if b := &r.blocks[i]; position >= b.start {
			return b.text[position-b.start:]
		}
	}
	return nil
}

// after returns the position after an event, and whether every later event is in the ring.
func (r *ring) after(sequence uint64) (position int64, ok bool) {
	for i := len(r.blocks) - 1; i >= 0; i-- {
		b := &r.blocks[i]
		if sequence+1 == b.first {
			return b.start, true
		}
		if sequence >= b.first && sequence-b.first < uint64(len(b.ends)) {
			return b.start + int64(b.ends[sequence-b.first]), true
		}
	}
	return 0, sequence == 0 && len(r.blocks) == 0
}
