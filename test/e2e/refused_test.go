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

// pawl runs a command of the real binary for at most 20 seconds. It returns the exit code and the standard error.
func pawl(t *testing.T, binary string, env []string, args ...string) (code int, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // a server that starts does not exit
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), env...)
	var output strings.Builder
	cmd.Stderr = &output
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return exit.ExitCode(), output.String()
	}
	if err != nil {
		t.Fatalf("%v: %s", err, output.String())
	}
	return 0, output.String()
}

// checksums returns the checksums of a folder's files by name. It omits the lock, which has the id of the last process
// that tried to start.
func checksums(t *testing.T, dir string) map[string][sha256.Size]byte {
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

// damageFunc damages the database of a folder.
type damageFunc func(t *testing.T, data string)

func truncate(t *testing.T, data string) {
	t.Helper()
	if err := os.Truncate(filepath.Join(data, "pawl.db"), 3*4096); err != nil {
		t.Fatal(err)
	}
}

func alterBy(sql string) damageFunc {
	return func(t *testing.T, data string) {
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
}

func overwriteAt(from int64, size int) damageFunc {
	return func(t *testing.T, data string) {
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
}

// TestStartRefused checks that a server that cannot start on its folder prints the reason and the remedy on standard
// error, and changes nothing in the folder.
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
	const (
		backup      = "restore it from a backup"
		otherFolder = "choose another folder with --data"
		damagedKey  = "restore the store from a backup"
		thatKey     = "set --master-key-file or PAWL_MASTER_KEY to that one"
	)
	newer := alterBy("PRAGMA user_version=99")
	foreign := alterBy("PRAGMA application_id=7")
	noKey := alterBy("UPDATE signing_key SET jwk = '{}'")
	noFile := []string{"--signing-key-file", "/nowhere"}
	badFile := []string{"--signing-key-file", file("rubbish")}
	for name, c := range map[string]struct {
		damage damageFunc // optional
		key    string     // the master key at the start; optional
		args   []string
		want   string
	}{
		"truncated database":         {key: key, want: backup, damage: truncate},
		"first page overwritten":     {key: key, want: backup, damage: overwriteAt(0, 4096)},
		"tables overwritten":         {key: key, want: backup, damage: overwriteAt(4096, 16*4096)},
		"newer schema":               {key: key, want: "start the newer Pawl", damage: newer},
		"another program's database": {key: key, want: otherFolder, damage: foreign},
		"damaged signing key":        {key: key, want: damagedKey, damage: noKey},
		"no master key":              {want: "the master key that they were encrypted with"},
		"another master key":         {key: seal.NewKey(), want: thatKey},
		"missing signing key file":   {key: key, args: noFile, want: "name a file with a JWK"},
		"invalid signing key file":   {key: key, args: badFile, want: "--signing-key-file cannot be used"},
	} {
		t.Run(name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "data")
			env := []string{"PAWL_MASTER_KEY=" + key}
			if code, stderr := pawl(t, binary, env, "init", "--login", "admin@example.com", "--data", data); code != 0 {
				t.Fatal(stderr)
			}
			if c.damage != nil {
				c.damage(t, data)
			}
			checkRefused(t, binary, data, c.want, []string{"PAWL_MASTER_KEY=" + c.key}, c.args...)
		})
	}
}

// checkRefused starts a server on a folder. The server must exit with a code other than 0, print want, and leave the
// folder unchanged.
func checkRefused(t *testing.T, binary, data, want string, env []string, args ...string) {
	t.Helper()
	before := checksums(t, data)
	args = append([]string{"serve", "--addr", "127.0.0.1:0", "--data", data}, args...)
	code, stderr := pawl(t, binary, env, args...)
	if code == 0 || !strings.Contains(stderr, want) {
		t.Errorf("exit code %d, standard error %q; want a failure with %q", code, stderr, want)
	}
	if after := checksums(t, data); !maps.Equal(before, after) {
		t.Errorf("the checksums of the folder were %x and are now %x", before, after)
	}
}
