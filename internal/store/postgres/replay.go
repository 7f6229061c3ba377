package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/store/batch"
	"github.com/pawlauth/pawl/internal/token"
)

// replay is one caller's record of a replay in a batch. After an outage many clients get a replay at once.
type replay struct {
	id         token.SessionID
	generation uint32
	at         int64
	err        error
}

type replayOp = batch.Op[replay]

// RecordReplay stores the time of a replay.
func (s *Store) RecordReplay(ctx context.Context, id token.SessionID, generation uint32, at int64) error {
	op := &replayOp{Value: replay{id: id, generation: generation, at: at}}
	if err := inBatch(ctx, s, id, (*shard).replayBatches, op); err != nil {
		return fmt.Errorf("%w: %w", fault.ErrUnavailable, err)
	}
	return op.Value.err
}

// recordSQL passes over a row locked by another transaction, as rotateSQL does: that transaction rotates or ends the
// session, or records another replay of it.
const recordSQL = selectReplays + updateReplayed

// recordShardSQL is recordSQL for the sessions of one shard.
const recordShardSQL = selectReplays + inShard + updateReplayed + inShard

const selectReplays = `
WITH n AS (
  SELECT id, generation, max(at) AS at FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS n (id, generation, at)
  GROUP BY id, generation
), locked AS MATERIALIZED (
  SELECT n.* FROM n JOIN pawl.session s ON s.id = n.id
  WHERE s.generation = n.generation`

const updateReplayed = ` FOR NO KEY UPDATE OF s SKIP LOCKED
)
UPDATE pawl.session s SET previous = least(n.at, s.refreshed + 120) FROM locked n
WHERE s.id = n.id AND s.generation = n.generation AND least(n.at, s.refreshed + 120) > ` + raceBegan

// recordReplays stores the times of a batch. It repeats the statement if the connection turns out to be broken.
func (s *Store) recordReplays(ops []*replayOp) {
	ids := make([][16]byte, len(ops))
	generations := make([]int64, len(ops))
	at := make([]int64, len(ops))
	for i, op := range ops {
		ids[i] = op.Value.id
		generations[i] = int64(op.Value.generation)
		at[i] = op.Value.at
	}
	sql := recordSQL
	if s.citus != nil {
		sql = recordShardSQL
	}
	try := func() error {
		_, err := withConnAt(context.Background(), s, s.serverOf(ops[0].Value.id), hotTimeout,
			func(ctx context.Context, conn *pgx.Conn) (pgconn.CommandTag, error) {
				return conn.Exec(ctx, sql, ids, generations, at)
			})
		return err
	}
	err := try()
	if err != nil && mayRetry(err) {
		err = try()
	}
	for _, op := range ops {
		op.Value.err = explain(err)
	}
}
