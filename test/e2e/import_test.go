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

	"github.com/pawlauth/pawl/internal/store/sqlite"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// TestImportKilled kills an import with -9 in the middle, and runs it again: it
// goes on, and the people sign in. While the server runs, an import is refused.
func TestImportKilled(t *testing.T) {
	const hash = "$2b$04$o9DuE/Ry9/y.ybnUfqYzQuutFLv2bXfwdOJ0IQQ5.sR.eOs1vN2yG" // Python's bcrypt of:
	const passwd = "Correct#Horse7"
	binary, data := testbin.Build(t), filepath.Join(t.TempDir(), "data")
	var text strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&text, `{"login":"u%d@example.com","passwordHash":"%s"}`+"\n", i, hash)
	}
	if out, err := exec.Command(binary, "init", "--login", "root@example.com", "--data", data).CombinedOutput(); err != nil {
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
	if _, scanErr := fmt.Sscanf(string(out), "Imported %d, unchanged %d, left out 0.", &imported, &unchanged); err != nil || scanErr != nil || imported+unchanged != 5000 || unchanged < 1000 {
		t.Errorf("after the kill: %v: %s", err, out)
	}
	server := testbin.StartServe(t, binary, nil, "--data", data)
	if _, err := testbin.Client(t, server.URL).Login(t.Context(), "U4999@example.com", passwd); err != nil {
		t.Error(err)
	}
	refused, err := command().CombinedOutput()
	if err == nil || !strings.Contains(string(refused), "held by another Pawl") || !strings.Contains(string(refused), "stop it") {
		t.Errorf("with a server on the folder: %v: %s", err, refused)
	}
	server.Kill()
	whole("Imported 0, unchanged 5000, left out 0.\n")
	store, err := sqlite.Open(data, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for login, want := range map[string]string{"u4999@example.com": "$argon2id$v=19$m=19456,t=2,p=1$", "u0@example.com": hash} {
		if _, got, err := store.UserByLogin(t.Context(), login); err != nil || !strings.HasPrefix(got, want) {
			t.Errorf("%s has the hash %.31s, %v", login, got, err)
		}
	}
}

// killInTheMiddle gives an import a part of its input and kills it when it
// shows progress: it waits for more then.
func killInTheMiddle(t *testing.T, cmd *exec.Cmd, part string) {
	t.Helper()
	cmd.Stdin = nil
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(stdin, part); err != nil {
		t.Error(err)
	}
	if said, err := bufio.NewReader(stderr).ReadString('s'); err != nil || !strings.Contains(said, " lines") {
		t.Errorf("said %q, %v", said, err)
	}
	_ = cmd.Process.Kill() // an error says that it has ended
	_ = cmd.Wait()         // it says that it was killed
}
