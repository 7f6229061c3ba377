//go:build !linux

package server_test

import "testing"

// newDatabase is not there where no PostgreSQL is started for tests.
func newDatabase(t testing.TB, _ string) string {
	t.Fatal("the tests on PostgreSQL run on Linux")
	return ""
}
