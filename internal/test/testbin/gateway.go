package testbin

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
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

// given has the addresses that FreeAddr has returned.
var given sync.Map

// FreeAddr returns a local address whose port is free, and another one at each call. The system never chooses such a
// port for a connection or for a listener on port 0, so the port stays free until a server has been built and started.
func FreeAddr(t testing.TB) string {
	t.Helper()
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		if _, again := given.LoadOrStore(addr, true); again {
			continue
		}
		if listener, err := net.Listen("tcp", addr); err == nil {
			listener.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}
