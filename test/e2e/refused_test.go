//go:build unix

package e2e_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// pawl runs one command of the real binary for 20 seconds at most, and returns its exit code and what
// it says on standard error.
func pawl(t *testing.T, binary string, env []string, args ...string) (code int, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // a server that starts would go on
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), env...)
	var said strings.Builder
	cmd.Stderr = &said
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return exit.ExitCode(), said.String()
	}
	if err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	return 0, said.String()
}

// contents is what the files of a folder hold, by name. The lock is left out:
// it has the process id of who tried last.
func contents(t *testing.T, dir string) map[string][sha256.Size]byte {
	t.Helper()
	sums := map[string][sha256.Size]byte{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "pawl.lock" {
			return err
		}
		text, err := os.ReadFile(path)
		sums[path] = sha256.Sum256(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// alter runs a statement in the database of a folder.
func alter(t *testing.T, data, sql string) {
	t.Helper()
	conn, err := sqlite.OpenConn(filepath.Join(data, "pawl.db"), sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := sqlitex.ExecuteTransient(conn, sql, nil); err != nil {
		t.Fatal(err)
	}
}

// overwrite writes rubbish into the database of a folder.
func overwrite(t *testing.T, data string, from int64, size int) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(data, "pawl.db"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte(strings.Repeat("rubbish ", size/8)), from); err != nil {
		t.Fatal(err)
	}
}

// TestStartRefused: what keeps a server from starting on its folder is said on
// standard error, with what to do, and nothing in the folder is changed.
func TestStartRefused(t *testing.T) {
	binary := testbin.Build(t)
	key := seal.NewKey()
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const backup = "restore it from a backup"
	for name, c := range map[string]struct {
		spoil func(t *testing.T, data string)
		key   string // the master key of the start; "" is none
		args  []string
		want  string
	}{
		"a truncated database": {key: key, want: backup, spoil: func(t *testing.T, data string) {
			if err := os.Truncate(filepath.Join(data, "pawl.db"), 3*4096); err != nil {
				t.Fatal(err)
			}
		}},
		"a database with its first page overwritten":  {key: key, want: backup, spoil: func(t *testing.T, data string) { overwrite(t, data, 0, 4096) }},
		"a database with its tables overwritten":      {key: key, want: backup, spoil: func(t *testing.T, data string) { overwrite(t, data, 4096, 16*4096) }},
		"a database of a newer Pawl":                  {key: key, want: "start the newer Pawl", spoil: func(t *testing.T, data string) { alter(t, data, "PRAGMA user_version=99") }},
		"another program's database":                  {key: key, want: "choose another folder with --data", spoil: func(t *testing.T, data string) { alter(t, data, "PRAGMA application_id=7") }},
		"a damaged signing key":                       {key: key, want: "restore the store from a backup", spoil: func(t *testing.T, data string) { alter(t, data, "UPDATE signing_key SET jwk = '{}'") }},
		"a sealed signing key and no master key":      {want: "give the one that they were sealed with"},
		"a sealed signing key and another master key": {key: seal.NewKey(), want: "give that one, as --master-key-file"},
		"a signing key file that is not there":        {key: key, args: []string{"--signing-key-file", "/nowhere"}, want: "name a file with a JWK"},
		"a signing key file that is none":             {key: key, args: []string{"--signing-key-file", file("rubbish")}, want: "signing key file"},
	} {
		t.Run(name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			if code, stderr := pawl(t, binary, []string{"PAWL_MASTER_KEY=" + key}, "init", "--login", "admin@example.com", "--data", data); code != 0 {
				t.Fatal(stderr)
			}
			if c.spoil != nil {
				c.spoil(t, data)
			}
			refused(t, binary, data, c.want, []string{"PAWL_MASTER_KEY=" + c.key}, c.args...)
		})
	}
}

// refused starts a server on a folder: it has to end with a code that is not 0,
// to say what is wanted, and to leave the folder as it is.
func refused(t *testing.T, binary, data, want string, env []string, args ...string) {
	t.Helper()
	before := contents(t, data)
	code, stderr := pawl(t, binary, env, append([]string{"serve", "--addr", "127.0.0.1:0", "--data", data}, args...)...)
	if code == 0 || !strings.Contains(stderr, want) {
		t.Errorf("exit code %d; said %q, want %q", code, stderr, want)
	}
	if after := contents(t, data); !maps.Equal(before, after) {
		t.Errorf("the folder held %x, and now %x", before, after)
	}
}
