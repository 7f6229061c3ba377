package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

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

// Distribute distributes the tables of a store over the workers of Citus. It can be run again: it then completes what
// is missing. No node may use the store. If shards is 0, there are shardsPerWorker for each worker.
func Distribute(ctx context.Context, c Config, shards int) (d Distribution, err error) {
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

func distribute(ctx context.Context, conn *pgx.Conn, shards int) (d Distribution, err error) {
	if err := requireCoordinator(ctx, conn, &d); err != nil {
		return d, err
	}
	before := d.Shards
	if shards == 0 {
		shards = max(before, shardsPerWorker*d.Workers)
	}
	if before > 0 && before != shards {
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

// setOnServers makes the settings of prepareConnection the defaults of this user in this database, on every server.
// Citus does not pass them on to the connections between the servers.
func setOnServers(ctx context.Context, conn *pgx.Conn) error {
	const sql = `DO $do$ BEGIN IF current_setting('%s') %s THEN
		PERFORM set_config('citus.enable_ddl_propagation', 'off', true); -- each server sets its own
		EXECUTE format('ALTER ROLE %%I IN DATABASE %%I SET %[1]s = %%L', current_user, current_database(), '%[3]s');
		END IF; END $do$`
	for _, setting := range serverSettings {
		_, err := onAllServers(ctx, conn, fmt.Sprintf(sql, setting.name, setting.when, setting.value))
		if err != nil {
			return err
		}
	}
	return nil
}

// onAllServers runs a statement on the coordinator and on each worker, and returns the first value of each.
func onAllServers(ctx context.Context, conn *pgx.Conn, sql string) ([]string, error) {
	type result struct {
		Server  string
		Success bool
		Text    string
	}
	const run = `SELECT coalesce(n.nodename || ':' || n.nodeport, '?'), r.success, r.result
		FROM run_command_on_all_nodes($1) r LEFT JOIN pg_catalog.pg_dist_node n ON n.nodeid = r.nodeid`
	results, err := collect(ctx, conn, pgx.RowToStructByPos[result], run, sql)
	texts := make([]string, len(results))
	for i, r := range results {
		if !r.Success {
			return nil, fmt.Errorf("the server %s of Citus: %s", r.Server, r.Text)
		}
		texts[i] = r.Text
	}
	return texts, err
}

var errServerSettings = errors.New("a server of Citus has other settings than Pawl needs: " +
	"set lc_messages = 'C' on each server, and run pawl store distribute again")

// checkServers returns an error if a server of Citus would acknowledge a commit that is not on its disk, or would warn
// in a language in which Citus does not recognize warnings.
func checkServers(ctx context.Context, conn *pgx.Conn) (none, error) {
	const settings = "SELECT current_setting('synchronous_commit') NOT IN ('off', 'local')" +
		" AND current_setting('lc_messages') ~ '^(C|POSIX|en)' AND current_setting('client_min_messages') <> 'error'"
	texts, err := onAllServers(ctx, conn, settings)
	if err == nil && slices.Contains(texts, "f") {
		err = errServerSettings
	}
	return none{}, err
}

// serverSettings are the settings of setOnServers. A setting is set if its value meets the condition.
var serverSettings = []struct{ name, when, value string }{
	{name: "synchronous_commit", when: "IN ('off', 'local')", value: "on"},
	{name: "default_transaction_isolation", when: "<> 'read committed'", value: "read committed"},
	{name: "lock_timeout", when: "IS NOT NULL", value: milliseconds(lockTimeout)},
	{name: "client_min_messages", when: "IN ('warning', 'error')", value: "notice"},
}
