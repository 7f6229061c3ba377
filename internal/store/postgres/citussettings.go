package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Citus has connections between its servers, which do not get the settings of prepareConnection. So "pawl store
// distribute" makes these settings the defaults of Pawl's user on every server.

// serverSettings are the settings of setOnServers. A setting is set if its value meets the condition.
var serverSettings = []struct{ name, when, value string }{
	{name: "synchronous_commit", when: "IN ('off', 'local')", value: "on"},
	{name: "default_transaction_isolation", when: "<> 'read committed'", value: "read committed"},
	{name: "lock_timeout", when: "IS NOT NULL", value: milliseconds(lockTimeout)},
	{name: "client_min_messages", when: "IN ('warning', 'error')", value: "notice"},
}

// setOnServers makes the settings of prepareConnection the defaults of this user in this database, on every server.
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

// serverResult is the first value that a statement returned at a server of Citus.
type serverResult struct {
	Server  string // HOST:PORT
	Success bool
	Text    string // the error if the statement failed
}

// onAllServers runs a statement on the coordinator and on each worker. If it fails at some of them, it also returns the
// results of the others.
func onAllServers(ctx context.Context, conn *pgx.Conn, sql string) (done []serverResult, err error) {
	const run = `SELECT coalesce(n.nodename || ':' || n.nodeport, '?'), r.success, r.result
		FROM run_command_on_all_nodes($1) r LEFT JOIN pg_catalog.pg_dist_node n ON n.nodeid = r.nodeid ORDER BY 1`
	results, err := collect(ctx, conn, pgx.RowToStructByPos[serverResult], run, sql)
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, r := range results {
		if r.Success {
			done = append(done, r)
		} else {
			failed = append(failed, fmt.Errorf("the server %s of Citus: %s", r.Server, r.Text))
		}
	}
	return done, errors.Join(failed...)
}

var errServerSettings = errors.New("a server of Citus has other settings than Pawl needs: " +
	"set lc_messages = 'C' on each server, and run pawl store distribute again")

// settingsSQL selects whether a server has the settings that Pawl needs on the connections between the servers. A
// commit is on the disk before it is acknowledged, a statement sees every earlier commit and stops waiting for a lock,
// and a warning is sent, in a language in which Citus recognizes it.
var settingsSQL = fmt.Sprintf(`SELECT current_setting('synchronous_commit') NOT IN ('off', 'local')
	AND current_setting('default_transaction_isolation') = 'read committed'
	AND (SELECT setting::bigint FROM pg_settings WHERE name = 'lock_timeout') BETWEEN 1 AND %d
	AND current_setting('lc_messages') ~ '^(C|POSIX|en)' AND current_setting('client_min_messages') <> 'error'`,
	lockTimeout.Milliseconds())

// checkServers returns errServerSettings if a server has other settings than Pawl needs, and another error if a server
// cannot be asked.
func checkServers(ctx context.Context, conn *pgx.Conn) (none, error) {
	results, err := onAllServers(ctx, conn, settingsSQL)
	for _, r := range results {
		if r.Text == "f" {
			return none{}, fmt.Errorf("%w (%s)", errServerSettings, r.Server)
		}
	}
	return none{}, err
}

// noStandbySQL selects whether a commit of a server waits for no standby.
const noStandbySQL = "SELECT current_setting('synchronous_standby_names') = ''" +
	" OR current_setting('synchronous_commit') IN ('off', 'local')"

// serversWithoutStandby returns the addresses of the servers of Citus whose commits wait for no standby.
func serversWithoutStandby(ctx context.Context, conn *pgx.Conn) (addresses []string, err error) {
	results, err := onAllServers(ctx, conn, noStandbySQL)
	for _, r := range results {
		if r.Text == "t" {
			addresses = append(addresses, r.Server)
		}
	}
	return addresses, err
}

// checkCitus checks the servers, and logs what a failover of them may undo. A server that cannot be asked is checked
// later, because the node serves the sessions of the others.
func (s *Store) checkCitus(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bulkTimeout)
	defer cancel()
	_, _, err := runOnConn(ctx, s.bulk, checkServers)
	s.citus.unchecked = err != nil
	if errors.Is(err, errServerSettings) {
		return err
	}
	addresses, _, standbysErr := runOnConn(ctx, s.bulk, serversWithoutStandby)
	if len(addresses) > 0 {
		s.bulk.fence.log.Info("servers of Citus have no synchronous standby: a failover of one may undo acknowledged "+
			"refreshes", "addresses", addresses)
	}
	if err = errors.Join(err, standbysErr); err != nil {
		s.log.Warn("the settings of the servers of Citus cannot be checked yet", "err", explain(err))
	}
	return nil
}
