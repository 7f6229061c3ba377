//go:build unix

// Package examples_test runs the programs in examples and the commands of the READMEs against the real binary. A shell
// reads dev.env, as the READMEs instruct.
package examples_test

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/test/testbin"
)

func TestMain(m *testing.M) { testbin.Main(m) }

const (
	startLimit   = 30 * time.Second
	exampleLimit = 2 * time.Minute
	stopLimit    = 20 * time.Second // longer than the server waits for requests in flight
)

var wanted = regexp.MustCompile(`^signed in as user 4821
refreshed: new token expires \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ
superseded token: 401 InvalidSession
new token: 200
$`)

func TestExamples(t *testing.T) {
	folder, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	env := startDev(t)

	t.Run("curl", func(t *testing.T) {
		need(t, "bash", "curl", "jq")
		runExample(t, env, filepath.Join(folder, "curl/refresh.sh"))
	})
	t.Run("csharp", func(t *testing.T) {
		if _, err := exec.LookPath("dotnet"); err != nil {
			t.Skip("dotnet is missing; install it to run the C# example")
		}
		runExample(t, env, "dotnet", "run", "--project", copyCSharp(t, filepath.Join(folder, "csharp")))
	})
	t.Run("java", func(t *testing.T) {
		need(t, "java")
		runExample(t, env, "java", filepath.Join(folder, "java/Refresh.java"))
	})
	t.Run("node", func(t *testing.T) {
		need(t, "node")
		runExample(t, env, "node", filepath.Join(folder, "node/refresh.mjs"))
	})
	t.Run("python", func(t *testing.T) {
		runExample(t, env, pythonWithRequests(t), filepath.Join(folder, "python/refresh.py"))
	})
}

// runExample checks the output and the exit code of a program.
func runExample(t *testing.T, env string, program ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), exampleLimit)
	defer cancel()
	command := withEnv(ctx, env, program...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	command.WaitDelay = 5 * time.Second // for child processes that keep its output open
	stdout, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %v\nstdout:\n%s\nstderr:\n%s", program, err, stdout, stderr.Bytes())
	}
	if !wanted.Match(stdout) {
		t.Errorf("%v printed:\n%s\nwant a match of:\n%s", program, stdout, wanted)
	}
}

// withEnv returns a command that runs a program with the variables of an env file. A shell reads the file.
func withEnv(ctx context.Context, env string, program ...string) *exec.Cmd {
	args := append([]string{"-c", `set -a; . "$1"; set +a; shift; exec "$@"`, "sh", env}, program...)
	return exec.CommandContext(ctx, "sh", args...)
}

// need skips the test if a tool is missing.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is missing; run \"make deps\"", tool)
		}
	}
}

// pythonWithRequests returns a Python that has the package requests. It prefers the python3 on PATH, but "make deps"
// installs requests for Debian's Python.
func pythonWithRequests(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), python, "-c", "import requests").Run() == nil {
			return python
		}
	}
	t.Skip("no python3 has the package requests; run \"make deps\"")
	return ""
}

// copyCSharp copies the project to a folder in which its build may write. It configures dotnet to print nothing of its
// own and to leave no build servers running.
func copyCSharp(t *testing.T, project string) string {
	t.Helper()
	for name, value := range map[string]string{
		"DOTNET_NOLOGO": "1", "DOTNET_CLI_TELEMETRY_OPTOUT": "1",
		"MSBUILDDISABLENODEREUSE": "1", "UseSharedCompilation": "false",
	} {
		t.Setenv(name, value)
	}
	dir := t.TempDir()
	for _, name := range []string{"Program.cs", "Refresh.csproj"} {
		text, err := os.ReadFile(filepath.Join(project, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// startDev builds pawl and runs "pawl dev" until the end of the test. It returns the path of dev.env once the server
// answers.
func startDev(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	data, log := filepath.Join(dir, "data"), filepath.Join(dir, "log")
	exited := start(t, log, testbin.Build(t), "dev", "--addr", "127.0.0.1:0", "--data", data)

	env := filepath.Join(data, "dev.env")
	deadline := time.After(startLimit)
	for !answers(t, env) {
		select {
		case <-exited:
			t.Fatalf("pawl dev exited:\n%s", readLog(log))
		case <-deadline:
			t.Fatalf("pawl dev did not answer within %v:\n%s", startLimit, readLog(log))
		case <-time.After(20 * time.Millisecond):
		}
	}
	return env
}

// start runs a server until the end of the test, and then sends SIGTERM. The server must exit with 0.
func start(t *testing.T, log, binary string, args ...string) (exited <-chan struct{}) {
	t.Helper()
	output, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	server := exec.CommandContext(t.Context(), binary, args...)
	server.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "PAWL_") })
	server.Stdout, server.Stderr = output, output
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGTERM) }
	server.WaitDelay = stopLimit // after that, Wait kills the server
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Wait() // returns an error even after a clean exit, because the context has ended
	}()
	t.Cleanup(func() {
		<-done // the end of the test's context has sent SIGTERM
		if !server.ProcessState.Success() {
			t.Errorf("pawl dev exited with %v after SIGTERM, want 0:\n%s", server.ProcessState, readLog(log))
		}
	})
	return done
}

// answers reports whether the server of the env file answers.
func answers(t *testing.T, env string) bool {
	t.Helper()
	if _, err := os.Stat(env); err != nil {
		return false
	}
	url, err := withEnv(t.Context(), env, "printenv", "PAWL_URL").Output()
	if err != nil {
		return false
	}
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get(strings.TrimSpace(string(url)) + "/v2/auth/version")
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func readLog(path string) []byte {
	text, _ := os.ReadFile(path)
	return text
}
