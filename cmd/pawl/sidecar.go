package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/server"
)

// sidecarCmd runs beside a gateway on the same machine.
type sidecarCmd struct {
	Config   string `placeholder:"FILE" help:"JSON file of settings."`
	Upstream string `required:"" placeholder:"URL" help:"Address of Pawl; an API key for it is in PAWL_API_KEY."`
	APIKey   string `name:"api-key" hidden:"" help:"Read from PAWL_API_KEY."`

	// Listen must be on loopback, because the gateway sends tokens in plain HTTP.
	Listen string `default:"127.0.0.1:8082" help:"Address on loopback to listen on."`

	// Bound is at least 500ms, because the feed has a beat each 200ms.
	Bound time.Duration `default:"1s" help:"How long a superseded or ended token may pass."`

	// AcceptUnreachable is at most 1h.
	AcceptUnreachable time.Duration `default:"0s" help:"How much longer a token passes while Pawl is unreachable."`

	Issuer   string `help:"Issuer (iss) of the tokens; by default pawl."`
	Audience string `default:"pawl" help:"Audience (aud) of the tokens."`

	observeSettings `embed:""`
}

func (*sidecarCmd) Help() string {
	return `Answers /forward-auth for a gateway on the same machine. It verifies tokens in memory, and follows Pawl's feed of
revocations, so a superseded or ended token is rejected within --bound. It asks Pawl where that is not enough. An API
key of the scope Verify is enough; its user must be of level NetOps or above. docs/verify.md compares the ways to
verify a token.

Example:
  PAWL_API_KEY=pawl_... pawl sidecar --upstream https://auth.example.com --issuer https://auth.example.com`
}

func (c *sidecarCmd) validate() error {
	var problems []error
	if c.APIKey == "" {
		problems = append(problems, usagef("the API key is missing; set PAWL_API_KEY to one of scope Verify"))
	}
	if c.Bound < 500*time.Millisecond || c.Bound > time.Minute {
		problems = append(problems, usagef("--bound must be from 500ms to 1m"))
	}
	if c.AcceptUnreachable < 0 || c.AcceptUnreachable > time.Hour {
		problems = append(problems, usagef("--accept-unreachable must be from 0s to 1h"))
	}
	if address, err := net.ResolveTCPAddr("tcp", c.Listen); err != nil || !isLoopback(address) {
		problems = append(problems, usagef("--listen must be an address on loopback, such as 127.0.0.1:8082, because "+
			"a sidecar speaks plain HTTP, and the network could read the tokens"))
	}
	return errors.Join(append(problems, c.observeSettings.check())...)
}

func (c *sidecarCmd) Run(ctx context.Context, std stdio) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	pawl, err := client.New(c.Upstream, client.WithAPIKey(c.APIKey))
	if err != nil {
		err = usagef("--upstream is invalid: %s", strings.TrimPrefix(err.Error(), "client: "))
	}
	if err = errors.Join(err, c.validate()); err != nil {
		return err
	}
	upstream, err := url.Parse(c.Upstream)
	if err != nil {
		return usagef("--upstream is invalid: %w", err)
	}
	log, err := c.logSettings.open(std.err)
	if err != nil {
		return err
	}
	defer log.close()
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return explainListen(err, "listen")
	}
	verifier := client.NewVerifier(pawl, client.VerifierConfig{
		Issuer: c.Issuer, Audience: c.Audience, Bound: c.Bound, AcceptUnreachable: c.AcceptUnreachable, WithLogin: true,
	})
	defer verifier.Close()
	handler := server.NewSidecar(server.SidecarConfig{
		Upstream: upstream, Verify: verifyForward(verifier), Log: log.Logger, AccessLog: log.access,
		Ready: func() error {
			if verifier.Stats().State == client.VerifierStale {
				return errSidecarStale
			}
			return nil
		},
	})
	if c.MetricsAddr != "" {
		page := metrics.New(thisBuild().Version)
		page.RegisterVerifier(func() metrics.VerifierFigures { return verifierFigures(verifier.Stats()) })
		handler = page.Handler(handler)
		end, err := serveMetrics(c.MetricsAddr, page.Page(), handler, log.Logger)
		if err != nil {
			return errors.Join(err, listener.Close())
		}
		defer end()
	}
	log.Info("listening", "addr", listener.Addr().String(), "upstream", c.Upstream)
	notifySystemd(log.Logger, daemon.SdNotifyReady)
	go reload(ctx, hangups, log, nil)
	go logState(ctx, log, verifier)
	return serveSidecar(ctx, log, listener, handler)
}

var errSidecarStale = errors.New("the feed of revocations is stale")

// maxSidecarConnections limits the connections of the gateway.
const maxSidecarConnections = 4096

// serveSidecar serves until ctx ends, and then drains the requests in flight.
func serveSidecar(ctx context.Context, log *serverLog, listener net.Listener, handler http.Handler) error {
	web := server.NewHTTPServer(server.HTTPConfig{
		Handler: handler, MaxConnections: allowedConnections(maxSidecarConnections, log.Logger),
		Log: log.Logger,
	})
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		notifySystemd(log.Logger, daemon.SdNotifyStopping)
	}
	err = errors.Join(err, web.Shutdown(context.WithoutCancel(ctx)))
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// verifyForward returns the function that verifies tokens for a sidecar.
func verifyForward(v *client.Verifier) func(context.Context, string) (server.ForwardCaller, error) {
	return func(ctx context.Context, token string) (server.ForwardCaller, error) {
		got, err := v.Verify(ctx, token)
		if errors.Is(err, client.ErrInvalidSession) {
			return server.ForwardCaller{}, fault.New(fault.InvalidSession, "The token is not valid.")
		}
		if err != nil {
			return server.ForwardCaller{}, &fault.Error{
				Kind: fault.Unavailable, RetryAfter: time.Second, Err: err,
				Message: "Pawl is unreachable; retry later.",
			}
		}
		level, err := authority.ParseLevel("level", string(got.AuthLevel))
		return server.ForwardCaller{
			UserID: got.UserID, Login: got.Login, Level: level, NetworkID: got.NetworkID, MailboxID: got.MailboxID,
			SessionID: got.SessionID,
		}, err
	}
}

// logState logs the state of a verifier when it becomes stale, and when it recovers.
func logState(ctx context.Context, log *serverLog, v *client.Verifier) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for last := client.VerifierStale; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		stats := v.Stats()
		switch {
		case stats.State == last:
		case stats.State == client.VerifierStale:
			log.Warn("the feed of revocations is stale; each token needs a question", "err", stats.FeedError)
		default:
			log.Info("the feed of revocations works", "state", stats.State.String())
		}
		last = stats.State
	}
}

// verifierFigures returns the figures for the metrics.
func verifierFigures(s client.VerifierStats) metrics.VerifierFigures {
	return metrics.VerifierFigures{
		State: s.State.String(), FeedAge: s.Age.Seconds(),
		Accepted: s.Accepted, Rejected: s.Rejected, Asked: s.Asked,
		Unavailable: s.Unavailable, AcceptedUnreachable: s.AcceptedUnreachable,
		Epochs: s.Epochs, Changes: s.Changes, FeedFailures: s.FeedFailures,
		ChangesKept: uint64(s.Entries), ChangesKeptOverrun: s.Resets,
	}
}
