//go:build unix

package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"

	"github.com/pawlauth/pawl/internal/store/sqlite"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// TestImportKilled kills an import with SIGKILL and repeats it. The second import must continue where the first one
// ended, and the users must be able to sign in. An import must be refused while a server runs on the folder.
func TestImportKilled(t *testing.T) {
	const hash = "$2b$04$o9DuE/Ry9/y.ybnUfqYzQuutFLv2bXfwdOJ0IQQ5.sR.eOs1vN2yG" // Python's bcrypt of passwd
	const passwd = "Correct#Horse7"
	binary, data := testbin.Build(t), filepath.Join(t.TempDir(), "data")
	var text strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&text, `{"login":"u%d@example.com","passwordHash":"%s"}`+"\n", i, hash)
	}
	init := exec.Command(binary, "init", "--login", "root@example.com", "--data", data)
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	command := func() *exec.Cmd {
		cmd := exec.Command(binary, "user", "import", "-", "--format", "jsonl", "--data", data)
		cmd.Stdin = strings.NewReader(text.String())
		return cmd
	}
	whole := func(want string) {
		t.Helper()
		if out, err := command().Output(); err != nil || string(out) != want {
			t.Errorf("%v: %s, want %s", err, out, want)
		}
	}
	killInTheMiddle(t, command(), text.String()[:text.Len()/2])
	out, err := command().Output()
	var imported, unchanged int
	_, scanErr := fmt.Sscanf(string(out), "Imported %d, unchanged %d, skipped 0.", &imported, &unchanged)
	if err != nil || scanErr != nil || imported+unchanged != 5000 || unchanged < 1000 {
		t.Errorf("the import after the kill: %v: %s", err, out)
	}
	server := testbin.StartServe(t, binary, nil, "--data", data)
	if _, err := testbin.Client(t, server.URL).Login(t.Context(), "U4999@example.com", passwd); err != nil {
		t.Error(err)
	}
	refused, err := command().CombinedOutput()
	reason, remedy := "held by another Pawl", "stop that process"
	if err == nil || !strings.Contains(string(refused), reason) || !strings.Contains(string(refused), remedy) {
		t.Errorf("an import while a server runs: %v: %s", err, refused)
	}
	server.Kill()
	whole("Imported 0, unchanged 5000, skipped 0.\n")
	store, err := sqlite.Open(data, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for login, want := range map[string]string{
		"u4999@example.com": "$argon2id$v=19$m=19456,t=2,p=1$", "u0@example.com": hash,
	} {
		if _, got, err := store.UserByLogin(t.Context(), login); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%s has the hash %.31s, %v; want %s", login, got, err, want)
		}
	}
}

// killInTheMiddle starts an import with a part of its input, and kills it once it reports progress. The import then
// waits for more input.
func killInTheMiddle(t *testing.T, cmd *exec.Cmd, part string) {
	t.Helper()
	cmd.Stdin = nil
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	controller, terminal, err := pty.Open() // progress is for terminals only
	if err != nil {
		t.Fatal(err)
	}
	defer controller.Close()
	cmd.Stderr = terminal
	err = cmd.Start()
	terminal.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(stdin, part); err != nil {
		t.Error(err)
	}
	progress, err := bufio.NewReader(controller).ReadString('s')
	if err != nil || !strings.Contains(progress, " lines") {
		t.Errorf("the import prints %q, %v; want its progress", progress, err)
	}
	_ = cmd.Process.Kill() // an error means that it has exited
	_ = cmd.Wait()         // an error means that it was killed
}
