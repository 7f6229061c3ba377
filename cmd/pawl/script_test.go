package main

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pawlauth/pawl/internal/test/apicheck"
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

// TestScripts runs the command lines of testdata/script. Each script has a server at PAWL_URL. The traffic of the
// server is checked against the OpenAPI file.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		Setup: func(env *testscript.Env) error {
			t := env.T().(testing.TB)
			server := pawltest.New(t, pawltest.WithHandler(apicheck.Handler(t)))
			env.Setenv("PAWL_URL", server.URL)
			env.Setenv("SERVER_ADDR", strings.TrimPrefix(server.URL, "http://"))
			env.Setenv("PAWL_API_KEY", server.AdminAPIKey)
			env.Setenv("PAWL_LOGIN", pawltest.Login)
			env.Setenv("USER_KEY", server.APIKey)
			return nil
		},
	})
}
