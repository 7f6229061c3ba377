package testbin

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// StartGateway starts a gateway whose state goes into a folder, and returns when
// it listens at an address. It ends with the test, which fails if it has logged
// a key or a token.
func StartGateway(t testing.TB, dir, addr, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // an error says that it has ended
		_ = cmd.Wait()
		if strings.Contains(said.String(), "pawl_") || strings.Contains(said.String(), "eyJ") {
			t.Errorf("%s logs keys or tokens", program)
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", program, said.String())
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen: %v", program, err)
		}
	}
}

// FreeAddr is an address at which nobody listens.
func FreeAddr(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
