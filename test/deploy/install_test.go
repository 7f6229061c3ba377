//go:build linux

package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestInstallCommands runs each "install" of the chapter "systemd" of docs/operations.md, without changing owners. The
// target has only the folders of a new Debian system, so no command may need a folder that no earlier one creates.
func TestInstallCommands(t *testing.T) {
	page, err := os.ReadFile(top + "/docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, _ := strings.Cut(string(page), "\n## systemd\n")
	chapter, _, _ = strings.Cut(chapter, "\n## ")
	commands := regexp.MustCompile("\\binstall -[^;`\n]+").FindAllString(chapter, -1)
	if len(commands) < 5 {
		t.Fatalf("the chapter has only the commands %q", commands)
	}
	repository, err := filepath.Abs(top)
	if err != nil {
		t.Fatal(err)
	}
	work, target := t.TempDir(), t.TempDir()
	for _, folder := range []string{"usr/bin", "etc/systemd/system", "var/lib"} {
		if err := os.MkdirAll(filepath.Join(target, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"pawl", "cert.pem", "key.pem"} {
		write(t, filepath.Join(work, file), file)
	}
	if err := os.Symlink(filepath.Join(repository, "deploy"), filepath.Join(work, "deploy")); err != nil {
		t.Fatal(err)
	}
	owner, absolute := regexp.MustCompile(` -[og] pawl\b`), regexp.MustCompile(` /(usr|etc|var)/`)
	for _, command := range commands {
		line := absolute.ReplaceAllString(owner.ReplaceAllString(command, ""), " "+target+"/$1/")
		cmd := exec.Command("sh", "-c", line)
		cmd.Dir = work
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
	for _, file := range []string{"etc/sysusers.d/pawl.conf", "etc/pawl/tls/key.pem", "var/lib/pawl"} {
		if _, err := os.Stat(filepath.Join(target, file)); err != nil {
			t.Error(err)
		}
	}
}
