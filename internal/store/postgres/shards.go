package postgres

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
	"time"

	"github.com/pawlauth/pawl/internal/store/batch"
	"github.com/pawlauth/pawl/internal/token"
)

// On Citus the rows of pawl.session are in shards, by a hash of their ids (citus.go). A statement for sessions of one
// shard runs on one server and commits there alone. A statement for several shards would be refused, or would need a
// commit in two phases. So every shard has batches of its own. PostgreSQL without Citus has one shard.

// shardPlace is where a shard begins and is.
type shardPlace struct {
	first  int32  // the lowest hash of the shard's sessions
	worker string // HOST:PORT; empty without Citus
	// shard and users are the numbers in the names of the shard's tables; 0 without Citus.
	shard, users int64
}

// shard is a shard with its batches.
type shard struct {
	shardPlace
	at        server       // where the statements run
	tables    *shardTables // nil unless the shard is at that server
	rotations *batch.Group[rotation]
	replays   *batch.Group[replay]
	sessions  *batch.Group[sessionLookup]
}

func (s *shard) rotationBatches() *batch.Group[rotation]     { return s.rotations }
func (s *shard) replayBatches() *batch.Group[replay]         { return s.replays }
func (s *shard) sessionBatches() *batch.Group[sessionLookup] { return s.sessions }

// inBatch puts an operation on a session into a batch of its shard. If the shards have changed meanwhile, inBatch tries
// the new one.
func inBatch[T any](
	ctx context.Context, s *Store, id token.SessionID, batches func(*shard) *batch.Group[T], op *batch.Op[T],
) error {
	for {
		shard := s.shardOf(id)
		err := batches(shard).Do(ctx, op)
		if !errors.Is(err, batch.ErrClosed) || s.shardOf(id) == shard {
			return err
		}
	}
}

// citusGather is how long a batch may wait for more calls on Citus, where the cost of a statement is far higher than
// that of a call in it.
const citusGather = 2 * time.Millisecond

// newShards returns the shards at these places, in order. With a single shard the first hash has no meaning.
func (s *Store) newShards(places []shardPlace) []*shard {
	shards := make([]*shard, len(places))
	rotators, readers := rotators, readers
	var gather time.Duration
	if s.citus != nil {
		rotators, readers = 1, 1 // the batches of other shards run at the same time
		gather = citusGather
	}
	for i, place := range places {
		shard := &shard{shardPlace: place}
		at, reached := s.serverAt(place.worker)
		shard.at = at
		if reached {
			shard.tables = newShardTables(place)
		}
		rotate := func(ops []*rotationOp) { s.rotateBatch(shard, ops) }
		read := func(ops []*sessionOp) { s.readSessionBatch(shard, ops) }
		shard.rotations = batch.New(maxWrites, rotators, gather, rotate).Adapt(batchSize, slowWrite)
		shard.replays = batch.New(maxWrites, 1, 0, s.recordReplays).Adapt(batchSize, slowWrite)
		shard.sessions = batch.New(batchSize, readers, gather, read)
		shards[i] = shard
	}
	return shards
}

// close waits for the batches of a shard. Later calls get batch.ErrClosed.
func (s *shard) close() {
	s.rotations.Close()
	s.replays.Close()
	s.sessions.Close()
}

// shardOf returns the shard of a session.
func (s *Store) shardOf(id token.SessionID) *shard {
	shards := *s.shards.Load()
	if len(shards) == 1 {
		return shards[0]
	}
	return shards[ordinalOf(shards, id)]
}

// serverOf returns the server for the statements on a session.
func (s *Store) serverOf(id token.SessionID) server { return s.shardOf(id).at }

// ordinalOf returns the ordinal of the shard of a session, from 0.
func ordinalOf(shards []*shard, id token.SessionID) int {
	ordinal, found := slices.BinarySearchFunc(shards, int32(hashID(id)), func(s *shard, hash int32) int {
		return cmp.Compare(s.first, hash)
	})
	if !found {
		ordinal--
	}
	return max(0, ordinal)
}

// byShard groups ids by their shards.
func (s *Store) byShard(ids [][16]byte) [][][16]byte {
	shards := *s.shards.Load()
	if len(shards) == 1 {
		return [][][16]byte{ids}
	}
	groups := make([][][16]byte, len(shards))
	for _, id := range ids {
		ordinal := ordinalOf(shards, id)
		groups[ordinal] = append(groups[ordinal], id)
	}
	return slices.DeleteFunc(groups, func(group [][16]byte) bool { return len(group) == 0 })
}

// hashID is PostgreSQL's hash_any of 16 bytes, as computed on a little-endian machine. Citus shards uuids by it.
func hashID(id token.SessionID) uint32 {
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(id[i:]) }
	a := uint32(0x9e3779b9 + len(id) + 3923095)
	b := a
	c := a
	a += word(0)
	b += word(4)
	c += word(8)
	mix := func(x, y, z *uint32, shift int) {
		*x -= *z
		*x ^= bits.RotateLeft32(*z, shift)
		*z += *y
	}
	mix(&a, &b, &c, 4)
	mix(&b, &c, &a, 6)
	mix(&c, &a, &b, 8)
	mix(&a, &b, &c, 16)
	mix(&b, &c, &a, 19)
	mix(&c, &a, &b, 4)
	a += word(12)
	finish := func(x *uint32, y uint32, shift int) {
		*x ^= y
		*x -= bits.RotateLeft32(y, shift)
	}
	finish(&c, b, 14)
	finish(&a, c, 11)
	finish(&b, a, 25)
	finish(&c, b, 16)
	finish(&a, c, 4)
	finish(&b, a, 14)
	finish(&c, b, 24)
	return c
}
