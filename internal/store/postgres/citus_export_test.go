//go:build linux

package postgres

// DirectShards returns how many shards the store reaches at their workers, and how many there are.
func (s *Store) DirectShards() (direct, all int) {
	for _, shard := range *s.shards.Load() {
		all++
		if shard.tables != nil {
			direct++
		}
	}
	return direct, all
}
