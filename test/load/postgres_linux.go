package main

import (
	"encoding/json"
	"fmt"
	"os/exec"

	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// onlyHere are the stores that this system can start.
var onlyHere = []store{{"PostgreSQL", startPostgres}}

const loadLogin = "load@example.com"

// startPostgres starts a throw-away cluster and a Pawl on it.
func startPostgres(binary, _ string) (s *server, err error) {
	around := new(surroundings)
	defer func() {
		if failed := recover(); failed != nil {
			err = failed.(error) // of Fatal; another is a fault, and panics again
		}
		if err != nil {
			around.end()
		}
	}()
	cluster := pgtest.Start(around, "synchronous_commit=on")
	env := []string{"PAWL_STORE=" + cluster.DSN(cluster.Database(around)), "PAWL_MASTER_KEY=" + seal.NewKey()}
	cmd := exec.Command(binary, "init", "--login", loadLogin, "--json")
	cmd.Env = env
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("pawl init: %w", err)
	}
	var made struct{ Password string }
	if err := json.Unmarshal(out, &made); err != nil {
		return nil, fmt.Errorf("pawl init: %w", err)
	}
	pawl, err := testbin.RunServe(binary, env)
	if err != nil {
		return nil, err
	}
	stop := func() { pawl.Kill(); around.end() }
	return &server{url: pawl.URL, login: loadLogin, password: made.Password, pid: pawl.Process.Pid, stop: stop}, nil
}

// surroundings is the pgtest.TB of a program: a failure is a panic with an
// error, and what is to be cleaned up waits for end.
type surroundings struct{ cleanups []func() }

func (*surroundings) Helper()                           {}
func (*surroundings) Fatal(args ...any)                 { panic(fmt.Errorf("%s", fmt.Sprint(args...))) }
func (*surroundings) Fatalf(format string, args ...any) { panic(fmt.Errorf(format, args...)) }
func (s *surroundings) Cleanup(f func())                { s.cleanups = append(s.cleanups, f) }

func (s *surroundings) end() {
	for i := len(s.cleanups) - 1; i >= 0; i-- {
		s.cleanups[i]()
	}
	s.cleanups = nil
}
