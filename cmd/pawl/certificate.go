package main

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
)

// certificate is the certificate of the server with its key. A reload replaces both.
type certificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]
}

func loadCertificate(certFile, keyFile string) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile}
	return c, c.reload()
}

// reload reads both files. If they cannot be read, or do not belong together, the current pair stays.
func (c *certificate) reload() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("cannot load the certificate: %w", err)
	}
	c.current.Store(&pair)
	return nil
}

// get returns the current pair for a handshake.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}
