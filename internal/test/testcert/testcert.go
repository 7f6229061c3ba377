// Package testcert makes certificates for tests. Each signs itself.
package testcert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"testing"
	"time"
)

// PEM returns a certificate and its key in PEM. A template without a serial number gets one.
func PEM(template x509.Certificate) (cert, key []byte, err error) {
	if template.SerialNumber == nil {
		template.SerialNumber = big.NewInt(1)
	}
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	signed, err := x509.CreateCertificate(rand.Reader, &template, &template, secret.Public(), secret)
	if err != nil {
		return nil, nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		return nil, nil, err
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), nil
}

// Write writes a certificate for 127.0.0.1 that is valid for a time, and its key. It returns a pool that trusts the
// certificate.
func Write(t testing.TB, certFile, keyFile string, life time.Duration) *x509.CertPool {
	t.Helper()
	cert, key, err := PEM(x509.Certificate{NotAfter: time.Now().Add(life), IPAddresses: []net.IP{{127, 0, 0, 1}}})
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{certFile: cert, keyFile: key} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return roots
}
