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

// TestImportBesideNodes runs two imports concurrently into a database that two nodes serve. Each user must be imported
// once, and must be able to sign in on both nodes.
func TestImportBesideNodes(t *testing.T) {
	const hash = "$2b$04$o9DuE/Ry9/y.ybnUfqYzQuutFLv2bXfwdOJ0IQQ5.sR.eOs1vN2yG" // Python's bcrypt of passwd
	const passwd = "Correct#Horse7"
	const users = 3000
	binary, cluster := testbin.Build(t), pgtest.Start(t)
	env := []string{"PAWL_STORE=" + cluster.DSN(cluster.Database(t)), "PAWL_MASTER_KEY=" + seal.NewKey()}
	var text strings.Builder
	for i := range users {
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
			const report = "Imported %d, unchanged %d, skipped 0."
			_, scanErr := fmt.Sscanf(string(out), report, &imported[i], &unchanged[i])
			if err != nil || scanErr != nil {
				t.Errorf("%v: %s%s", err, out, errs.String())
			}
		})
	}
	group.Wait()
	if imported[0]+imported[1] != users || unchanged[0]+unchanged[1] != users {
		t.Errorf("imported %v, unchanged %v; want a sum of %d for each", imported, unchanged, users)
	}
	for i, node := range nodes {
		login := fmt.Sprintf("U%d@example.com", i)
		if _, err := testbin.Client(t, node.URL).Login(t.Context(), login, passwd); err != nil {
			t.Errorf("node %d: %v", i, err)
		}
	}
}
