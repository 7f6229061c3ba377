//go:build linux

package pgtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
)

// Citus is a cluster of PostgreSQL servers with the extension Citus: a coordinator and workers.
type Citus struct {
	Coordinator *Cluster
	Workers     []*Cluster
	// Proxy is nil, or is between the coordinator and the last worker.
	Proxy *Proxy
}

// Skipper is a TB that can skip a test.
type Skipper interface {
	TB
	Skip(args ...any)
}

// RequireCitus skips a test if the extension is not installed.
func RequireCitus(t Skipper) {
	t.Helper()
	library := filepath.Join(filepath.Dir(filepath.Dir(Program(t, "postgres"))), "lib", "citus.so")
	if _, err := os.Stat(library); err != nil {
		t.Skip("the extension citus cannot be created:", err)
	}
}

// tryExec runs a statement, and ignores an error: a test may leave transactions or dead servers behind.
func (c *Cluster) tryExec(sql string) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, c.DSN("postgres"))
	if err != nil {
		return
	}
	defer conn.Close(ctx)
	_, _ = conn.Exec(ctx, sql)
}

// StartCitus starts a coordinator and workers. It skips the test if the extension is not installed, because no package
// of Debian has it.
func StartCitus(t Skipper, workers int, options ...string) *Citus {
	t.Helper()
	RequireCitus(t)
	options = append([]string{
		"shared_preload_libraries=citus", "citus.node_conninfo=sslmode=disable", "max_prepared_transactions=200",
		"wal_level=logical", "max_connections=200", "max_worker_processes=64", "max_replication_slots=16",
	}, options...)
	c := &Citus{Coordinator: Start(t, options...)}
	for range workers {
		c.Workers = append(c.Workers, Start(t, options...))
	}
	return c
}

// Servers returns the coordinator and the workers.
func (c *Citus) Servers() []*Cluster { return append([]*Cluster{c.Coordinator}, c.Workers...) }

// Database creates an empty database on each server, connects them, and returns its name. It drops the database at the
// end of the test, because Citus has background processes for each one.
func (c *Citus) Database(t TB) string {
	t.Helper()
	name := fmt.Sprint("citus", c.Coordinator.created.Add(1))
	create(t, name, c.Coordinator)
	c.SetCoordinator(t, name)
	for i, worker := range c.Workers {
		addr := worker.Addr
		if c.Proxy != nil && i == len(c.Workers)-1 {
			addr = c.Proxy.Addr
		}
		c.connect(t, name, worker, addr)
	}
	return name
}

// AddWorker adds a worker to the cluster, with its part of a database.
func (c *Citus) AddWorker(t TB, database string, worker *Cluster) {
	t.Helper()
	c.Workers = append(c.Workers, worker)
	c.connect(t, database, worker, worker.Addr)
}

// SetCoordinator makes the present address of the coordinator known to a database. A restart changes it.
func (c *Citus) SetCoordinator(t TB, database string) {
	t.Helper()
	host, port, _ := net.SplitHostPort(c.Coordinator.Addr)
	c.Coordinator.Exec(t, database, fmt.Sprintf("SELECT citus_set_coordinator_host('%s', %s)", host, port))
}

// connect creates a database on a worker, and adds the worker to the database at an address.
func (c *Citus) connect(t TB, database string, worker *Cluster, addr string) {
	t.Helper()
	create(t, database, worker)
	host, port, _ := net.SplitHostPort(addr)
	c.Coordinator.Exec(t, database, fmt.Sprintf("SELECT citus_add_node('%s', %s)", host, port))
}

// create creates a database with the extension on a server, and drops it at the end of the test.
func create(t TB, database string, server *Cluster) {
	t.Helper()
	server.Exec(t, "postgres", "SET citus.enable_create_database_propagation = off", "CREATE DATABASE "+database)
	server.Exec(t, database, "CREATE EXTENSION citus")
	t.Cleanup(func() { server.tryExec("DROP DATABASE IF EXISTS " + database + " WITH (FORCE)") })
}
