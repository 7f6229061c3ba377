package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// healthCmd queries the server with the same settings. It is for health checks in an image without curl.
type healthCmd struct {
	Config  string        `placeholder:"FILE" help:"JSON file with the settings of the server."`
	Addr    string        `default:"${addr}" help:"Address that the server listens on."`
	TLSCert string        `name:"tls-cert" placeholder:"FILE" help:"Certificate of the server; if given, use HTTPS."`
	Domain  []string      `name:"acme-domain" placeholder:"NAME" help:"Its name for ACME; if given, use HTTPS."`
	Live    bool          `help:"Check only that the process answers (/healthz), not that its store does (/readyz)."`
	Timeout time.Duration `default:"3s" help:"How long to wait for the answer."`
}

func (*healthCmd) Help() string {
	return `Exit code 0: the server can serve. 1: it cannot, or does not answer. 2: a flag or a setting is invalid.

Example:
  HEALTHCHECK CMD ["/pawl", "health"]`
}

func (c *healthCmd) Run(ctx context.Context, std stdio) error {
	if err := c.query(ctx); err != nil {
		return err
	}
	_, err := io.WriteString(std.out, "ok\n")
	return err
}

// query returns nil if the server answers with 200.
func (c *healthCmd) query(ctx context.Context) error {
	url, err := c.url()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return usagef("--addr: %w", err)
	}
	// There is no proxy, because the server is on this machine. The certificate is not verified, because it is for the
	// name used by clients; the request has no secret in it.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return fmt.Errorf("the server does not answer: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

// url returns the URL to query for a server with this --addr on the same machine.
func (c *healthCmd) url() (string, error) {
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil || port == "" || port == "0" {
		return "", usagef("--addr %q must be the address that the server listens on, such as :8080", c.Addr)
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1" // [::] includes it, and a container may lack ::1
	}
	if c.Timeout <= 0 {
		return "", usagef("--timeout must be more than 0s")
	}
	scheme := "http"
	if c.TLSCert != "" || len(c.Domain) > 0 {
		scheme = "https"
	}
	path := "/readyz"
	if c.Live {
		path = "/healthz"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + path, nil
}
