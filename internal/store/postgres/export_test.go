//go:build linux

package postgres

import "github.com/pawlauth/pawl/internal/store/batch"

// BatchRotations sets the maximum number of rotations in a batch, which then does not follow the speed of the commits.
// It must be called before the first rotation.
func (s *Store) BatchRotations(limit int) {
	shard := (*s.shards.Load())[0]
	shard.rotations.Close()
	shard.rotations = batch.New(limit, rotators, 0, func(ops []*rotationOp) { s.rotateBatch(shard, ops) })
}
