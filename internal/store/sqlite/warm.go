package sqlite

import (
	"context"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/token"
)

// warm reads all sessions into memory, shard by shard, while the store serves
// already. From then on a session that memory does not have is none. If the
// file cannot be read it stops, and sessions go on to be read one by one.
func (s *Store) warm(ctx context.Context) {
	const page = 512
	for first := range shards {
		after := token.SessionID{byte(first)}
		for {
			before := s.memory.drops(&after)
			rows, err := s.shardRows(ctx, after, page)
			if err != nil {
				return
			}
			kept := true
			for _, row := range rows {
				kept = kept && s.memory.fill(row, before)
			}
			if !kept {
				continue // one ended meanwhile: read the page again
			}
			if len(rows) < page {
				break
			}
			after = rows[len(rows)-1].ID
		}
	}
	s.memory.whole.Store(true)
}

// shardRows returns at most limit rows of the shard of after, from there on.
func (s *Store) shardRows(ctx context.Context, after token.SessionID, limit int) (rows []authority.Session, err error) {
	last := token.SessionID{after[0]}
	for i := range last[1:] {
		last[i+1] = 0xff
	}
	rows = make([]authority.Session, 0, limit)
	err = s.read(ctx, func(conn *sqlite.Conn) error {
		stmt := conn.Prep("SELECT " + sessionColumns + " FROM session WHERE id >= ? AND id <= ? ORDER BY id LIMIT ?")
		bind(stmt, after[:], last[:], int64(limit))
		return each(stmt, func() { rows = append(rows, scanSession(stmt)) })
	})
	return rows, err
}
