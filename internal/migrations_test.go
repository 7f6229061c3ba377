package internal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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

// TestMigrationsRepeat checks that a change of the schema does nothing if it was executed before, because a start
// after a crash repeats the statements of the unfinished migration (TestCrashInMigrations).
func TestMigrationsRepeat(t *testing.T) {
	names, err := filepath.Glob("store/postgres/migrations/*.sql")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d migrations, %v", len(names), err)
	}
	change := regexp.MustCompile(`(?m)(?:^CREATE (?:UNIQUE |UNLOGGED )?\w+|ADD COLUMN|^DROP \w+) +\w+`)
	repeats := regexp.MustCompile(` IF$|^CREATE OR REPLACE`)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range change.FindAllString(string(text), -1) {
			if !repeats.MatchString(found) {
				t.Errorf("%s: %q has no IF NOT EXISTS or IF EXISTS", name, found)
			}
		}
	}
}
