//go:build linux

package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// TestImportBesideNodes imports into a database that two nodes serve, twice at
// once: each user is added once, and signs in on both nodes.
func TestImportBesideNodes(t *testing.T) {
	const hash = "$2b$04$o9DuE/Ry9/y.ybnUfqYzQuutFLv2bXfwdOJ0IQQ5.sR.eOs1vN2yG" // Python's bcrypt of:
	const passwd = "Correct#Horse7"
	const many = 3000
	binary, cluster := testbin.Build(t), pgtest.Start(t)
	env := []string{"PAWL_STORE=" + cluster.DSN(cluster.Database(t)), "PAWL_MASTER_KEY=" + seal.NewKey()}
	var text strings.Builder
	for i := range many {
		fmt.Fprintf(&text, `{"login":"u%d@example.com","passwordHash":"%s"}`+"\n", i, hash)
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command(binary, args...)
		cmd.Env = append(os.Environ(), env...)
		cmd.Stdin = strings.NewReader(text.String())
		return cmd
	}
	if out, err := command("init", "--login", "root@example.com").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	nodes := []*testbin.Server{testbin.StartServe(t, binary, env), testbin.StartServe(t, binary, env)}
	var imported, unchanged [2]int
	var group sync.WaitGroup
	for i := range imported {
		group.Go(func() {
			cmd := command("user", "import", "-", "--format", "jsonl")
			var errs strings.Builder
			cmd.Stderr = &errs
			out, err := cmd.Output()
			if _, scanErr := fmt.Sscanf(string(out), "Imported %d, unchanged %d, left out 0.", &imported[i], &unchanged[i]); err != nil || scanErr != nil {
				t.Errorf("%v: %s%s", err, out, errs.String())
			}
		})
	}
	group.Wait()
	if imported[0]+imported[1] != many || unchanged[0]+unchanged[1] != many {
		t.Errorf("imported %v, unchanged %v, of %d", imported, unchanged, many)
	}
	for i, node := range nodes {
		if _, err := testbin.Client(t, node.URL).Login(t.Context(), fmt.Sprintf("U%d@example.com", i), passwd); err != nil {
			t.Errorf("node %d: %v", i, err)
		}
	}
}
