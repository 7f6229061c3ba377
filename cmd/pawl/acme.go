package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
	"golang.org/x/net/idna"

	"github.com/pawlauth/pawl/internal/app"
)

// acmeSettings get certificates from an authority with ACME (RFC 8555), by the challenge tls-alpn-01 (RFC 8737): the
// authority connects to port 443 of the domain, which must lead to this server.
type acmeSettings struct {
	// ACMEDomain are whole names, without a wildcard. With them, the operator accepts the terms of the authority.
	ACMEDomain []string `name:"acme-domain" placeholder:"NAME" help:"Name to get a certificate for; may be repeated."`

	// ACMEEmail is optional.
	ACMEEmail string `name:"acme-email" placeholder:"ADDRESS" help:"Where the authority may send warnings."`

	// ACMEDirectory is an HTTPS URL.
	ACMEDirectory string `name:"acme-directory" default:"${acme_directory}" placeholder:"URL" help:"Authority."`

	// ACMECache has mode 0700 and its files 0600, because they have the private keys. If empty, it is "acme" in the
	// data folder. PostgreSQL needs it, because the nodes of a domain share one folder.
	ACMECache string `name:"acme-cache" placeholder:"DIR" help:"Folder for certificates and keys; else DATA/acme."`
}

// check returns all problems of the settings. withFiles means that tls-cert is set, too.
func (s acmeSettings) check(store app.StoreAddress, withFiles bool) error {
	if len(s.ACMEDomain) == 0 {
		return nil
	}
	var all []error
	if withFiles {
		all = append(all, badSetting("acme-domain", "and tls-cert exclude each other; give one of them"))
	}
	for _, name := range s.ACMEDomain {
		ascii, err := idna.Lookup.ToASCII(name)
		_, ipErr := netip.ParseAddr(name)
		if err != nil || ipErr == nil || ascii != name || !strings.Contains(strings.Trim(name, "."), ".") {
			all = append(all, badSetting("acme-domain",
				"must have whole names in lower case such as auth.example.com, and %q is none", name))
		}
	}
	if u, err := url.Parse(s.ACMEDirectory); err != nil || u.Scheme != "https" || u.Host == "" {
		all = append(all, badSetting("acme-directory", "must be an https URL"))
	}
	if s.ACMECache == "" && store.Kind() == app.Postgres {
		all = append(all, badSetting("acme-cache", "is needed with PostgreSQL: name a folder that all nodes share"))
	}
	return errors.Join(all...)
}

// acmeCertificates gets certificates when clients or run ask for them, and renews them.
type acmeCertificates struct {
	domains []string
	manager *autocert.Manager

	mu      sync.Mutex
	expires map[string]time.Time // by element of domains; guarded by mu
}

// open creates the folder for the certificates.
func (s acmeSettings) open(data string) (*acmeCertificates, error) {
	folder := s.ACMECache
	if folder == "" {
		folder = filepath.Join(data, "acme")
	}
	err := os.MkdirAll(folder, 0o700)
	if err == nil {
		err = os.Chmod(folder, 0o700) // it may have existed
	}
	if err != nil {
		return nil, badSetting("acme-cache", "cannot be used: %w", err)
	}
	return &acmeCertificates{
		domains: s.ACMEDomain,
		manager: &autocert.Manager{
			Prompt:     autocert.AcceptTOS,
			Cache:      autocert.DirCache(folder),
			HostPolicy: autocert.HostWhitelist(s.ACMEDomain...),
			Email:      s.ACMEEmail,
			Client:     &acme.Client{DirectoryURL: s.ACMEDirectory, UserAgent: "pawl/" + thisBuild().Version},
		},
		expires: map[string]time.Time{},
	}, nil
}

// config returns the configuration for HTTPS.
func (c *acmeCertificates) config() *tls.Config {
	config := c.manager.TLSConfig()
	config.GetCertificate = c.get
	return config
}

// get returns the certificate of a handshake. A client without a server name, such as a health check by address, gets
// that of the first domain.
func (c *acmeCertificates) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if hello.ServerName == "" {
		named := *hello
		named.ServerName = c.domains[0]
		hello = &named
	}
	certificate, err := c.manager.GetCertificate(hello)
	challenge := slices.Contains(hello.SupportedProtos, acme.ALPNProto)
	// A name has any number of spellings, such as those of full-width letters, for which autocert has the certificate
	// too. Only the domains themselves are kept, so that clients cannot fill the memory.
	domain := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if err == nil && !challenge && certificate.Leaf != nil && slices.Contains(c.domains, domain) {
		c.mu.Lock()
		c.expires[domain] = certificate.Leaf.NotAfter
		c.mu.Unlock()
	}
	return certificate, err
}

// notAfter returns when the first of the certificates expires, or false if there is none yet.
func (c *acmeCertificates) notAfter() (first time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range c.expires {
		if !ok || at.Before(first) {
			first, ok = at, true
		}
	}
	return first, ok
}

const (
	acmeRetry   = time.Minute // autocert answers from its memory for so long after an error
	acmeRefresh = time.Hour   // for notAfter after a renewal
)

// run gets each certificate before the first client needs it, so that the log has the reason if that is not possible.
func (c *acmeCertificates) run(ctx context.Context, log *slog.Logger) {
	var group sync.WaitGroup
	defer group.Wait()
	for _, domain := range c.domains {
		group.Go(func() { c.keep(ctx, domain, log) })
	}
}

func (c *acmeCertificates) keep(ctx context.Context, domain string, log *slog.Logger) {
	ecdsa := []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256} // as all current clients support
	known := false
	for {
		pair, err := c.get(&tls.ClientHelloInfo{ServerName: domain, CipherSuites: ecdsa})
		wait := acmeRefresh
		switch {
		case err != nil:
			log.Error("cannot get a certificate; the server tries again", "domain", domain, "err", err)
			wait = acmeRetry
		case !known:
			known = true
			log.Info("certificate", "domain", domain, "notAfter", formatTime(pair.Leaf.NotAfter))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func formatTime(at time.Time) string { return at.UTC().Format(time.RFC3339) }
