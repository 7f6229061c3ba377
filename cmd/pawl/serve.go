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
	"runtime"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/internal/tracing"
)

type serveCmd struct {
	Config  string `placeholder:"FILE" help:"JSON file of settings."`
	Addr    string `default:"${addr}" help:"Address to listen on."`
	Data    string `default:"${data}" placeholder:"DIR" help:"Data folder."`
	TLSCert string `name:"tls-cert" placeholder:"FILE" help:"Certificate chain, PEM; with --tls-key turns on HTTPS."`
	TLSKey  string `name:"tls-key" placeholder:"FILE" help:"Private key, PEM."`

	// Setup is for the first start: it creates a missing store. It has no effect once there is an administrator.
	Setup bool `help:"Create the first administrator in the console, with a code that is printed."`

	// FastLane has no effect with HTTPS.
	FastLane string `default:"${fast_lane}" enum:"on,off" help:"Shorter path for checks and refreshes (${enum})."`

	acmeSettings    `embed:""`
	browserSettings `embed:""`
	issuerSettings  `embed:""`
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

func (c *serveCmd) Run(ctx context.Context, std stdio, parsed *kong.Context, sources *sources) error {
	// From now on SIGHUP no longer ends the process. A reload waits until the server is ready.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	config, err := c.check()
	if err != nil {
		return err
	}
	pair, err := c.checkFiles(config)
	if err != nil {
		return err
	}
	log, err := c.logSettings.open(std.err)
	if err != nil {
		return err
	}
	defer log.close()
	config.Log = log.Logger
	config.AccessLog = log.access
	endTraces, err := startTraces(ctx, &config)
	if err != nil {
		return err
	}
	defer endTraces()
	if c.MetricsAddr != "" {
		config.Metrics = metrics.New(config.Build)
		config.Metrics.Register(metrics.Gauges{LogLinesLost: log.queue.Lost})
	} else if config.Console != "" {
		config.Metrics = metrics.NewRecent()
	}
	config.MustExist, config.Setup = !c.Setup, c.Setup
	config.ConsoleSettings = consoleSettings(parsed, sources, config)
	log.Info("starting", "version", config.Build, "store", config.Store.String(), "procs", runtime.GOMAXPROCS(0))
	a, listener, err := open(ctx, config, c.Addr)
	if err != nil {
		return log.unlessStopped(ctx, explainNoAdministrator(err, storeFlag(config.Store)))
	}
	https, err := c.https(ctx, pair, &config) // after the store, because it may create a folder there
	if err != nil {
		return errors.Join(err, listener.Close(), a.Close())
	}
	web := server.HTTPConfig{
		MaxConnections: allowedConnections(c.MaxConnections, log.Logger), FastLane: c.FastLane == "on", Log: log.Logger,
		MaxConnectionsPerAddress: c.MaxConnectionsPerAddress, TrustedProxies: config.Limits.TrustedProxies, TLS: https,
	}
	if c.MetricsAddr != "" {
		endMetrics, err := serveMetrics(c.MetricsAddr, config.Metrics.Page(), a.Handler, config.Log)
		if err != nil {
			return errors.Join(err, listener.Close(), a.Close())
		}
		defer endMetrics()
	}
	c.reportListening(log, listener.Addr(), web.TLS != nil)
	a.Started(ctx)
	c.beginSetup(ctx, std, log, a, c.baseURL(listener.Addr(), web.TLS != nil))
	notifySystemd(log.Logger, daemon.SdNotifyReady)
	go reload(ctx, hangups, log, pair)
	defer context.AfterFunc(ctx, func() { notifySystemd(log.Logger, daemon.SdNotifyStopping) })()
	return serve(ctx, a, listener, web)
}

// checkFiles reads the files that the settings name, and returns the certificate, if there is one.
func (c *serveCmd) checkFiles(config app.Config) (pair *certificate, err error) {
	if c.TLSCert != "" {
		if pair, err = loadCertificate(c.TLSCert, c.TLSKey); err != nil {
			err = usagef("%w; check --tls-cert and --tls-key", err)
		}
	}
	var devErr error
	if _, err := os.Stat(filepath.Join(c.Data, devEnvFile)); err == nil && config.Store.Kind() == app.SQLite {
		devErr = usagef("the data folder %s is one of pawl dev, whose password is public; choose another --data",
			c.Data)
	}
	return pair, errors.Join(devErr, err, c.checkSigningKeyFile())
}

// https returns the configuration for HTTPS, or nil. The pair is that of the files; it may be nil.
func (c *serveCmd) https(ctx context.Context, pair *certificate, config *app.Config) (*tls.Config, error) {
	if pair != nil {
		config.Metrics.Register(metrics.Gauges{CertificateNotAfter: pair.notAfter})
		return pair.config(), nil
	}
	if len(c.ACMEDomain) == 0 {
		return nil, nil
	}
	certificates, err := c.acmeSettings.open(c.Data)
	if err != nil {
		return nil, err
	}
	config.Metrics.Register(metrics.Gauges{CertificateNotAfter: certificates.notAfter})
	go certificates.run(ctx, config.Log)
	return certificates.config(), nil
}

// reportListening logs the address of the server, and a warning if its network can read what clients send.
func (c *serveCmd) reportListening(log *serverLog, addr net.Addr, tls bool) {
	log.Info("listening", "addr", addr.String(), "tls", tls)
	if !tls && !isLoopback(addr) && len(c.TrustedProxy) == 0 {
		log.Warn("plain HTTP beyond loopback: the network can read passwords and tokens; " +
			"set tls-cert and tls-key, or acme-domain, or trusted-proxy if a gateway in front has TLS")
	}
}

// beginSetup prints the code of the first start, if the store has no administrator. The code is not in the log, which
// others may keep.
func (c *serveCmd) beginSetup(ctx context.Context, std stdio, log *serverLog, a *app.App, base string) {
	if !c.Setup {
		return
	}
	code := a.Console.BeginSetup(context.WithoutCancel(ctx)) // after an error there would seem to be no administrator
	if code == "" {
		return
	}
	log.Warn("the store has no administrator; create one in the console, with the code on standard output")
	fmt.Fprintf(std.out, `The store has no administrator.
Create one at  %s%s/setup
with the code  %s  (once, within an hour)
If the store should have one, stop the server, and check --data or --store.
`, base, a.Console.Path(), code)
}

// baseURL returns the address of the server for a browser, as far as the server can tell.
func (c *serveCmd) baseURL(addr net.Addr, tls bool) string {
	if c.PublicURL != "" {
		return c.PublicURL
	}
	host := addr.String()
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		host = fmt.Sprintf("localhost:%d", tcp.Port)
	}
	if tls {
		return "https://" + host
	}
	return "http://" + host
}

