package main

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/test/testcert"
)

// withCertificate returns certificates whose cache has one of a domain, so that they need no authority.
func withCertificate(t *testing.T, domain string, notAfter time.Time) *acmeCertificates {
	t.Helper()
	cert, key, err := testcert.PEM(x509.Certificate{
		DNSNames: []string{domain}, NotBefore: time.Now().Add(-time.Hour), NotAfter: notAfter,
	})
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	settings := acmeSettings{ACMEDomain: []string{domain}, ACMEDirectory: "https://127.0.0.1:1/"}
	certificates, err := settings.open(data)
	if err == nil {
		err = os.WriteFile(filepath.Join(data, "acme", domain), append(key, cert...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return certificates
}

// TestACMENames connects with many spellings of the server name. Each of them gets the certificate, but the memory has
// one entry for each configured domain.
func TestACMENames(t *testing.T) {
	notAfter := time.Now().Add(1000 * time.Hour).Truncate(time.Second)
	certificates := withCertificate(t, "auth.example.com", notAfter)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", certificates.config())
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_ = conn.(*tls.Conn).Handshake() // the client reports an error
			}()
		}
	}()
	names := []string{"", "auth.example.com", "AUTH.example.com", "unknown.example.com"}
	for i := range 1 << len("auth") { // in full-width letters, which IDNA maps to those of ASCII
		name := []rune("auth")
		for bit := range name {
			if i>>bit&1 == 1 {
				name[bit] += 'ａ' - 'a'
			}
		}
		names = append(names, string(name)+".example.com")
	}
	for _, name := range names {
		conn, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		client := tls.Client(conn, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err := client.Handshake(); (err == nil) == (name == "unknown.example.com") {
			t.Errorf("%q: %v", name, err)
		}
		client.Close()
	}
	if got, ok := certificates.notAfter(); !ok || !got.Equal(notAfter) {
		t.Errorf("the certificate expires at %v, want %v", got, notAfter)
	}
	if n := len(certificates.expires); n != 1 {
		t.Errorf("the memory has %d names, want 1", n)
	}
}
