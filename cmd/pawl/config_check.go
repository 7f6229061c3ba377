package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/pawlauth/pawl/internal/app"
)

// configCheckCmd has the flags of serve, and checks what they name.
type configCheckCmd struct {
	serveCmd `embed:""`
	JSON     bool `name:"json" help:"Print JSON."`
}

func (c *configCheckCmd) Help() string {
	return `Checks the settings, and the files, the certificate, the store and the addresses that they name.
It changes nothing, and the server may keep running. Exit code 2: a setting is wrong, or what it names is.
1: the store is unreachable.

Example:
  pawl config check --config pawl.json`
}

// showsProblems makes run leave the problems of the settings to Run.
func (*configCheckCmd) showsProblems() {}

// checked is one line of the output.
type checked struct {
	What   string `json:"what"`
	Result string `json:"result"` // ok, note or wrong
	Detail string `json:"detail,omitempty"`
}

// Run checks everything, and returns all problems together.
func (c *configCheckCmd) Run(ctx context.Context, std stdio, sources *sources) error {
	config, err := c.check()
	err = errors.Join(sources.problems(), err)
	lines := []checked{{What: "settings", Result: "ok"}}
	if err != nil {
		lines[0].Result = "wrong"
	}
	add := func(what, detail string, note bool, problem error) {
		line := checked{What: what, Result: "ok", Detail: detail}
		switch {
		case problem != nil:
			line = checked{What: what, Result: "wrong", Detail: problem.Error()}
			err = errors.Join(err, problem)
		case note:
			line.Result = "note"
		}
		lines = append(lines, line)
	}
	if c.TLSCert != "" && c.TLSKey != "" {
		detail, note, problem := c.checkCertificate(time.Now())
		add("certificate", detail, note, problem)
	}
	if c.SigningKeyFile != "" {
		add("signing key file", c.SigningKeyFile, false, c.checkSigningKeyFile())
	}
	if c.LogFile != "" {
		add("log file", c.LogFile, false, checkLogFile(c.LogFile))
	}
	for _, file := range []string{c.TLSKey, c.SigningKeyFile, c.MasterKeyFile} {
		if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o004 != 0 {
			add("secret", fmt.Sprintf("every user of this machine can read %s; run chmod o-r on it", file), true, nil)
		}
	}
	if _, storeErr := parseStore("store", c.Store, c.Data); storeErr == nil {
		detail, note, problem := checkStore(ctx, config, c.Setup)
		add("store", detail, note, problem)
	}
	for i, address := range []string{c.Addr, c.MetricsAddr} {
		flag := []string{"addr", "metrics-addr"}[i]
		if address != "" && checkAddress(flag, address) == nil {
			detail, note, problem := c.checkListen(ctx, flag, address)
			add(flag, detail, note, problem)
		}
	}
	return errors.Join(err, c.print(std, lines))
}

func (c *configCheckCmd) print(std stdio, lines []checked) error {
	if c.JSON {
		return printJSON(std.out, lines)
	}
	table := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	for _, line := range lines {
		if line.Result == "wrong" {
			line.Detail = "" // the error has it, with the source of the setting
		}
		fmt.Fprintln(table, strings.TrimRight(line.What+"\t"+line.Result+"\t"+line.Detail, "\t"))
	}
	return table.Flush()
}

// expiresSoon is when the end of a certificate is worth a note: Let's Encrypt renews 30 days before it.
const expiresSoon = 21 * day

// checkCertificate checks the certificate, its key, its times and its names.
func (c *configCheckCmd) checkCertificate(now time.Time) (detail string, note bool, err error) {
	pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return "", false, badSetting("tls-cert", "cannot be used with tls-key: %w", err)
	}
	leaf, expires := pair.Leaf, formatTime(pair.Leaf.NotAfter)
	switch {
	case now.After(leaf.NotAfter):
		return "", false, badSetting("tls-cert", "names a certificate that expired at %s; renew it", expires)
	case now.Before(leaf.NotBefore):
		return "", false, badSetting("tls-cert", "names a certificate that is valid from %s; check the clock",
			formatTime(leaf.NotBefore))
	}
	if public, err := url.Parse(c.PublicURL); err == nil && public.Hostname() != "" {
		if err := leaf.VerifyHostname(public.Hostname()); err != nil {
			return "", false, badSetting("tls-cert", "does not match public-url: %w", err)
		}
	}
	detail = fmt.Sprintf("for %s, expires at %s", strings.Join(leaf.DNSNames, ", "), expires)
	if left := leaf.NotAfter.Sub(now); left < expiresSoon {
		return fmt.Sprintf("%s, in %d days; renew it", detail, left/day), true, nil
	}
	return detail, false, nil
}

// checkLogFile checks that the log can be written, and creates nothing.
func checkLogFile(path string) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		err = file.Close()
	} else if errors.Is(err, os.ErrNotExist) {
		_, err = os.Stat(filepath.Dir(path))
	}
	if err != nil {
		return badSetting("log-file", "cannot be opened: %w", err)
	}
	return nil
}

// checkStore checks that a server could start on the store.
func checkStore(ctx context.Context, config app.Config, setup bool) (detail string, note bool, err error) {
	found, err := app.InspectStore(ctx, config.Store, config.MasterKey)
	if setup && lacksAdministrator(err) {
		detail = fmt.Sprintf("%s, without an administrator; the start prints a code to create one", config.Store)
		return detail, true, nil
	}
	if err != nil {
		return "", false, explainMissing(err, storeFlag(config.Store))
	}
	detail = fmt.Sprintf("%s, schema %d", config.Store, found.Schema)
	if found.Layout != "" {
		detail += ", " + found.Layout
	}
	if found.Schema < found.Latest {
		return fmt.Sprintf("%s; the next start migrates it to %d", detail, found.Latest), true, nil
	}
	return detail, false, nil
}

// checkListen checks that a server could listen on an address. A Pawl that listens there already is only worth a note.
func (c *configCheckCmd) checkListen(ctx context.Context, flag, address string) (detail string, note bool, err error) {
	listener, err := net.Listen("tcp", address)
	if err == nil {
		return address, false, listener.Close()
	}
	health := healthCmd{Addr: address, Live: true, Timeout: 3 * time.Second}
	if flag == "addr" {
		health.TLSCert, health.Domain = c.TLSCert, c.ACMEDomain
	}
	if errors.Is(err, syscall.EADDRINUSE) && health.query(ctx) == nil {
		return address + " is in use by a Pawl that runs already", true, nil
	}
	return "", false, usageError{explainListen(err, flag)}
}
