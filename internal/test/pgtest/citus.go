//go:build linux

package pgtest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// Citus is a cluster of PostgreSQL servers with the extension Citus: a coordinator and workers.
type Citus struct {
	Coordinator *Cluster
	Workers     []*Cluster
}

// Skipper is a TB that can skip a test.
type Skipper interface {
	TB
	Skip(args ...any)
}

// StartCitus starts a coordinator and workers. It skips the test if the extension is not installed, because no package
// of Debian has it.
func StartCitus(t Skipper, workers int, options ...string) *Citus {
	t.Helper()
	library := filepath.Join(filepath.Dir(filepath.Dir(Program(t, "postgres"))), "lib", "citus.so")
	if _, err := os.Stat(library); err != nil {
		t.Skip("the extension citus cannot be created:", err)
	}
	options = append([]string{
		"shared_preload_libraries=citus", "citus.node_conninfo=sslmode=disable", "max_prepared_transactions=200",
		"wal_level=logical", "max_connections=200", "max_worker_processes=32", "max_replication_slots=16",
	}, options...)
	c := &Citus{Coordinator: Start(t, options...)}
	for range workers {
		c.Workers = append(c.Workers, Start(t, options...))
	}
	return c
}

// Servers returns the coordinator and the workers.
func (c *Citus) Servers() []*Cluster { return append([]*Cluster{c.Coordinator}, c.Workers...) }

// Database creates an empty database on each server, connects them, and returns its name.
func (c *Citus) Database(t TB) string {
	t.Helper()
	name := fmt.Sprint("citus", c.Coordinator.created.Add(1))
	for _, server := range c.Servers() {
		server.Exec(t, "postgres", "SET citus.enable_create_database_propagation = off", "CREATE DATABASE "+name)
		server.Exec(t, name, "CREATE EXTENSION citus")
	}
	for i, server := range c.Servers() {
		host, port, _ := net.SplitHostPort(server.Addr)
		call := "citus_add_node"
		if i == 0 {
			call = "citus_set_coordinator_host"
		}
		c.Coordinator.Exec(t, name, fmt.Sprintf("SELECT %s('%s', %s)", call, host, port))
	}
	return name
}
