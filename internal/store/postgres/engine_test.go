//go:build linux

package postgres

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/store/storetest"
	"github.com/pawlauth/pawl/internal/test/pgtest"
)

// engine describes what an engine refuses that PostgreSQL has. The tests make a database of PostgreSQL refuse the same.
type engine struct {
	version   string            // the result of version(); empty for that of PostgreSQL
	functions map[string]string // each refused function, and its result
	code      string            // the SQLSTATE of a refused function
	ddl       string            // an expression of plpgsql that is true for a refused change of the schema
}

var advisoryLocks = map[string]string{
	"pg_try_advisory_lock_shared(bigint)":          "boolean",
	"pg_try_advisory_lock(bigint)":                 "boolean",
	"pg_advisory_lock(bigint)":                     "void",
	"pg_advisory_lock_shared(integer, integer)":    "void",
	"pg_try_advisory_xact_lock(integer, integer)":  "boolean",
	"pg_logical_emit_message(boolean, text, text)": "pg_lsn",
	"pg_walfile_name(pg_lsn)":                      "text",
	"pg_current_wal_insert_lsn()":                  "pg_lsn",
}

var transactionNumbers = map[string]string{
	"pg_current_xact_id()":       "xid8",
	"pg_current_snapshot()":      "pg_snapshot",
	"pg_postmaster_start_time()": "timestamptz",
	"uuid_send(uuid)":            "bytea",
	"int8send(bigint)":           "bytea",
}

var (
	withoutAdvisoryLocks = engine{functions: advisoryLocks, code: "42883"}

	// likeCockroachDB takes no second change of the schema in a transaction, and no COLLATE outside of an expression.
	likeCockroachDB = engine{
		functions: union(advisoryLocks, transactionNumbers), code: "42883",
		ddl: `now() <> statement_timestamp() OR current_query() ~ 'ON pawl.\w+ \(\w+ COLLATE'`,
	}
	// likeYugabyteDB has the functions of the feed, but a call ends the connection. It creates an index only while no
	// other transaction is open.
	likeYugabyteDB = engine{
		version: "PostgreSQL 15.2-YB-2025.1.0.0-b0 on x86_64-pc-linux-gnu", functions: advisoryLocks, code: "0A000",
		ddl: `current_query() ~ 'UNLOGGED|SET STORAGE' OR tg_tag = 'CREATE INDEX' AND EXISTS (SELECT 1
			FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction')`,
	}
)

func union(all ...map[string]string) map[string]string {
	merged := map[string]string{}
	for _, one := range all {
		maps.Copy(merged, one)
	}
	return merged
}

// engineServer is a server whose databases are like those of an engine.
type engineServer struct {
	cluster *pgtest.Cluster
	created atomic.Int64
}

// otherEngine starts a server like an engine. A schema before pg_catalog has functions that fail as those of the engine
// do, and a trigger refuses changes of the schema.
func otherEngine(t *testing.T, e engine) *engineServer {
	t.Helper()
	const (
		refusal = "CREATE FUNCTION engine.%s RETURNS %s LANGUAGE plpgsql AS" +
			" $$ BEGIN RAISE EXCEPTION 'the engine refuses this' USING ERRCODE = '%s'; END $$"
		version = "CREATE FUNCTION engine.version() RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT '%s' $$"
		crash   = "CREATE FUNCTION engine.pg_current_xact_id() RETURNS xid8 LANGUAGE plpgsql AS" +
			" $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); END $$"
		check = "CREATE FUNCTION engine.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN IF %s THEN" +
			" RAISE EXCEPTION 'the engine refuses %%', current_query() USING ERRCODE = '0A000'; END IF; END $$"
		trigger = "CREATE EVENT TRIGGER refuse ON ddl_command_start EXECUTE FUNCTION engine.refuse()"
	)
	s := &engineServer{cluster: pgtest.Start(t)}
	statements := []string{"CREATE SCHEMA engine"}
	for _, function := range slices.Sorted(maps.Keys(e.functions)) {
		statements = append(statements, fmt.Sprintf(refusal, function, e.functions[function], e.code))
	}
	if e.version != "" {
		statements = append(statements, fmt.Sprintf(version, e.version), crash)
	}
	if e.ddl != "" {
		statements = append(statements, fmt.Sprintf(check, e.ddl), trigger)
	}
	s.cluster.Exec(t, "template1", statements...)
	return s
}

