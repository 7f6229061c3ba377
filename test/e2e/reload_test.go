//go:build linux

package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/test/testbin"
)

const (
	reloaded       = `"msg":"reloaded"`
	reloadedInPart = `"msg":"reloaded in part`
)

// reload sends SIGHUP, and returns when the log file has one more of a report.
func (s *loggedServer) reload(log, report string) {
	s.Helper()
	reloads := func() int { return strings.Count(readFile(s.T, log), report) }
	before := reloads()
	s.signal(syscall.SIGHUP)
	await(s.T, "the reload", func() bool { return reloads() > before })
}

// wantCertificate requires that a new connection gets the certificate that roots has.
func (s *loggedServer) wantCertificate(what string, roots *x509.CertPool) {
	s.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "http://"), &tls.Config{RootCAs: roots})
	if err != nil {
		s.Errorf("%s: %v", what, err)
		return
	}
	conn.Close()
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	if err := os.WriteFile(to, []byte(readFile(t, from)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tlsFiles are the certificate that a server reads, its log, and a second certificate to replace the first one.
type tlsFiles struct {
	cert, key, log                   string
	firstCert, secondCert, secondKey string
	first, second                    *x509.CertPool
}

// startWithTLS starts a server with the first certificate.
func startWithTLS(t *testing.T) (*loggedServer, tlsFiles) {
	t.Helper()
	dir := t.TempDir()
	files := tlsFiles{
		cert: filepath.Join(dir, "cert.pem"),
		key:  filepath.Join(dir, "key.pem"),
		log:  filepath.Join(dir, "pawl.log"),
	}
	var firstKey string
	files.firstCert, firstKey, files.first = certificate(t)
	files.secondCert, files.secondKey, files.second = certificate(t)
	copyFile(t, files.firstCert, files.cert)
	copyFile(t, firstKey, files.key)
	s := startLogged(t, nil, "--tls-cert", files.cert, "--tls-key", files.key, "--log-file", files.log)
	return s, files
}

// TestReloadCertificate replaces the certificate and sends SIGHUP. New connections get the new certificate. A file that
// cannot be used, or that does not match the other file, changes nothing.
func TestReloadCertificate(t *testing.T) {
	s, files := startWithTLS(t)
	s.wantCertificate("at the start", files.first)
	open := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: files.first}}}
	get := func() {
		t.Helper()
		response, err := open.Get("https" + strings.TrimPrefix(s.url, "http") + "/healthz")
		if err != nil {
			t.Errorf("the open connection: %v", err)
			return
		}
		_, _ = io.Copy(io.Discard, response.Body) // so that the client keeps the connection
		response.Body.Close()
	}
	get()

	copyFile(t, files.secondCert, files.cert)
	s.reload(files.log, reloadedInPart)
	s.wantCertificate("with a certificate that does not match the key", files.first)
	copyFile(t, files.secondKey, files.cert)
	s.reload(files.log, reloadedInPart)
	s.wantCertificate("with a file that is not a certificate", files.first)
	if text := readFile(t, files.log); strings.Count(text, "the server keeps the current certificate") < 2 {
		t.Errorf("the log does not report both bad certificates:\n%s", text)
	}
	copyFile(t, files.secondCert, files.cert)
	copyFile(t, files.secondKey, files.key)
	s.reload(files.log, reloaded)
	s.wantCertificate("after the reload", files.second)
	get() // on the connection from before the reload, because this client does not trust the new certificate
	open.CloseIdleConnections()
	s.shutDown()
}

// notAfter returns the metric of the certificate.
func (s *loggedServer) notAfter() (seconds float64) {
	s.Helper()
	response, err := impatient.Get("http://" + s.metrics + "/metrics")
	if err != nil {
		s.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		_, _ = fmt.Sscanf(line, "pawl_tls_certificate_not_after_seconds %g", &seconds)
	}
	return seconds
}

