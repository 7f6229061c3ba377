package main

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// certificate is the certificate of the server with its key, from two files. A reload replaces both. Only reloads and
// polls, one at a time, use the fields tried and polled.
type certificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]

	tried  content // at the last reload
	polled content // at the last poll
}

// content identifies the content of both files, or the error of reading them.
type content [sha256.Size]byte

func loadCertificate(certFile, keyFile string) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile}
	return c, c.reload()
}

// reload reads both files. If they cannot be read, or do not belong together, the current pair stays.
func (c *certificate) reload() error {
	cert, key, err := c.read()
	c.tried = contentOf(cert, key, err)
	if err == nil {
		var pair tls.Certificate
		if pair, err = tls.X509KeyPair(cert, key); err == nil {
			c.current.Store(&pair)
			return nil
		}
	}
	return fmt.Errorf("cannot load the certificate: %w", err)
}

func (c *certificate) read() (cert, key []byte, err error) {
	if cert, err = os.ReadFile(c.certFile); err == nil {
		key, err = os.ReadFile(c.keyFile)
	}
	return cert, key, err
}

func contentOf(cert, key []byte, err error) content {
	return sha256.Sum256(fmt.Appendf(nil, "%d %s %s %v", len(cert), cert, key, err))
}

// poll reloads the files if they have changed since the last reload, and have been the same for two polls. A program
// that renews the certificate replaces one file after the other, and the first poll may come in between.
func (c *certificate) poll() (reloaded bool, err error) {
	now := contentOf(c.read())
	settled := now == c.polled
	c.polled = now
	if now == c.tried || !settled {
		return false, nil
	}
	return true, c.reload()
}

// config returns the configuration for HTTPS.
func (c *certificate) config() *tls.Config {
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return c.current.Load(), nil
	}}
}

// notAfter returns when the certificate expires. The result is always known.
func (c *certificate) notAfter() (at time.Time, known bool) {
	return c.current.Load().Leaf.NotAfter, true
}
