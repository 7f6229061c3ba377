//go:build unix

package e2e_test

import (
	"crypto/sha256"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/store/sqlite"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// TestMissingStore runs each command that needs a store on a wrong folder: one that does not exist, one without a
// store, and one whose store has no administrator. Each command must name the remedy, exit with 2, and create nothing.
func TestMissingStore(t *testing.T) {
	binary, dir := testbin.Build(t), t.TempDir()
	missing, empty := filepath.Join(dir, "missing"), filepath.Join(dir, "empty")
	unused := filepath.Join(dir, "unused")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(unused, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	users, copied := filepath.Join(dir, "users.jsonl"), filepath.Join(dir, "copied")
	if err := os.WriteFile(users, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{missing, empty, unused} {
		for name, args := range map[string][]string{
			"--data":   {"serve", "--addr", "127.0.0.1:0", "--data", data},
			"--data ":  {"store", "backup", "--to", copied, "--data", data},
			"--data  ": {"store", "check", "--data", data},
			" --data":  {"user", "import", users, "--data", data},
			"--from":   {"store", "copy", "--from", "sqlite:" + data, "--to", "sqlite:" + copied},
			"--store":  {"store", "end-sessions", "--store", "sqlite:" + data},
		} {
			before := durable(t, dir)
			code, stderr := pawl(t, binary, nil, args...)
			want := "run pawl init first, or check " + strings.TrimSpace(name)
			if code != 2 || !strings.Contains(stderr, want) || !strings.Contains(stderr, data) {
				t.Errorf("%s: exit code %d, standard error %q; want 2 and %q", args, code, stderr, want)
			}
			if after := durable(t, dir); !maps.Equal(before, after) {
				t.Errorf("%s: the checksums were %x and are now %x", args, before, after)
			}
		}
	}
	for _, path := range []string{missing, copied} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s was created", path)
		}
	}
}

// durable is checksums without the files that SQLite creates even for a reader.
func durable(t *testing.T, dir string) map[string][sha256.Size]byte {
	t.Helper()
	sums := checksums(t, dir)
	maps.DeleteFunc(sums, func(path string, _ [sha256.Size]byte) bool {
		return strings.HasSuffix(path, "-wal") || strings.HasSuffix(path, "-shm")
	})
	return sums
}