// TestChangedCertificate replaces the certificate without a signal, one file after the other, as programs do that renew
// it. In between, and while the key is missing, the server keeps the pair that it has.
func TestChangedCertificate(t *testing.T) {
	s, files := startWithTLS(t)
	failures := func() int { return strings.Count(readFile(t, files.log), "the server keeps the current certificate") }
	wantMetric := func(file string) {
		t.Helper()
		block, _ := pem.Decode([]byte(readFile(t, file)))
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := s.notAfter(), float64(leaf.NotAfter.Unix()); got != want {
			t.Errorf("the metric is %g, want %g", got, want)
		}
	}
	wantMetric(files.firstCert)
	copyFile(t, files.secondCert, files.cert)
	await(t, "a report of the certificate without its key", func() bool { return failures() == 1 })
	s.wantCertificate("with a certificate that does not match the key", files.first)
	if err := os.Remove(files.key); err != nil {
		t.Fatal(err)
	}
	await(t, "a report of the missing key", func() bool { return failures() == 2 })
	s.wantCertificate("without a key", files.first)
	copyFile(t, files.secondKey, files.key)
	await(t, "the reload", func() bool { return strings.Contains(readFile(t, files.log), "certificate reloaded") })
	s.wantCertificate("after both files were replaced", files.second)
	wantMetric(files.secondCert)
	if n := failures(); n != 2 {
		t.Errorf("the log has %d failures, want one for each change", n)
	}
	s.shutDown()
}

// TestReopenLog renames the log file and sends SIGHUP. The log continues in a new file, without a lost line. If the new
// file cannot be opened, the log continues in the current one.
func TestReopenLog(t *testing.T) {
	dir := t.TempDir()
	path, renamed := filepath.Join(dir, "pawl.log"), filepath.Join(dir, "pawl.log.1")
	s := startLogged(t, nil, "--log-file", path)
	s.signInAndRefresh()
	await(t, "the first session", func() bool { return strings.Contains(readFile(t, path), `"kind":"logout"`) })
	if err := os.Rename(path, renamed); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	s.reload(renamed, reloadedInPart)
	if !strings.Contains(readFile(t, renamed), "cannot reopen the log") {
		t.Error("the log does not report that it cannot be reopened")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGHUP)
	await(t, "the new file", func() bool {
		text, err := os.ReadFile(path)
		return err == nil && strings.Contains(string(text), reloaded)
	})
	before := readFile(t, renamed)
	s.signInAndRefresh()
	if lost := s.lost(); lost != 0 {
		t.Errorf("%d lines were lost", lost)
	}
	s.shutDown()
	if !strings.Contains(readFile(t, path), `"kind":"logout"`) || readFile(t, renamed) != before {
		t.Error("the second session is not in the new file alone")
	}
}

// TestHangup sends SIGHUP to a server without a certificate or a log file, and to a server that shuts down. Neither
// dies of it.
func TestHangup(t *testing.T) {
	s := startLogged(t, nil)
	s.signal(syscall.SIGHUP)
	s.signInAndRefresh()
	s.signal(syscall.SIGTERM)
	s.signal(syscall.SIGHUP)
	if err := s.Wait(); err != nil {
		t.Errorf("after SIGTERM and SIGHUP: %v", err)
	}
}

// TestHangupOfDev closes the terminal of pawl dev, which drains and ends.
func TestHangupOfDev(t *testing.T) {
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("this process ignores SIGHUP, as under nohup, and so do its children")
	}
	dev := testbin.StartDev(t, testbin.Build(t), filepath.Join(t.TempDir(), "data"))
	if err := dev.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := dev.Wait(); err != nil {
		t.Errorf("after SIGHUP: %v", err)
	}
}

// TestSystemdNotify checks the states that a server reports to systemd (sd_notify(3)).
func TestSystemdNotify(t *testing.T) {
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify")})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	want := func(state string) {
		t.Helper()
		if err := socket.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		text := make([]byte, 4096)
		n, err := socket.Read(text)
		if err != nil || !regexp.MustCompile(`^`+state+`\n?$`).Match(text[:n]) {
			t.Errorf("the server reported %q, %v; want %s", text[:n], err, state)
		}
	}
	s := startLogged(t, []string{"NOTIFY_SOCKET=" + socket.LocalAddr().String()})
	want("READY=1")
	s.signal(syscall.SIGHUP)
	want(`RELOADING=1\nMONOTONIC_USEC=\d+`)
	want("READY=1")
	s.signal(syscall.SIGTERM)
	want("STOPPING=1")
	if err := s.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}
