//go:build !linux

package server_test

import "testing"

// newDatabase fails the test, because the tests start PostgreSQL only on Linux.
func newDatabase(t testing.TB, _ string) string {
	t.Fatal("the tests with PostgreSQL run only on Linux")
	return ""
}
