//go:build linux

package torture_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// startHAProxy starts the HAProxy of a site, and returns its address. It connects to the server whose Patroni has the
// role of the leader. docs/operations.md shows this configuration.
func (s *sites) startHAProxy(i int) string {
	s.Helper()
	const program = "/usr/sbin/haproxy"
	if _, err := os.Stat(program); err != nil {
		s.Skip("haproxy is missing; run \"make deps\"")
	}
	var addr string
	s.Sites[i].Inside(func() { addr = pgtest.FreeAddr(s.T) })
	var servers strings.Builder
	for _, site := range s.Sites {
		_, port, _ := strings.Cut(site.REST, ":")
		fmt.Fprintf(&servers, "  server %s %s check port %s\n", site.Name, site.Postgres, port)
	}
	config := fmt.Sprintf(`defaults
  mode tcp
  timeout connect 1s
  timeout client 1h
  timeout server 1h
listen postgres
  bind %s
  option httpchk GET /primary
  http-check expect status 200
  default-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions
%s`, addr, servers.String())
	dir := s.TempDir()
	path := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		s.Fatal(err)
	}
	s.Sites[i].Inside(func() {
		testbin.StartGateway(s.T, dir, addr, program, "-f", path)
		s.awaitChecks(addr)
	})
	return addr
}

// awaitChecks waits until HAProxy has checked all servers. Before that it takes each of them for the leader, in turn.
func (s *sites) awaitChecks(addr string) {
	s.Helper()
	deadline := time.Now().Add(time.Minute)
	for writable := 0; writable < 2*len(s.Sites); time.Sleep(20 * time.Millisecond) {
		conn, err := pgx.Connect(s.Context(), pgtest.DSN(haDatabase, addr)+"&connect_timeout=2")
		if err == nil {
			writable++
			conn.Close(s.Context())
			continue
		}
		writable = 0
		if time.Now().After(deadline) {
			s.Fatal(err)
		}
	}
}
