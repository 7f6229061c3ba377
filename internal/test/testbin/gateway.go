package testbin

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/test/freeaddr"
)

// StartGateway starts a gateway that keeps its state in a folder, and returns when the gateway listens at an address.
// The gateway stops at the end of the test. The test fails if the gateway has logged an API key or a token.
func StartGateway(t testing.TB, dir, addr, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // an error means that it has exited
		_ = cmd.Wait()
		if strings.Contains(output.String(), "pawl_") || strings.Contains(output.String(), "eyJ") {
			t.Errorf("%s has logged an API key or a token", program)
		}
		if t.Failed() {
			t.Logf("the output of %s:\n%s", program, output.String())
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen at %s: %v", program, addr, err)
		}
	}
}

// FreeAddr returns a local address for a server that the test starts later.
func FreeAddr(t testing.TB) string {
	t.Helper()
	return freeaddr.New(t)
}
