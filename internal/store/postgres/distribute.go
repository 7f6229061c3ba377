package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Distribution is where Citus keeps the tables of a store.
type Distribution struct {
	Shards  int // of the sessions; 0 if they are not distributed
	Workers int // with shards
}

var (
	errNoExtension = errors.New("the database has no extension citus: run CREATE EXTENSION citus in this database " +
		"on the coordinator and on each worker, and then SELECT citus_add_node(...) for each worker")
	errNoWorkers  = errors.New("the Citus cluster has no worker: run SELECT citus_add_node(...) for each worker")
	errOnAWorker  = errors.New("the address names a worker of Citus: name the coordinator")
	errShardCount = errors.New("the sessions have another number of shards already: " +
		"split or rebalance them with the functions of Citus")
)

// Distribute distributes the tables of a store over the workers of Citus, and sets the settings of each server. No node
// may use the store. If shards is 0, there are shardsPerWorker for each worker.
//
// It can be run again, for example after a worker was added. If the tables are distributed, it sets the settings only.
// Nodes may use the store meanwhile, because new connections alone follow the settings.
func Distribute(ctx context.Context, c Config, shards int) (d Distribution, err error) {
	d, err = setAgain(ctx, c, shards)
	if err != nil || d.Shards > 0 {
		return d, err
	}
	c.MustExist = true
	c.Exclusive = true
	s, err := Open(ctx, c)
	if err != nil {
		return d, err
	}
	defer s.Close()
	// The lock keeps every node out, so no other transaction can conflict. The errors are not those of a store.
	return distribute(ctx, s.lockConn.Conn(), shards)
}

// setAgain sets the settings of the servers if the tables are distributed. Otherwise the Distribution has no shards.
func setAgain(ctx context.Context, c Config, shards int) (d Distribution, err error) {
	connecting, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	pool, l, err := newBulkPool(connecting, c)
	if err != nil {
		return d, err
	}
	defer pool.Close()
	if len(l.shards) == 0 {
		return d, nil
	}
	pooled, err := pool.Acquire(connecting)
	if err != nil {
		return d, explainConnect(err)
	}
	defer pooled.Release()
	conn := pooled.Conn()
	var whole bool
	if err := conn.QueryRow(ctx, wholeSQL).Scan(&whole); err != nil || !whole {
		return d, err
	}
	err = requireCoordinator(ctx, conn, &d)
	switch {
	case err != nil:
		return d, err
	case shards != 0 && shards != d.Shards:
		return d, errShardCount
	}
	return d, setOnServers(ctx, conn)
}

// wholeSQL selects whether distributeTables has committed.
const wholeSQL = `SELECT count(*) = 3 FROM pg_dist_partition
	WHERE logicalrelid IN ('pawl.users'::regclass, 'pawl.api_key'::regclass, 'pawl.session'::regclass)
		AND (partmethod = 'h' OR partmethod = 'n' AND repmodel = 't')`

func distribute(ctx context.Context, conn *pgx.Conn, shards int) (d Distribution, err error) {
	if err := requireCoordinator(ctx, conn, &d); err != nil {
		return d, err
	}
	switch {
	case shards == 0 && d.Shards > 0:
		shards = d.Shards
	case shards == 0:
		shards = shardsPerWorker * d.Workers
	case d.Shards > 0 && d.Shards != shards:
		return d, errShardCount
	}
	if err := distributeTables(ctx, conn, shards); err != nil {
		return d, err
	}
	d.Shards = shards
	return d, setOnServers(ctx, conn)
}

// shardsPerWorker leaves room for twice as many workers without a split. More shards make smaller batches.
const shardsPerWorker = 2

// requireCoordinator returns an error unless the server is the coordinator of workers. It sets d.
func requireCoordinator(ctx context.Context, conn *pgx.Conn, d *Distribution) error {
	const (
		installed   = "SELECT to_regclass('pg_catalog.pg_dist_shard') IS NOT NULL"
		coordinator = "SELECT EXISTS (SELECT 1 FROM pg_dist_node WHERE groupid = 0) AND NOT citus_is_coordinator()"
		counts      = `SELECT (SELECT count(*) FROM pg_dist_shard WHERE logicalrelid = 'pawl.session'::regclass),
			(SELECT count(*) FROM pg_dist_node WHERE groupid <> 0 AND noderole = 'primary' AND shouldhaveshards)`
	)
	var found, worker bool
	if err := conn.QueryRow(ctx, installed).Scan(&found); err != nil || !found {
		if err == nil {
			err = errNoExtension
		}
		return err
	}
	if err := conn.QueryRow(ctx, coordinator).Scan(&worker); err != nil || worker {
		if err == nil {
			err = errOnAWorker
		}
		return err
	}
	err := conn.QueryRow(ctx, counts).Scan(&d.Shards, &d.Workers)
	if err == nil && d.Workers == 0 {
		err = errNoWorkers
	}
	return err
}

// distributeTables distributes the tables that are not distributed yet, in one transaction.
//
// The foreign key from API keys to sessions has to go, because it would point from a reference table to a distributed
// one. The store deletes the API keys of a session itself then (deleteKeysOf).
func distributeTables(ctx context.Context, conn *pgx.Conn, shards int) error {
	missing := func(table, call string) string {
		return fmt.Sprintf(`SELECT %s WHERE NOT EXISTS
			(SELECT 1 FROM pg_dist_partition WHERE logicalrelid = '%s'::regclass AND partmethod IN ('h', 'n')
				AND (partmethod = 'h' OR repmodel = 't'))`, call, table)
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) // without effect after the commit
	for _, sql := range []string{
		"SET LOCAL lock_timeout = 0",
		"ALTER TABLE pawl.api_key DROP CONSTRAINT IF EXISTS api_key_session_id_fkey",
		missing("pawl.users", "create_reference_table('pawl.users')"),
		missing("pawl.api_key", "create_reference_table('pawl.api_key')"),
		missing("pawl.session", fmt.Sprintf(
			"create_distributed_table('pawl.session', 'id', shard_count := %d, colocate_with := 'none')", shards)),
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	for _, table := range []string{"users", "api_key"} { // a distribution begins the sequence of the ids again
		sql := fmt.Sprintf("SELECT setval('pawl.%s_id_seq', greatest((SELECT max(id) FROM pawl.%[1]s), last_value)) "+
			"FROM pawl.%[1]s_id_seq WHERE EXISTS (SELECT 1 FROM pawl.%[1]s)", table)
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return tx.Commit(ctx)
}
