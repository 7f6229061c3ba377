//go:build unix

package e2e_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/test/testbin"
)

// TestFewOpenFiles opens more connections than the server may open files, and leaves them idle. Each new one must be
// answered in place of an idle one.
func TestFewOpenFiles(t *testing.T) {
	const files, clients = 128, 2 * 128
	binary, data := testbin.Build(t), filepath.Join(t.TempDir(), "data")
	testbin.Init(t, binary, nil, "--data", data)
	cmd := exec.Command("sh", "-c", `ulimit -n 128 && exec "$@"`, "sh", binary, "serve", "--addr", "127.0.0.1:0",
		"--data", data)
	server, err := testbin.RunCommand(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.End(t) })
	if log := server.Log(); !strings.Contains(log, `"connections":96,"configured":10000,"files":128`) {
		t.Errorf("the log has no warning:\n%s", log)
	}
	for i := range clients {
		conn, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second)) // of a failed test
		if _, err := io.WriteString(conn, "GET /v2/auth/version HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("connection %d of %d, with %d files: %v, %v", i, clients, files, resp, err)
		}
	}
}
