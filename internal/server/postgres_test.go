//go:build linux

package server_test

import (
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"

	"github.com/pawlauth/pawl/internal/test/pgtest"
)

var databases atomic.Int64

// newDatabase creates a database in the cluster at addr and returns its DSN.
func newDatabase(t testing.TB, addr string) string {
	t.Helper()
	name := fmt.Sprint("server", databases.Add(1))
	pgtest.Exec(t, pgtest.DSN("postgres", addr), "CREATE DATABASE "+name)
	return pgtest.DSN(name, addr)
}

// TestOnPostgres runs all tests of this package again, with PostgreSQL as the store of each server.
func TestOnPostgres(t *testing.T) {
	if os.Getenv(postgresVariable) != "" {
		t.Skip("this process is already that run")
	}
	if testing.Short() {
		t.Skip("slow")
	}
	cluster := pgtest.Start(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.timeout=18m", fmt.Sprint("-whole=", *whole))
	cmd.Env = append(os.Environ(), postgresVariable+"="+cluster.Addr)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
