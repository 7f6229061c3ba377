package internal_test

import (
	"fmt"
	"path/filepath"
	"testing"
)

// TestMigrationNumbers checks that the migrations of PostgreSQL are numbered from 1 without a gap, because two branches
// may each add a migration of the same number.
func TestMigrationNumbers(t *testing.T) {
	names, err := filepath.Glob("store/postgres/migrations/*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d migrations, %v", len(names), err)
	}
	for i, name := range names { // in lexical order
		if want := fmt.Sprintf("%05d_", i+1); filepath.Base(name)[:len(want)] != want {
			t.Errorf("%s: the next number is %s; rename the newer migration", name, want)
		}
	}
}
