//go:build linux

package deploy_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/test/testbin"
)

// TestStamped builds with the flags of the Dockerfile and goreleaser. The binary must report their version, and its
// manual page must have no errors.
func TestStamped(t *testing.T) {
	const commit, date = "0123456789abcdef0123456789abcdef01234567", "2026-11-24T12:00:00Z"
	for _, file := range []string{"Dockerfile", ".goreleaser.yaml"} {
		text, err := os.ReadFile(filepath.Join(top, file))
		if err != nil || !strings.Contains(string(text), "-X main.date=") {
			t.Errorf("%s does not set main.date: %v", file, err)
		}
	}
	binary := testbin.Build(t, "-ldflags", "-X main.version=v1.2.3 -X main.commit="+commit+" -X main.date="+date)
	out, err := exec.Command(binary, "version", "--json").Output()
	var got map[string]any
	if err != nil || json.Unmarshal(out, &got) != nil {
		t.Fatalf("version: %v %s", err, out)
	}
	if got["version"] != "v1.2.3" || got["commit"] != commit || got["date"] != date {
		t.Errorf("version prints %s", out)
	}
	page, err := exec.Command(binary, "man").Output()
	if err != nil || !strings.HasPrefix(string(page), `.TH PAWL 1 "2026-11-24"`) {
		t.Fatalf("man: %v %.60s", err, page)
	}
	need(t, "mandoc")
	file := filepath.Join(t.TempDir(), "pawl.1")
	write(t, file, string(page))
	if out, err := exec.Command("mandoc", "-T", "lint", "-W", "warning", file).CombinedOutput(); err != nil {
		t.Errorf("mandoc: %v\n%s", err, out)
	}
}

// TestReleaseFilesExist checks that the repository has the files that goreleaser packs.
func TestReleaseFilesExist(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(top, ".goreleaser.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	files := regexp.MustCompile(`deploy/[\w./*-]+|docs/\*\.md`).FindAllString(string(text), -1)
	if len(files) < 4 {
		t.Fatalf(".goreleaser.yaml names only %v", files)
	}
	for _, file := range files {
		if found, err := filepath.Glob(filepath.Join(top, file)); err != nil || len(found) == 0 {
			t.Errorf("%s matches %d files, %v", file, len(found), err)
		}
	}
}
