//go:build linux

package e2e_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// run runs a command, which must succeed, and returns its standard output.
func (s *served) run(args ...string) string {
	s.Helper()
	cmd := exec.Command(s.binary, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.Fatalf("%s: %v: %s", args, err, stderr.String())
	}
	return string(out)
}

// refuse runs a command, which must exit with 1, print want on standard error, and change no file of the data folder.
func (s *served) refuse(want string, args ...string) {
	s.Helper()
	before := checksums(s.T, s.data)
	if code, stderr := pawl(s.T, s.binary, nil, args...); code != 1 || !strings.Contains(stderr, want) {
		s.Errorf("%s: exit code %d, standard error %q; want 1 and %q", args, code, stderr, want)
	}
	if after := checksums(s.T, s.data); !maps.Equal(before, after) {
		s.Errorf("%s: the checksums were %x and are now %x", args, before, after)
	}
}

// TestRestore makes a backup of a running server, which then has more sessions and dies. It copies the backup over the
// database, as an operator might, beside the write-ahead log. Every command must refuse these files and leave them
// alone. "store restore" then restores the backup, keeps the previous files, and ends the sessions.
func TestRestore(t *testing.T) {
	s := serve(t, filepath.Join(t.TempDir(), "data"))
	backup := filepath.Join(t.TempDir(), "backup.db")
	database := filepath.Join(s.data, "pawl.db")
	superseded := s.mustLogin()
	s.run("store", "backup", "--data", s.data, "--to", backup)
	s.run("store", "check", "--backup", backup)
	current, err := s.once().Refresh(t.Context(), superseded)
	if err != nil {
		t.Fatal(err)
	}
	s.refuseWhileRunning(backup)
	s.Kill()
	lost := readFile(t, database)
	copyFile(t, backup, database)
	const remedy = "run pawl store restore --from FILE"
	s.refuse(remedy, "serve", "--addr", "127.0.0.1:0", "--data", s.data)
	s.refuse(remedy, "store", "check", "--data", s.data)
	s.refuse(remedy, "store", "backup", "--data", s.data, "--to", backup+"-2")
	s.refuse(remedy, "store", "end-sessions", "--store", "sqlite:"+s.data)
	s.refuse("make a backup with pawl store backup", "store", "restore", "--data", s.data, "--from", database)
	cut := filepath.Join(t.TempDir(), "cut.db")
	copyFile(t, backup, cut)
	if err := os.Truncate(cut, 5*4096); err != nil {
		t.Fatal(err)
	}
	s.refuse("", "store", "restore", "--data", s.data, "--from", cut)

	var restored struct {
		EndedSessions int64
		Previous      string
	}
	out := s.run("store", "restore", "--data", s.data, "--from", backup, "--json")
	if err := json.Unmarshal([]byte(out), &restored); err != nil || restored.EndedSessions != 1 {
		t.Errorf("restore: %s, %v; want one ended session", out, err)
	}
	for _, name := range []string{"pawl.db", "pawl.db-wal"} {
		if _, err := os.Stat(filepath.Join(restored.Previous, name)); err != nil {
			t.Errorf("a previous file is lost: %v", err)
		}
	}
	s.run("store", "check", "--data", s.data)
	s.start()
	s.checkToken(false, "superseded after the backup", superseded)
	s.checkToken(false, "issued after the backup", current.Token)
	bearer := client.WithBearer(s.mustLogin())
	events, err := s.once(bearer).Audit(t.Context(), api.AuditRequest{Kind: api.EventStoreRestored})
	if err != nil || len(events) != 1 {
		t.Errorf("the audit has the restores %+v, %v; want one", events, err)
	}
	s.shutDown()

	// The previous files are still one store.
	if err := os.WriteFile(filepath.Join(restored.Previous, "pawl.db"), []byte(lost), 0o600); err != nil {
		t.Fatal(err)
	}
	s.data = restored.Previous
	s.start()
	s.checkToken(true, "issued after the backup, in the previous store", current.Token)
}

// refuseWhileRunning runs the commands that need the folder for themselves.
func (s *served) refuseWhileRunning(backup string) {
	s.Helper()
	for _, args := range [][]string{
		{"store", "restore", "--data", s.data, "--from", backup},
		{"store", "check", "--data", s.data},
	} {
		if code, stderr := pawl(s.T, s.binary, nil, args...); code != 1 || !strings.Contains(stderr, "another Pawl") {
			s.Errorf("%s while a server runs: exit code %d, standard error %q", args, code, stderr)
		}
	}
}