// isLoopback reports whether only this machine can reach an address.
func isLoopback(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
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
	var setupErr error
	if c.Setup && c.Console == "off" {
		setupErr = badSetting("setup", "needs the console, which is off; turn it on, or run pawl init")
	}
	return config, errors.Join(
		setupErr, checkAddress("addr", c.Addr), tlsErr, c.storeSettings.apply(&config), err,
		c.acmeSettings.check(config.Store, c.TLSCert != ""),
		c.browserSettings.apply(&config, c.TLSCert != "" || len(c.ACMEDomain) > 0), c.issuerSettings.apply(&config),
		c.limitSettings.apply(&config),
		c.observeSettings.check(), tracesErr)
}

// checkAddress checks the address in a flag, named without hyphens.
func checkAddress(flag, address string) error {
	if _, err := net.ResolveTCPAddr("tcp", address); err != nil {
		return badSetting(flag, "must be an address to listen on, such as :8080 or 127.0.0.1:8080: %w", err)
	}
	return nil
}

var errSlowStart = errors.New("the store was not opened in time")

// open opens the app and listens. If it returns an error, both are closed. After the end of ctx, it gives up a store
// that takes longer than closeTimeout to open, such as a large file whose schema changes; a kill harms no store.
func open(ctx context.Context, config app.Config, addr string) (*app.App, net.Listener, error) {
	var a *app.App
	var err error
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		a, err = app.Open(ctx, config)
	}()
	select {
	case <-opened:
	case <-ctx.Done():
		select {
		case <-opened:
		case <-time.After(closeTimeout):
			return nil, nil, errSlowStart
		}
	}
	if err != nil {
		return nil, nil, err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, nil, errors.Join(explainListen(err, "addr"), a.Close())
	}
	return a, listener, nil
}

// explainListen returns the error of a listener with what to do. flag names its address, without hyphens.
func explainListen(err error, flag string) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("cannot listen: %w by another process; stop it, or choose another --%s", err, flag)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("cannot listen: %w; ports below 1024 need CAP_NET_BIND_SERVICE, so grant it, "+
			"or choose another --%s", err, flag)
	}
	return fmt.Errorf("cannot listen: %w; choose another --%s", err, flag)
}

// closeTimeout is how long after a signal the app may take to close, with the drain of the requests. The traces and the
// log have the rest of the 10 seconds in which a process exits: tracing.Tracer.Close and logFlushTimeout.
const closeTimeout = 8 * time.Second

// serve serves until ctx ends. It then drains the requests in flight, and closes the app. It gives up an app that does
// not close in time, for example because the database does not answer: everything that was acknowledged is stored.
func serve(ctx context.Context, a *app.App, listener net.Listener, c server.HTTPConfig) error {
	defer tuneHeap(a.Store)()
	c.Handler = a.Handler
	web := server.NewHTTPServer(c)
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	late := time.After(closeTimeout)
	a.StopBackground()
	err = errors.Join(err, web.Shutdown(context.WithoutCancel(ctx)))
	closed := make(chan error, 1)
	go func() { closed <- a.Close() }()
	select {
	case closeErr := <-closed:
		err = errors.Join(err, closeErr)
	case <-late:
		c.Log.Warn("the store was not closed in time; the last audit events may be in the log only")
	}
	if err != nil {
		c.Log.Error("stopped", "err", err)
	} else {
		c.Log.Info("stopped")
	}
	return err
}
