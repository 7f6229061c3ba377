package main

import (
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pawlauth/pawl/internal/test/apicheck"
	"github.com/pawlauth/pawl/internal/test/testcert"
	"github.com/pawlauth/pawl/pawltest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"pawl": main})
}

// exits is the command "exits CODE PROGRAM ARGUMENT..." of a script.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		failed, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = failed.ExitCode()
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// writeCertificate is the command "certificate FILE KEYFILE DAYS NAME" of a script. It writes a certificate that
// expires after a number of days, and its key.
func writeCertificate(ts *testscript.TestScript, _ bool, args []string) {
	days, err := strconv.Atoi(args[2])
	ts.Check(err)
	cert, key, err := testcert.PEM(x509.Certificate{
		DNSNames: args[3:], NotBefore: time.Now().AddDate(0, 0, days-90),
		NotAfter: time.Now().AddDate(0, 0, days).Add(time.Hour),
	})
	ts.Check(err)
	for file, text := range map[string][]byte{args[0]: cert, args[1]: key} {
		ts.Check(os.WriteFile(ts.MkAbs(file), text, 0o600))
	}
}

// TestScripts runs the command lines of testdata/script. Each script has a server at PAWL_URL. The traffic of the
// server is checked against the OpenAPI file.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "certificate": writeCertificate},
		Setup: func(env *testscript.Env) error {
			t := env.T().(testing.TB)
			server := pawltest.New(t, pawltest.WithHandler(apicheck.Handler(t)))
			env.Setenv("PAWL_URL", server.URL)
			env.Setenv("SERVER_ADDR", strings.TrimPrefix(server.URL, "http://"))
			env.Setenv("PAWL_API_KEY", server.AdminAPIKey)
			env.Setenv("PAWL_LOGIN", pawltest.Login)
			env.Setenv("USER_KEY", server.APIKey)
			env.Setenv("GORACE", "atexit_sleep_ms=0") // with the race detector, each exit would take a second longer
			return nil
		},
	})
}
