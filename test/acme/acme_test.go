//go:build linux

// Package acme_test lets the real binary get its certificate from Pebble, the test authority of Let's Encrypt. Pebble
// is pinned in the module in the folder pebble. The test is skipped, with the reason, where it cannot be downloaded.
package acme_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/test/testbin"
	"github.com/pawlauth/pawl/internal/test/testcert"
)

const domain = "auth.example.com"

// buildPebble builds Pebble and its DNS server, and returns their folder.
func buildPebble(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	testbin.InModule(t, "pebble", "build", "-trimpath", "-o", bin+"/", "tool")
	return bin
}

// authority is a running Pebble. It finds every name at 127.0.0.1.
type authority struct {
	directory string
	caFile    string // the certificate of its own server
	stop      func()

	management string
	client     *http.Client
}

// startAuthority starts Pebble. It validates domains on the port of an address.
func startAuthority(t *testing.T, validated string) *authority {
	t.Helper()
	bin, dir := buildPebble(t), t.TempDir()
	listen, management := testbin.FreeAddr(t), testbin.FreeAddr(t)
	dns := testbin.FreeAddr(t)
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	roots := testcert.Write(t, certFile, keyFile, time.Hour)
	_, port, _ := net.SplitHostPort(validated)
	config := fmt.Sprintf(`{"pebble": {"listenAddress": %q, "managementListenAddress": %q, "certificate": %q,
		"privateKey": %q, "httpPort": 1, "tlsPort": %s, "retryAfter": {"authz": 1, "order": 1},
		"profiles": {"default": {"description": "", "validityPeriod": 7776000}}}}`,
		listen, management, certFile, keyFile, port)
	configFile := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(configFile, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	testbin.StartGateway(t, dir, dns, filepath.Join(bin, "pebble-challtestsrv"), "-dnsserver", dns, "-defaultIPv4",
		"127.0.0.1", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "", "-management", "")
	cmd := exec.Command(filepath.Join(bin, "pebble"), "-config", configFile, "-dnsserver", dns)
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a := &authority{
		directory: "https://" + listen + "/dir", caFile: certFile, management: "https://" + management,
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}},
	}
	stopped := false
	a.stop = func() {
		if !stopped {
			stopped = true
			_ = cmd.Process.Kill() // fails if it has exited
			_ = cmd.Wait()
		}
	}
	t.Cleanup(func() {
		a.stop()
		if t.Failed() {
			t.Logf("the output of Pebble:\n%s", output.String())
		}
	})
	await(t, "Pebble", func() bool {
		response, err := a.client.Get(a.directory)
		if err == nil {
			response.Body.Close()
		}
		return err == nil
	})
	return a
}

// roots returns the root certificate of the authority.
func (a *authority) roots(t *testing.T) *x509.CertPool {
	t.Helper()
	response, err := a.client.Get(a.management + "/roots/0")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	pool := x509.NewCertPool()
	if err != nil || !pool.AppendCertsFromPEM(text) {
		t.Fatalf("the root certificate: %s, %v", text, err)
	}
	return pool
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > 2*time.Minute {
			t.Fatalf("waited two minutes for %s", what)
		}
	}
}

// dial returns the certificate that a server presents for a name.
func dial(addr, name string, roots *x509.CertPool) (*x509.Certificate, error) {
	conn, err := tls.Dial("tcp", addr, &tls.Config{ServerName: name, RootCAs: roots})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

// metric returns the value of the metric of the certificate.
func metric(t *testing.T, url string) (seconds float64) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		_, _ = fmt.Sscanf(line, "pawl_tls_certificate_not_after_seconds %g", &seconds)
	}
	return seconds
}

// requirePrivate checks that only the owner can read a folder and its files.
func requirePrivate(t *testing.T, folder string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o700)
		if !entry.IsDir() {
			files++
			want = 0o600
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has the mode %o, want %o", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil || files < 2 {
		t.Errorf("the folder of the certificates has %d files, %v; want the account and a certificate", files, err)
	}
}

// TestACME gets a certificate by the challenge tls-alpn-01, and serves it. After a restart without the authority, the
// server has it from its folder. Other names get none.
func TestACME(t *testing.T) {
	addr := testbin.FreeAddr(t)
	ca := startAuthority(t, addr)
	binary, data := testbin.Build(t), filepath.Join(t.TempDir(), "data")
	testbin.Init(t, binary, nil, "--data", data)
	folder := filepath.Join(data, "acme")
	if err := os.Mkdir(folder, 0o755); err != nil { // too open
		t.Fatal(err)
	}
	start := func() *testbin.Server {
		return testbin.StartServe(t, binary, []string{"SSL_CERT_FILE=" + ca.caFile}, "--data", data, "--addr", addr,
			"--acme-domain", domain, "--acme-directory", ca.directory, "--metrics-addr", "127.0.0.1:0")
	}
	server := start()
	roots := ca.roots(t)
	var first *x509.Certificate
	await(t, "the certificate", func() (ok bool) {
		cert, err := dial(addr, domain, roots)
		first = cert
		return err == nil
	})
	requirePrivate(t, folder)
	if got, want := metric(t, server.Metrics), float64(first.NotAfter.Unix()); got != want {
		t.Errorf("the metric is %g, want %g", got, want)
	}
	if _, err := dial(addr, "other.example.com", roots); err == nil {
		t.Error("another name has a certificate")
	}
	health := exec.Command(binary, "health", "--addr", addr, "--acme-domain", domain)
	if out, err := health.CombinedOutput(); err != nil {
		t.Errorf("pawl health: %v: %s", err, out)
	}
	ca.stop()
	server.Kill()
	start()
	again, err := dial(addr, domain, roots)
	if err != nil || !again.Equal(first) {
		t.Errorf("after a restart without the authority: %v; the same certificate: %v", err, err == nil)
	}
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{ServerName: domain, RootCAs: roots},
		ForceAttemptHTTP2: true,
	}}
	response, err := client.Get("https://" + addr + "/v2/auth/version")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var version struct{ Success bool }
	err = json.NewDecoder(response.Body).Decode(&version)
	if err != nil || !version.Success || response.ProtoMajor != 2 {
		t.Errorf("%s %s, %v; want a response over HTTP/2", response.Proto, response.Status, err)
	}
}