// newDatabase creates a database, and returns its DSN.
func (s *engineServer) newDatabase(t *testing.T) string {
	t.Helper()
	name := fmt.Sprint("engine", s.created.Add(1))
	s.cluster.Exec(t, "postgres", "CREATE DATABASE "+name,
		"ALTER DATABASE "+name+" SET search_path = engine, pg_catalog, public")
	return s.cluster.DSN(name)
}

var otherEngines = map[string]engine{"like CockroachDB": likeCockroachDB, "like YugabyteDB": likeYugabyteDB}

// TestOtherEngine runs the conformance suite on databases that refuse what CockroachDB refuses by its documentation.
func TestOtherEngine(t *testing.T) {
	t.Parallel()
	server := otherEngine(t, likeCockroachDB)
	storetest.Run(t, func(t *testing.T) func() storetest.Store {
		dsn := server.newDatabase(t)
		return func() storetest.Store { return mustOpenRow(t, dsn, false) }
	})
}

// TestOtherEnginesHaveNoFeed checks that nodes which start at once on an engine without numbers of transactions create
// the schema once, and refuse the feed and stale sessions.
func TestOtherEnginesHaveNoFeed(t *testing.T) {
	for name, e := range otherEngines {
		t.Run(name, func(t *testing.T) {
			dsn := otherEngine(t, e).newDatabase(t)
			feed := revocation.NewFeed(revocation.FeedConfig{Remote: true})
			defer feed.Close()
			stores := make([]*Store, 3)
			var group sync.WaitGroup
			for i := range stores {
				group.Go(func() {
					var err error
					if stores[i], err = Open(t.Context(), Config{DSN: dsn, Feed: feed}); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			if t.Failed() {
				return
			}
			for _, s := range stores {
				defer s.Close()
			}
			if _, err := feed.Subscribe(""); !errors.Is(err, revocation.ErrNone) {
				t.Errorf("a follower of the feed: %v, want ErrNone", err)
			}
			if nodes, known := stores[0].Nodes(t.Context()); len(nodes) != 3 || !known {
				t.Errorf("nodes %q, %v; want 3", nodes, known)
			}
			s, err := Open(t.Context(), Config{DSN: dsn, Staleness: time.Second})
			if err == nil {
				s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), "set it to 0") {
				t.Errorf("verify-staleness: %v, want an error with the remedy", err)
			}
		})
	}
}

// TestStoreStaysWithoutFeed opens a store without the feed after its engine has learned everything that the feed needs.
// Nodes that run since before do not write their changes, so there is still no feed, and the store works.
func TestStoreStaysWithoutFeed(t *testing.T) {
	dsn := otherEngine(t, likeCockroachDB).newDatabase(t)
	mustOpenRow(t, dsn, false).Close()
	exec(t, dsn, "DROP SCHEMA engine CASCADE") // with the trigger
	s := mustOpenRow(t, dsn, false)
	defer s.Close()
	if !s.noFeed {
		t.Error("the store has a feed")
	}
	login := authority.User{Login: "a", Level: authority.MailboxUser, Status: authority.Active}
	user, err := s.CreateUser(t.Context(), authority.Rights{}, login, "hash")
	if err != nil {
		t.Fatal(err)
	}
	change := authority.UserChange{Status: new(authority.Suspended)}
	if _, err := s.UpdateUser(t.Context(), authority.Rights{}, user.ID, change); err != nil {
		t.Error(err)
	}
}

// TestMigrationsKeepExclusive checks, on an engine without advisory locks, that no node migrates the schema under an
// exclusive store.
func TestMigrationsKeepExclusive(t *testing.T) {
	dsn := otherEngine(t, withoutAdvisoryLocks).newDatabase(t)
	copier := mustOpenRow(t, dsn, true)
	defer copier.Close()
	exec(t, dsn, "DELETE FROM pawl.schema_version WHERE version_id = (SELECT max(version_id) FROM pawl.schema_version)")
	latest, err := latestVersion()
	if err != nil {
		t.Fatal(err)
	}
	refuseRow(t, dsn, false, "being copied")
	version, err := copier.schemaVersion(t.Context())
	if err != nil || version != latest-1 {
		t.Errorf("schema version %d, %v; want %d", version, err, latest-1)
	}
}
