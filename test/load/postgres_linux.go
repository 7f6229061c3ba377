package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// systemStores are the stores that only some operating systems can start.
var systemStores = []store{{"PostgreSQL", startPostgres}}

const loadLogin = "load@example.com"

// startPostgres starts a temporary cluster with a Pawl.
func startPostgres(binary, _ string, settings ...string) (*server, error) {
	env := make([]string, len(settings))
	for i, setting := range settings {
		name, value, _ := strings.Cut(setting, "=")
		env[i] = "PAWL_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "=" + value
	}
	nodes, err := startNodes(binary, 1, env...)
	if err != nil {
		return nil, err
	}
	return nodes[0], nil
}

// startNodes starts a temporary cluster with several Pawls, which have these settings in their environment. The
// function stop of the first one also stops the cluster.
func startNodes(binary string, n int, settings ...string) (nodes []*server, err error) {
	tb := new(programTB)
	defer func() {
		if failed := recover(); failed != nil {
			err = failed.(error) // the error of Fatal; any other value panics again
		}
		if err != nil {
			tb.end()
		}
	}()
	cluster := pgtest.Start(tb, "synchronous_commit=on", "fsync=on")
	env := append([]string{"PAWL_STORE=" + cluster.DSN(cluster.Database(tb)), "PAWL_MASTER_KEY=" + seal.NewKey()},
		settings...)
	cmd := exec.Command(binary, "init", "--login", loadLogin, "--json")
	cmd.Env = env
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("pawl init: %w", err)
	}
	var created struct{ Password, APIKey string }
	if err := json.Unmarshal(out, &created); err != nil {
		return nil, fmt.Errorf("pawl init: %w", err)
	}
	for range n {
		pawl, err := testbin.RunServe(binary, env)
		if err != nil {
			return nil, err
		}
		tb.Cleanup(func() { pawl.Kill() })
		nodes = append(nodes, &server{
			name: "PostgreSQL", url: pawl.URL, login: loadLogin, password: created.Password, apiKey: created.APIKey,
			pid: pawl.Process.Pid, stop: func() {},
		})
	}
	nodes[0].stop = tb.end
	return nodes, nil
}

// programTB is the pgtest.TB of a program. A failure panics with an error, and end runs the cleanup functions.
type programTB struct{ cleanups []func() }

func (*programTB) Helper()                           {}
func (*programTB) Fatal(args ...any)                 { panic(errors.New(fmt.Sprint(args...))) }
func (*programTB) Fatalf(format string, args ...any) { panic(fmt.Errorf(format, args...)) }
func (tb *programTB) Cleanup(f func())               { tb.cleanups = append(tb.cleanups, f) }

func (tb *programTB) end() {
	for _, cleanup := range slices.Backward(tb.cleanups) {
		cleanup()
	}
	tb.cleanups = nil
}
