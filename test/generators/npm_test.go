package generators_test

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/pawlauth/pawl/pawltest"
)

const toolLimit = 4 * time.Minute

// run runs a program in a folder, and returns its output. The environment has the address and the credentials of a
// server.
func run(t *testing.T, dir string, server *pawltest.Server, program ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), toolLimit)
	defer cancel()
	command := exec.CommandContext(ctx, program[0], program[1:]...)
	command.Dir = dir
	command.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly", "NO_COLOR=1")
	if server != nil {
		command.Env = append(command.Env, "PAWL_URL="+server.URL, "PAWL_API_KEY="+server.APIKey,
			"PAWL_LOGIN="+pawltest.Login, "PAWL_PASSWORD="+pawltest.Password)
	}
	command.WaitDelay = 5 * time.Second // for child processes that keep its output open
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", program, err, output)
	}
	return string(output)
}
