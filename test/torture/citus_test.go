//go:build linux

package torture_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// citus returns a plan with a node at each server of Citus as its entrance. The servers are paused in turn.
func citus(t *testing.T, binary string) plan {
	t.Helper()
	cluster := pgtest.StartCitus(t, 2)
	name := cluster.Database(t)
	servers := cluster.Servers()
	masterKey := "PAWL_MASTER_KEY=" + seal.NewKey()
	var created struct{ APIKey string }
	for _, args := range [][]string{
		{"init", "--login", "admin@example.com", "--json"}, {"store", "distribute", "--json"},
	} {
		command := exec.Command(binary, append(args, "--store", servers[0].DSN(name))...)
		command.Env = append(command.Environ(), masterKey)
		output, err := command.Output()
		if err != nil || json.Unmarshal(output, &created) != nil {
			t.Fatalf("pawl %s: %v\n%s", args[0], err, output)
		}
	}
	start := func(number int) node {
		application := fmt.Sprint("node", number)
		dsn := servers[number%len(servers)].DSN(name) + "&application_name=" + application
		s := startServe(t, binary, masterKey, dsn)
		return node{
			url: s.URL, adminKey: created.APIKey,
			kill: func() {
				s.Kill()
				for _, server := range servers {
					awaitDisconnect(t, server.DSN("postgres"), application)
				}
			},
			signal: func(sig os.Signal) { _ = s.Process.Signal(sig) }, // an error means that it has exited
		}
	}
	next := 0
	freeze := func(pause time.Duration) {
		resume := servers[next%len(servers)].Pause()
		next++
		time.Sleep(pause)
		resume()
	}
	return plan{start: start, nodes: len(servers), families: 3, freeze: freeze}
}

// TestTortureCitus kills three nodes on Citus and pauses its servers.
func TestTortureCitus(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	p := citus(t, testbin.Build(t))
	checkReport(t, p, torture(t, p, killsOr(5), *duration))
}
