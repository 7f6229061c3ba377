package main

import (
	"context"
	"fmt"
	"time"

	"github.com/pawlauth/pawl/internal/bench"
)

type benchCmd struct {
	URL      string        `name:"url" default:"${url}" help:"Address of the server (PAWL_URL)."`
	Login    string        `required:"" help:"Login (PAWL_LOGIN)."`
	Passwd   string        `name:"password" hidden:"" help:"Read from PAWL_PASSWORD."`
	Conns    int           `default:"64" help:"Connections that send concurrently."`
	Sessions int           `help:"Sessions to open; if not given, one for each connection."`
	Duration time.Duration `default:"10s" help:"How long to send requests."`
	Rate     float64       `help:"Requests per second over all connections; 0 is as fast as possible."`
	Mix      bench.Mix     `default:"refresh=1,session=9" help:"Weights: refresh, session, refresh+key, introspect."`
	APIKey   string        `name:"api-key" hidden:"" help:"Read from PAWL_API_KEY."`
	PID      int           `name:"pid" help:"Process id of a server on this machine, to measure its CPU time."`
	JSON     bool          `name:"json" help:"Print JSON."`
}

func (*benchCmd) Help() string {
	return `Sends chains of refreshes: each refresh uses the token that the refresh before it returned.

refresh+key sends an API key beside the token, and introspect sends both to /oauth2/introspect. The API key comes from
PAWL_API_KEY; it must be one of the user or of an admin.

The password comes from PAWL_PASSWORD. Each session needs a sign-in, and pawl serve allows 60 a minute from one address:
start it with --login-rate 0. All sessions belong to one user: start it with --max-sessions-per-user 0 too if there are
more than 1,000.

Example:
  set -a; . ./pawl-dev/dev.env; set +a                         # the login, the password and an API key
  pawl bench --conns 64 --duration 10s --mix refresh=1
  pawl bench --mix refresh+key=1                               # refreshes with an API key
  pawl bench --mix introspect=9,refresh+key=1                  # introspections, as a gateway sends them`
}

// maxSessions limits the connections and sessions, because each session costs the server a password hash.
const maxSessions = 100_000

func (c *benchCmd) check() error {
	switch {
	case c.Passwd == "":
		return usagef("the password is missing; set PAWL_PASSWORD (pawl dev writes it to dev.env)")
	case c.Mix.NeedsKey() && c.APIKey == "":
		return usagef("the API key is missing; set PAWL_API_KEY, or leave refresh+key and introspect out of --mix")
	case c.Conns < 1 || c.Conns > maxSessions:
		return usagef("--conns must be from 1 to %d", maxSessions)
	case c.Sessions < c.Conns || c.Sessions > maxSessions:
		return usagef("--sessions must be from --conns (%d) to %d; a chain has one connection", c.Conns, maxSessions)
	case c.Duration <= 0 || c.Duration > 24*time.Hour:
		return usagef("--duration must be above 0 and at most 24h")
	case !(c.Rate >= 0 && c.Rate <= 1e7): // NaN fails too
		return usagef("--rate must be from 0 to 10000000")
	}
	return nil
}

func (c *benchCmd) Run(ctx context.Context, std stdio) error {
	if c.Sessions == 0 {
		c.Sessions = c.Conns
	}
	if err := c.check(); err != nil {
		return err
	}
	progress := func(string) {}
	if isTerminal(std.err) {
		progress = func(text string) { fmt.Fprintf(std.err, "\r%-60s", text) } // overwrites the line
		defer fmt.Fprintln(std.err)
	}
	load, err := bench.Open(ctx, c.URL, c.Login, c.Passwd, c.Sessions, progress)
	if err != nil {
		return err
	}
	result, err := load.Run(ctx, bench.Plan{
		Conns: c.Conns, Duration: c.Duration, Rate: c.Rate, Mix: c.Mix, APIKey: c.APIKey, PID: c.PID,
		Progress: progress,
	})
	if err != nil {
		return err
	}
	progress("")
	if c.JSON {
		return printJSON(std.out, result)
	}
	return result.Print(std.out)
}