// TestInterruptedRestore sends SIGTERM to a restore that reads its backup from a pipe, as of a program that unpacks it.
// The restore must end, leave the store as it was, and leave no file behind.
func TestInterruptedRestore(t *testing.T) {
	s := serve(t, filepath.Join(t.TempDir(), "data"))
	backup := filepath.Join(t.TempDir(), "backup.db")
	s.run("store", "backup", "--data", s.data, "--to", backup)
	s.shutDown()
	before := checksums(t, s.data)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(s.binary, "store", "restore", "--data", s.data, "--from", pipe)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(pipe, os.O_WRONLY, 0) // waits until the restore has opened the pipe
	if err == nil {
		defer writer.Close()
		_, err = writer.WriteString(readFile(t, backup)[:3*4096])
	}
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the copy of the first pages", func() bool {
		info, err := os.Stat(filepath.Join(s.data, "pawl.restoring", "pawl.db"))
		return err == nil && info.Size() == 3*4096
	})
	_ = cmd.Process.Signal(syscall.SIGTERM) // if it has ended, its exit code is wrong
	kill := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	_ = cmd.Wait() // fails, because the exit code is not 0
	const want = "interrupted: terminated signal received; the present store is unchanged"
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(stderr.String(), want) {
		t.Errorf("exit code %d, standard error %q; want 1 and %q", code, stderr.String(), want)
	}
	if after := checksums(t, s.data); !maps.Equal(before, after) {
		t.Errorf("the checksums were %x and are now %x", before, after)
	}
}

// TestPushedEndOfAll ends all sessions of a store that has a receiver, with each command that does so. The next server
// pushes the end of the sessions of the one user.
func TestPushedEndOfAll(t *testing.T) {
	for name, command := range map[string]func(data, backup string) []string{
		"end-sessions": func(data, _ string) []string { return []string{"end-sessions", "--store", "sqlite:" + data} },
		"restore": func(data, backup string) []string {
			return []string{"restore", "--data", data, "--from", backup}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &served{T: t, binary: testbin.Build(t), data: filepath.Join(t.TempDir(), "data")}
			s.env = []string{"PAWL_ALGORITHM=ES256", "PAWL_PRIVATE_RECEIVERS=true"}
			s.password = testbin.Init(t, s.binary, s.env, "--data", s.data).Password
			s.start()
			receiver := newPushReceiver(t)
			bearer := client.WithBearer(s.mustLogin())
			_, err := s.once(bearer).AddReceiver(t.Context(), api.AddReceiverRequest{URL: receiver.URL})
			if err != nil {
				t.Fatal(err)
			}
			backup := filepath.Join(t.TempDir(), "backup.db")
			s.run("store", "backup", "--data", s.data, "--to", backup)
			s.shutDown()
			s.run(append([]string{"store"}, command(s.data, backup)...)...)
			if n := receiver.count(); n != 0 {
				t.Errorf("the receiver has %d tokens while the server is stopped", n)
			}
			s.start()
			await(t, "the receiver to get the end", func() bool { return receiver.count() == 1 })
		})
	}
}

// TestRestoreIntoEmptyFolder restores a backup on a new machine, and rejects wrong paths with exit code 2.
func TestRestoreIntoEmptyFolder(t *testing.T) {
	s := serve(t, filepath.Join(t.TempDir(), "data"))
	backup := filepath.Join(t.TempDir(), "backup.db")
	s.run("store", "backup", "--data", s.data, "--to", backup)
	s.data = t.TempDir()
	for _, args := range [][]string{
		{"--data", s.data + "-typo", "--from", backup},
		{"--data", s.data, "--from", backup + "-typo"},
	} {
		if code, stderr := pawl(t, s.binary, nil, append([]string{"store", "restore"}, args...)...); code != 2 {
			t.Errorf("%s: exit code %d, standard error %q; want 2", args, code, stderr)
		}
	}
	if out := s.run("store", "restore", "--data", s.data, "--from", backup); strings.Contains(out, "previous") {
		t.Errorf("restore: %s", out)
	}
	s.start()
	s.checkToken(true, "a new session", s.mustLogin())
}
