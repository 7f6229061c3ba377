//go:build linux

package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlauth/pawl/internal/test/testbin"
)

// terminalOutput runs a server with a terminal as its standard error until it has drained, and returns the output. It
// sends one request whose user agent has escape sequences and a fake line.
func terminalOutput(t *testing.T, env ...string) string {
	t.Helper()
	binary, data := testbin.Build(t), filepath.Join(t.TempDir(), "data")
	testbin.Init(t, binary, nil, "--data", data)
	controller, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer controller.Close()
	addr := testbin.FreeAddr(t)
	cmd := exec.Command(binary, "serve", "--data", data, "--addr", addr, "--access-log")
	cmd.Env = append(os.Environ(), append([]string{"TERM=xterm", "NO_COLOR="}, env...)...)
	cmd.Stderr = terminal
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	terminal.Close()
	var output strings.Builder
	for lines := bufio.NewScanner(controller); lines.Scan(); { // until the server closes the terminal
		output.WriteString(lines.Text() + "\n")
		if !strings.Contains(lines.Text(), "listening") {
			continue
		}
		request, err := http.NewRequest(http.MethodGet, "http://"+addr+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("User-Agent", "\u009b31m evil\"=x")
		if _, err := impatient.Do(request); err != nil {
			t.Error(err)
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the server: %v", err)
	}
	return output.String()
}

// TestLogOnTerminal checks that the log of a terminal is text, with colours unless NO_COLOR is set, and that a client
// cannot write control characters to the terminal.
func TestLogOnTerminal(t *testing.T) {
	text := terminalOutput(t)
	for _, want := range []string{
		`(?m)^2\d{3}-\d\d-\d\d \d\d:\d\d:\d\d \x1b\[32mINFO\x1b\[0m  starting  version=\S+ store=\S+ procs=\d+\r?$`,
		`\x1b\[32mINFO\x1b\[0m  listening  addr=127\.0\.0\.1:\d+ tls=false`,
		`access  method=GET path=/healthz status=200 ms=\S+ address=127\.0\.0\.1 agent=".*31m evil\\"=x" request=\w+`,
		`INFO\x1b\[0m  draining: no new connections; the requests in flight may end  timeout=7s`,
		`INFO\x1b\[0m  drained`,
		`INFO\x1b\[0m  stopped`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("the log lacks %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, "\u009b") || strings.Contains(text, `"msg"`) {
		t.Errorf("the log has a control character of the client, or JSON:\n%q", text)
	}
	text = terminalOutput(t, "NO_COLOR=1")
	if strings.Contains(text, "\x1b") || !strings.Contains(text, " INFO  stopped") {
		t.Errorf("with NO_COLOR the log is:\n%q", text)
	}
	if text := terminalOutput(t, "PAWL_LOG_FORMAT=json"); !strings.Contains(text, `"msg":"stopped"`) {
		t.Errorf("with PAWL_LOG_FORMAT=json the log is:\n%q", text)
	}
}

// accessLine is a line of the access log.
type accessLine struct {
	Msg, Method, Path, Address, Agent, Request string
	Status                                     int
	Ms                                         float64
}

// accessLines returns the lines of the access log in a file.
func accessLines(t *testing.T, path string) []accessLine {
	t.Helper()
	var all []accessLine
	for line := range strings.Lines(readFile(t, path)) {
		var access accessLine
		if err := json.Unmarshal([]byte(line), &access); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if access.Msg == "access" {
			all = append(all, access)
		}
	}
	return all
}

// TestAccessLog checks the lines of the access log: the client behind a trusted proxy, no line without the setting, and
// nothing of a query, a header, a body, or a secret in a path.
func TestAccessLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pawl.log")
	env := []string{"PAWL_ACCESS_LOG=true", "PAWL_LOG_LEVEL=warn", "PAWL_TRUSTED_PROXY=127.0.0.0/8"}
	s := startLogged(t, env, "--log-file", path)
	send := func(method, path, body string) {
		t.Helper()
		request, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Forwarded-For", "203.0.113.9")
		request.Header.Set("X-Request-Id", "id-of-"+method)
		request.Header.Set("X-API-Key", "pawl_secret-key")
		request.Header.Set("User-Agent", "test")
		response, err := impatient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	const token = "eyJhbGciOiJIUzI1NiJ9.secret-claims-secret-claims-secret.secret"
	send("POST", "/v2/auth/login?token="+token, `{"login":"secret-login","password":"secret-password"}`)
	send("GET", "/v2/users/4821", "")
	send("DELETE", "/"+token+"/%1b%5b31m/x", "")
	send("BREW", "/a/b/c/d/e/f/g/h/secret/secret", "")
	s.signInAndRefresh()
	s.shutDown()
	want := []accessLine{
		{Method: "POST", Path: "/v2/auth/login", Status: 401, Request: "id-of-POST"},
		{Method: "GET", Path: "/v2/users/4821", Status: 401, Request: "id-of-GET"},
		{Method: "DELETE", Path: "/*/*/x", Status: 404, Request: "id-of-DELETE"},
		{Method: "_OTHER", Path: "/a/b/c/d/e/f/g/h/*", Status: 404, Request: "id-of-BREW"},
	}
	got := accessLines(t, path)
	if len(got) < len(want)+7 {
		t.Fatalf("the access log has %d lines", len(got))
	}
	for i, line := range want {
		if got[i].Ms <= 0 {
			t.Errorf("line %d took %v ms", i, got[i].Ms)
		}
		got[i].Ms = 0
		line.Msg = "access"
		line.Address = "203.0.113.9"
		line.Agent = "test"
		if got[i] != line {
			t.Errorf("line %d is %+v, want %+v", i, got[i], line)
		}
	}
	log := readFile(t, path)
	if strings.Contains(log, "secret") || strings.Contains(log, `"kind":"login"`) {
		t.Errorf("the log has a secret, or an event below --log-level warn:\n%s", log)
	}
}

// logOfStart runs a command that starts a server, drains the server once it listens, and returns its log.
func logOfStart(t *testing.T, env []string, command ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pawl.log")
	cmd := exec.Command(command[0], append(command[1:], "--log-file", path)...)
	cmd.Env = append(os.Environ(), env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill() // fails if the process has ended
	await(t, "the server", func() bool {
		text, err := os.ReadFile(path)
		return err == nil && strings.Contains(string(text), `"msg":"listening"`)
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the server: %v", err)
	}
	return readFile(t, path)
}

// TestLogMigration starts a server on a store of the first schema. The log has both versions and the name of a copy
// from before the migration, which replaces an earlier copy. The next start copies nothing.
func TestLogMigration(t *testing.T) {
	binary, data := testbin.Build(t), t.TempDir()
	path := filepath.Join(data, "pawl.db")
	copied := path + ".schema-1"
	onDatabase(t, path, func(conn *sqlite.Conn) error { return sqlitex.ExecuteScript(conn, firstSchema(t), nil) })
	if err := os.WriteFile(copied, []byte("of an earlier attempt"), 0o600); err != nil {
		t.Fatal(err)
	}
	check, err := exec.Command(binary, "config", "check", "--data", data, "--addr", "127.0.0.1:0").CombinedOutput()
	if err != nil || !strings.Contains(string(check), "schema 1; the next start migrates it to ") {
		t.Errorf("config check: %v\n%s", err, check)
	}
	start := []string{binary, "serve", "--data", data, "--addr", "127.0.0.1:0"}
	log := logOfStart(t, nil, start...)
	for _, want := range []string{
		`"msg":"migrating the schema","store":"` + path + `","from":1,"to":\d+,"copy":"` + copied + `"`,
		`"msg":"schema migrated","store":"` + path + `","from":1,"to":\d+`,
	} {
		if !regexp.MustCompile(want).MatchString(log) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	var version, users int64
	onDatabase(t, copied, func(conn *sqlite.Conn) (err error) {
		version, err = sqlitex.ResultInt64(conn.Prep("PRAGMA user_version"))
		if err == nil {
			users, err = sqlitex.ResultInt64(conn.Prep("SELECT count(*) FROM user"))
		}
		return err
	})
	info, err := os.Stat(copied)
	if err != nil || info.Mode().Perm() != 0o600 || version != 1 || users != 1 {
		t.Errorf("the copy has mode %v, schema %d and %d users; %v", info.Mode(), version, users, err)
	}
	if err := os.Remove(copied); err != nil {
		t.Fatal(err)
	}
	if log := logOfStart(t, nil, start...); strings.Contains(log, "schema") {
		t.Errorf("the second start migrates again:\n%s", log)
	}
	if _, err := os.Stat(copied); err == nil {
		t.Error("the second start has copied the store")
	}
}

// TestCommandMigrates imports a file into a store of the first schema. The command reports the migration and the copy.
func TestCommandMigrates(t *testing.T) {
	data := t.TempDir()
	path := filepath.Join(data, "pawl.db")
	onDatabase(t, path, func(conn *sqlite.Conn) error { return sqlitex.ExecuteScript(conn, firstSchema(t), nil) })
	users := filepath.Join(data, "users.jsonl")
	if err := os.WriteFile(users, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(testbin.Build(t), "user", "import", users, "--data", data).CombinedOutput()
	want := `INFO  migrating the schema  store=\S+ from=1 to=\d+ copy=` + path + `\.schema-1`
	if err != nil || !regexp.MustCompile(want).Match(out) {
		t.Errorf("the import: %v\n%s", err, out)
	}
}

// firstSchema returns a script for a store of the first schema with an administrator.
func firstSchema(t *testing.T) string {
	t.Helper()
	return readFile(t, "../../internal/store/sqlite/schema.sql") + `
		INSERT INTO user VALUES (1, 'a@example.com', 'a@example.com', 'x', 0, '', '', '', 1, 1, 1, 2, 1);
		PRAGMA application_id = 0x5061776c; PRAGMA user_version = 1;`
}

// onDatabase opens a database, runs a function on it, and closes it.
func onDatabase(t *testing.T, path string, run func(*sqlite.Conn) error) {
	t.Helper()
	conn, err := sqlite.OpenConn(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(run(conn), conn.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestLogOfStart checks the warning about plain HTTP beyond loopback, and GOMAXPROCS on one processor.
func TestLogOfStart(t *testing.T) {
	binary, data := testbin.Build(t), filepath.Join(t.TempDir(), "data")
	testbin.Init(t, binary, nil, "--data", data)
	const warning = `"level":"WARN","msg":"plain HTTP beyond loopback: `
	for args, want := range map[string]bool{
		"--addr=127.0.0.1:0":                            false,
		"--addr=0.0.0.0:0":                              true,
		"--addr=0.0.0.0:0 --trusted-proxy=192.0.2.0/24": false,
	} {
		log := logOfStart(t, nil, append([]string{binary, "serve", "--data", data}, strings.Fields(args)...)...)
		if strings.Contains(log, warning) != want {
			t.Errorf("%s: the log is\n%s", args, log)
		}
	}
	for env, want := range map[string]string{"GOMAXPROCS=": `"procs":4}`, "GOMAXPROCS=1": `"procs":1}`} {
		command := []string{"taskset", "--cpu-list", "0", binary, "serve", "--data", data, "--addr", "127.0.0.1:0"}
		if log := logOfStart(t, []string{env}, command...); !strings.Contains(log, want) {
			t.Errorf("with %s on one processor, the log lacks %s:\n%s", env, want, log)
		}
	}
}

// TestStoppedErrorReader fills the pipe of standard error and stops reading it. A command that fails ends nevertheless.
func TestStoppedErrorReader(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	if err := writer.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for err == nil { // until the pipe is full
		_, err = writer.Write(bytes.Repeat([]byte("x"), 4096))
	}
	cmd := exec.Command(testbin.Build(t), "serve", "--token-life", "0s")
	cmd.Stderr = writer
	err = cmd.Run()
	if failed, ok := errors.AsType[*exec.ExitError](err); !ok || failed.ExitCode() != 2 {
		t.Errorf("the command returned %v, want exit code 2", err)
	}
}
