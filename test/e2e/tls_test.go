package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/test/testbin"
	"github.com/pawlauth/pawl/internal/test/testcert"
)

// serial counts the certificates.
var serial atomic.Int64

// certificate writes a certificate for 127.0.0.1 and its key, and returns their paths and a pool that trusts the
// certificate. No two of them expire at the same time.
func certificate(t *testing.T) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	return cert, key, testcert.Write(t, cert, key, time.Hour+time.Duration(serial.Add(1))*time.Minute)
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
