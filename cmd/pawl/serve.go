package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/internal/tracing"
)

type serveCmd struct {
	Config  string `placeholder:"FILE" help:"JSON file of settings."`
	Addr    string `default:"${addr}" help:"Address to listen on."`
	Data    string `default:"${data}" placeholder:"DIR" help:"Data folder."`
	TLSCert string `name:"tls-cert" placeholder:"FILE" help:"Certificate chain, PEM; with --tls-key turns on HTTPS."`
	TLSKey  string `name:"tls-key" placeholder:"FILE" help:"Private key, PEM."`

	limitSettings   `embed:""`
	storeSettings   `embed:""`
	observeSettings `embed:""`
	settings        `embed:""`
}

func (c *serveCmd) Help() string {
	return `Example:
  pawl init --login admin@example.com --data /var/lib/pawl
  pawl serve --data /var/lib/pawl --addr :8443 --tls-cert cert.pem --tls-key key.pem

Each option is also a variable, PAWL_ADDR for --addr, and a name in the file of --config. Put secrets into variables
or files, because every user of the machine can read the arguments of a process: an address with a password into
PAWL_STORE, the master key into PAWL_MASTER_KEY. docs/settings.md describes each setting.`
}

func (c *serveCmd) Run(ctx context.Context, std stdio) error {
	// From now on SIGHUP no longer ends the process. A reload waits until the server is ready.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	config, err := c.check()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(c.Data, devEnvFile)); err == nil && config.Store.Kind() == app.SQLite {
		return usagef("the data folder %s is one of pawl dev, whose password is public; choose another --data", c.Data)
	}
	var pair *certificate
	if c.TLSCert != "" {
		if pair, err = loadCertificate(c.TLSCert, c.TLSKey); err != nil {
			err = usagef("%w; check --tls-cert and --tls-key", err)
		}
	}
	if err = errors.Join(err, c.checkSigningKeyFile()); err != nil {
		return err
	}
	log, err := openLog(c.LogFile, std.err)
	if err != nil {
		return err
	}
	defer log.close()
	config.Log = log.Logger
	web := server.HTTPConfig{
		MaxConnections: c.MaxConnections, MaxConnectionsPerAddress: c.MaxConnectionsPerAddress,
		TrustedProxies: config.Limits.TrustedProxies, Log: log.Logger,
	}
	if pair != nil {
		web.TLS = &tls.Config{GetCertificate: pair.get}
	}
	endTraces, err := c.observe(ctx, &config, log)
	if err != nil {
		return err
	}
	defer endTraces()
	config.MustExist = true
	a, listener, err := open(ctx, config, c.Addr)
	if err != nil {
		return explainMissing(err, storeFlag(config.Store))
	}
	if c.MetricsAddr != "" {
		endMetrics, err := serveMetrics(c.MetricsAddr, config.Metrics.Page(), a.Handler, config.Log)
		if err != nil {
			return errors.Join(err, listener.Close(), a.Close())
		}
		defer endMetrics()
	}
	log.Info("listening", "addr", listener.Addr().String(), "tls", web.TLS != nil)
	notifySystemd(log.Logger, daemon.SdNotifyReady)
	go reloadOnHangup(ctx, hangups, log, pair)
	stopNotify := context.AfterFunc(ctx, func() { notifySystemd(log.Logger, daemon.SdNotifyStopping) })
	defer stopNotify()
	return serve(ctx, a, listener, web)
}

// check returns the settings as the configuration of an App. The error has all problems.
func (c *serveCmd) check() (app.Config, error) {
	var tlsErr error
	if c.TLSCert != "" && c.TLSKey == "" {
		tlsErr = badSetting("tls-cert", "needs tls-key too; give both or neither")
	} else if c.TLSKey != "" && c.TLSCert == "" {
		tlsErr = badSetting("tls-key", "needs tls-cert too; give both or neither")
	}
	config, err := c.app(c.Data)
	_, tracesErr := tracing.Wanted(os.Getenv)
	if tracesErr != nil {
		tracesErr = usageError{tracesErr}
	}
	return config, errors.Join(
		checkAddress("addr", c.Addr), tlsErr, c.storeSettings.apply(&config), err,
		c.limitSettings.apply(&config), c.observeSettings.check(), tracesErr)
}

// checkAddress checks the address in a flag, named without hyphens.
func checkAddress(flag, address string) error {
	if _, err := net.ResolveTCPAddr("tcp", address); err != nil {
		return badSetting(flag, "must be an address to listen on, such as :8080 or 127.0.0.1:8080: %w", err)
	}
	return nil
}

// open opens the app and listens. If it returns an error, both are closed.
func open(ctx context.Context, config app.Config, addr string) (*app.App, net.Listener, error) {
	a, err := app.Open(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("cannot listen: %w; choose another --addr", err), a.Close())
	}
	return a, listener, nil
}

// serve serves until ctx ends. It then drains the requests in flight, and closes the app.
func serve(ctx context.Context, a *app.App, listener net.Listener, c server.HTTPConfig) error {
	defer tuneHeap(a.Store)()
	a.Started(ctx)
	c.Handler = a.Handler
	web := server.NewHTTPServer(c)
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		err = web.Shutdown(context.WithoutCancel(ctx))
	}
	return errors.Join(err, a.Close())
}
