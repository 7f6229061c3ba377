package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/server"
)

type serveCmd struct {
	Config  string `placeholder:"FILE" help:"JSON file of settings."`
	Addr    string `default:":8080" help:"Address to listen on."`
	Data    string `default:"pawl-data" placeholder:"DIR" help:"Data folder."`
	TLSCert string `name:"tls-cert" placeholder:"FILE" help:"Certificate chain, PEM; with --tls-key turns on HTTPS."`
	TLSKey  string `name:"tls-key" placeholder:"FILE" help:"Private key, PEM."`

	limitSettings   `embed:""`
	storeSettings   `embed:""`
	observeSettings `embed:""`
	settings        `embed:""`
}

func (c *serveCmd) Help() string {
	return "Example:\n  pawl init --login admin@example.com --data /var/lib/pawl\n  pawl serve --data /var/lib/pawl --addr :8443 --tls-cert cert.pem --tls-key key.pem"
}

// check refuses settings that do not go together.
func (c *serveCmd) check() (app.Config, error) {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return app.Config{}, usagef("--tls-cert and --tls-key go together: give both or neither")
	}
	config, err := c.app(c.Data)
	if err == nil {
		err = c.apply(&config)
	}
	if err == nil {
		err = c.limit(&config)
	}
	if err == nil {
		err = c.checkTraces()
	}
	return config, err
}

func (c *serveCmd) Run(ctx context.Context, std stdio) error {
	config, err := c.check()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(c.Data, "dev.env")); err == nil && config.Store.Kind() == app.SQLite {
		return usagef("the data folder %s was made by pawl dev, and everyone knows its password: choose another with --data", c.Data)
	}
	config.Log = newLogger(std.err)
	end, err := c.observe(ctx, &config)
	if err != nil {
		return err
	}
	defer end()
	a, listener, err := open(ctx, config, c.Addr)
	if err != nil {
		return err
	}
	config.Log.Info("listening", "addr", listener.Addr().String(), "tls", c.TLSCert != "")
	return serve(ctx, a, config.Log, server.LimitConnections(listener, c.MaxConnections), c.TLSCert, c.TLSKey)
}

// open opens the app and listens; with an error both are closed.
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

func newLogger(w io.Writer) *slog.Logger {
	return slog.New(server.LogHandler(slog.NewJSONHandler(w, nil)))
}

// requestsOfConn is how many requests one connection of HTTP/2 may have at once:
// --max-connections bounds the memory only if it is few, and net/http takes 250.
const requestsOfConn = 32

// drainTimeout is how long requests in flight may take after a SIGTERM.
const drainTimeout = 8 * time.Second

// serve answers until ctx ends, then lets the requests in flight end, and
// closes the app, whether the drain was in time or not.
func serve(ctx context.Context, a *app.App, log *slog.Logger, listener net.Listener, cert, key string) error {
	defer holdHeapFloor()()
	a.Started(ctx)
	srv := &http.Server{
		Handler:           a.Handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: requestsOfConn},
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() {
		if cert != "" {
			failed <- srv.ServeTLS(listener, cert, key)
		} else {
			failed <- srv.Serve(listener)
		}
	}()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		drain, cancel := context.WithTimeout(context.Background(), drainTimeout)
		defer cancel()
		err = srv.Shutdown(drain)
		if errors.Is(err, context.DeadlineExceeded) {
			err = srv.Close()
		}
	}
	return errors.Join(err, a.Close())
}
