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

// healthCmd asks the server of the same settings whether it can serve: an
// image without a shell has no curl to do so.
type healthCmd struct {
	Config  string        `placeholder:"FILE" help:"JSON file of settings: that of serve."`
	Addr    string        `default:":8080" help:"Address that the server listens on."`
	TLSCert string        `name:"tls-cert" placeholder:"FILE" help:"The server's, if it has one: asks by HTTPS."`
	Live    bool          `help:"Ask only whether the process answers (/healthz), and not whether its store does (/readyz)."`
	Timeout time.Duration `default:"3s" help:"How long the answer may take."`
}

func (*healthCmd) Help() string {
	return "Exit code 0: it serves. 1: it does not, or does not answer. 2: wrong command line or setting.\n\n" +
		"Example:\n  HEALTHCHECK CMD [\"/pawl\", \"health\"]"
}

func (c *healthCmd) Run(ctx context.Context, std stdio) error {
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
	// No proxy: it is this machine that is asked. The certificate is for the name
	// that clients use, not for this address; nothing secret is sent or believed.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return fmt.Errorf("the server does not answer: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, answer.Status)
	}
	_, err = io.WriteString(std.out, "ok\n")
	return err
}

// url is where the server with this --addr can be asked from its own machine.
func (c *healthCmd) url() (string, error) {
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil || port == "" || port == "0" {
		return "", usagef("--addr %q must be the address that the server listens on, with its port, such as :8080", c.Addr)
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1" // [::] listens there too, and a container may have no ::1
	}
	if c.Timeout <= 0 {
		return "", usagef("--timeout must be more than 0s")
	}
	scheme, path := "http", "/readyz"
	if c.TLSCert != "" {
		scheme = "https"
	}
	if c.Live {
		path = "/healthz"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + path, nil
}
