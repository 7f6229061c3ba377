// Package examples_test runs the client examples against the real binary.
package examples_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

var want = regexp.MustCompile(`^signed in as user 4821
refreshed: new token expires \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ
old token: 401 InvalidSession
new token: 200
$`)

func TestExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the interpreters of five languages")
	}
	env := startDev(t)
	python := "python3"
	if exec.Command(python, "-c", "import requests").Run() != nil {
		python = "/usr/bin/python3"
	}
	for _, example := range [][]string{
		{"curl/refresh.sh"},
		{"node", "node/refresh.mjs"},
		{python, "python/refresh.py"},
		{"java", "java/Refresh.java"},
		{"dotnet", "run", "--project", "csharp"},
	} {
		t.Run(filepath.Dir(example[len(example)-1])+example[0], func(t *testing.T) { runExample(t, env, example) })
	}
}

func runExample(t *testing.T, env, example []string) {
	if example[0] == "dotnet" {
		if _, err := exec.LookPath("dotnet"); err != nil {
			t.Skip("dotnet is not installed: the C# example was not run")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, example[0], example[1:]...)
	command.Dir = "../../examples"
	if strings.Contains(example[0], "/") && !filepath.IsAbs(example[0]) {
		command.Path, _ = filepath.Abs(filepath.Join(command.Dir, example[0]))
		command.Err = nil
	}
	command.Env = env
	var complaints strings.Builder
	command.Stderr = &complaints
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s(a missing interpreter? \"make deps\" installs them)", example, err, complaints.String())
	}
	if !want.Match(out) {
		t.Errorf("%v printed:\n%s", example, out)
	}
}

// startDev runs the real binary until the test ends, and returns an
// environment with what dev.env says.
func startDev(t *testing.T) []string {
	dir := t.TempDir()
	binary := filepath.Join(dir, "pawl")
	if runtime.GOOS == "windows" {
		t.Skip("the end of the server is tested with SIGTERM")
	}
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/pawlauth/pawl/cmd/pawl").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	server := exec.Command(binary, "dev", "--addr", "127.0.0.1:0", "--data", filepath.Join(dir, "data"))
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		if err := server.Wait(); err != nil {
			t.Errorf("after SIGTERM: %v", err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n') // it listens when it says so
	if err != nil || !strings.HasPrefix(line, "Pawl listens on ") {
		t.Fatalf("pawl dev said %q, %v", line, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "data", "dev.env"))
	if err != nil {
		t.Fatal(err)
	}
	env := os.Environ()
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			env = append(env, name+"="+strings.Trim(value, "'"))
		}
	}
	return env
}
