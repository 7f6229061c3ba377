// Package npmtest installs the npm packages of tests.
package npmtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

const (
	installLimit = 5 * time.Minute
	minNode      = 20 // of the packages
)

// Folder returns a new folder with the files of a package and its installed dependencies. The test is skipped if they
// cannot be installed, and in the short form.
func Folder(t testing.TB, source string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("it installs packages from npm; run it without -short")
	}
	needNode(t)
	modules, err := installPackages(source)
	if errors.Is(err, errUnreachable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := copyPackage(dir, source); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// needNode skips the test if Node.js or npm is missing, or too old.
func needNode(t testing.TB) {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing; run \"make deps\"", tool)
		}
	}
	version, err := exec.CommandContext(t.Context(), "node", "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(string(version), "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < minNode {
		t.Skipf("Node.js is %s; install %d or later", strings.TrimSpace(string(version)), minNode)
	}
}

// errUnreachable is the error of an installation that cannot reach the registry.
var errUnreachable = errors.New("the registry of npm is unreachable")

// unreachableCode matches the codes with which npm reports that.
var unreachableCode = regexp.MustCompile(
	`npm error code (ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|` +
		`ERR_SOCKET_TIMEOUT)`)

// copyPackage copies the files of a package, without its own node_modules.
func copyPackage(dir, source string) error {
	return fs.WalkDir(os.DirFS(source), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "node_modules":
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(dir, name), 0o700)
		}
		text, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), text, 0o600)
	})
}

// installPackages installs the packages of a package-lock.json and returns their folder. The folder is in the user's
// cache under the hash of the lock file, so that only the first run downloads anything. Install scripts do not run.
func installPackages(source string) (modules string, err error) {
	lock, err := os.ReadFile(filepath.Join(source, "package-lock.json"))
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(lock)
	dir := filepath.Join(cache, "pawl-test", "npm-"+hex.EncodeToString(sum[:8]))
	modules, done := filepath.Join(dir, "node_modules"), filepath.Join(dir, "installed")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	guard := flock.New(filepath.Join(dir, "lock"))
	if err := guard.Lock(); err != nil {
		return "", err
	}
	defer func() { _ = guard.Unlock() }()
	if _, err := os.Stat(done); err == nil {
		return modules, nil
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join(source, name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), installLimit)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1")
	install.Dir = dir
	output, err := install.CombinedOutput()
	switch {
	case err != nil && unreachableCode.Match(output):
		return "", errUnreachable
	case err != nil:
		return "", fmt.Errorf("npm ci: %w\n%s", err, output)
	}
	return modules, os.WriteFile(done, nil, 0o600)
}
