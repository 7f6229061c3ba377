package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/test/testbin"
)

// serial counts the certificates.
var serial atomic.Int64

// certificate writes a certificate for 127.0.0.1 and its key, and returns their paths and a pool that trusts the
// certificate.
func certificate(t *testing.T) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	expires := time.Now().Add(time.Hour + time.Duration(serial.Add(1))*time.Minute) // of no other certificate
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: expires, IPAddresses: []net.IP{{127, 0, 0, 1}},
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, secret.Public(), secret)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	write := func(name, kind string, der []byte) string {
		path, text := filepath.Join(t.TempDir(), name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		roots.AppendCertsFromPEM(text)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", signed), write("key.pem", "PRIVATE KEY", private), roots
}

// TestTLS sends requests over HTTPS with HTTP/1.1 and with HTTP/2, where the server must limit the concurrent requests
// of a connection.
func TestTLS(t *testing.T) {
	cert, key, roots := certificate(t)
	binary, data := testbin.Build(t), filepath.Join(t.TempDir(), "data")
	testbin.Init(t, binary, nil, "--data", data)
	server := testbin.StartServe(t, binary, nil, "--data", data, "--tls-cert", cert, "--tls-key", key)
	address := strings.TrimPrefix(server.URL, "http://")
	for _, http2 := range []bool{false, true} {
		client := &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: http2,
		}}
		defer client.CloseIdleConnections()
		resp, err := client.Get("https://" + address + "/v2/auth/version")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 || (resp.ProtoMajor == 2) != http2 {
			t.Errorf("status %d with %s; want 200, HTTP/2: %v", resp.StatusCode, resp.Proto, http2)
		}
	}
	if limit := maxStreams(t, address, roots); limit != 32 {
		t.Errorf("a connection may have %d concurrent requests, want 32", limit)
	}
}

// maxStreams reads SETTINGS_MAX_CONCURRENT_STREAMS from the server's first frame (RFC 9113, 4.1 and 6.5). It returns 0
// if the setting is missing.
func maxStreams(t *testing.T, address string, roots *x509.CertPool) uint32 {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	if _, err := io.WriteString(conn, preface); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 9)
	if _, err := io.ReadFull(conn, head); err != nil || head[3] != 4 {
		t.Fatalf("%x is not the header of a SETTINGS frame: %v", head, err)
	}
	settings := make([]byte, int(head[1])<<8|int(head[2]))
	if _, err := io.ReadFull(conn, settings); err != nil {
		t.Fatal(err)
	}
	for ; len(settings) >= 6; settings = settings[6:] {
		if binary.BigEndian.Uint16(settings) == 3 {
			return binary.BigEndian.Uint32(settings[2:])
		}
	}
	return 0
}
