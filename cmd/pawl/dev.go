package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/server"
)

type devCmd struct {
	Config string `placeholder:"FILE" help:"JSON file of settings."`
	Addr   string `default:"127.0.0.1:8080" help:"Loopback address to listen on."`
	Data   string `default:"pawl-dev" placeholder:"DIR" help:"Data folder."`

	// FastLane has no effect with HTTPS.
	FastLane string `default:"${fast_lane}" enum:"on,off" help:"Shorter path for checks and refreshes (${enum})."`

	browserSettings `embed:""`
	issuerSettings  `embed:""`
	logSettings     `embed:""`
	settings        `embed:""`
}

func (c *devCmd) Help() string {
	return `Example:
  pawl dev --addr 127.0.0.1:9000 --data ./pawl-dev

The users, passwords and API keys are in DIR/dev.env, which a shell can read.`
}

// The user of the examples, and an administrator. The password of the first is public.
const (
	devLogin    = "jsmith@example.com"
	devPassword = "Sup3r$ecret!"
	devUserID   = 4821
	devAdmin    = "admin@example.com"
)

// check returns the settings as the configuration of an App. The error has all problems.
func (c *devCmd) check() (app.Config, error) {
	addrErr := checkAddress("addr", c.Addr)
	host, _, err := net.SplitHostPort(c.Addr)
	if ip := net.ParseIP(host); err == nil && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		addrErr = badSetting("addr", "must be on loopback, such as 127.0.0.1:8080; use pawl serve for other clients")
	}
	config, err := c.app(c.Data)
	config.PrivateReceivers = true
	return config, errors.Join(addrErr, err, c.browserSettings.apply(&config, false), c.issuerSettings.apply(&config))
}

func (c *devCmd) Run(ctx context.Context, std stdio, parsed *kong.Context, sources *sources) error {
	config, err := c.check()
	if err != nil {
		return err
	}
	if !signal.Ignored(syscall.SIGHUP) { // else under nohup
		ctx, _ = signal.NotifyContext(ctx, syscall.SIGHUP) // the terminal was closed; see main
	}
	if err := c.checkSigningKeyFile(); err != nil {
		return err
	}
	log, err := c.logSettings.open(std.err)
	if err != nil {
		return err
	}
	defer log.close()
	config.ConsoleSettings = consoleSettings(parsed, sources, config)
	config.Log = log.Logger
	config.AccessLog = log.access
	endTraces, err := startTraces(ctx, &config)
	if err != nil {
		return err
	}
	defer endTraces()
	level := log.level.Level()
	log.level.Set(max(level, slog.LevelWarn)) // so that the greeting comes first
	a, listener, err := open(ctx, config, c.Addr)
	if err != nil {
		return log.unlessStopped(ctx, err)
	}
	path := filepath.Join(c.Data, devEnvFile)
	env, err := prepareDev(ctx, a, path, "http://"+listener.Addr().String())
	if err != nil {
		return log.unlessStopped(ctx, errors.Join(err, listener.Close(), a.Close()))
	}
	a.Started(ctx)
	link, err := consoleLink(ctx, a, env.url)
	if err != nil {
		return log.unlessStopped(ctx, errors.Join(err, listener.Close(), a.Close()))
	}
	fmt.Fprint(std.out, devBanner(env.url, path, link))
	log.level.Set(level)
	return serve(ctx, a, listener, server.HTTPConfig{FastLane: c.FastLane == "on", Log: log.Logger})
}

// prepareDev creates the two users if they are missing, and writes the file. It keeps the valid passwords and API keys
// of an existing file.
func prepareDev(ctx context.Context, a *app.App, path, url string) (devEnv, error) {
	env := readDevEnv(path)
	env.url = url
	var err error
	_, env.apiKey, err = ensureUser(ctx, a, env.apiKey, devPassword, authority.User{
		ID: devUserID, Login: devLogin, Email: devLogin, FirstName: "John", LastName: "Smith",
		Level: authority.MailboxAdmin, Status: authority.Active,
		Tenant: authority.Tenant{NetworkID: 1, MailboxID: 101},
	})
	if err != nil {
		return env, err
	}
	env.adminPassword, env.adminKey, err = ensureUser(ctx, a, env.adminKey, env.adminPassword, authority.User{
		Login: devAdmin, Email: devAdmin, FirstName: "Ada", LastName: "Admin",
		Level: authority.Root, Status: authority.Active,
		Tenant: authority.Tenant{NetworkID: 1, MailboxID: 101},
	})
	if err != nil {
		return env, err
	}
	return env, env.write(path)
}

// ensureUser creates the user if it is missing, and returns a password and an API key of it. It keeps the given
// password and key if they are valid. A suspended or terminated user stays as it is, because a developer did that.
func ensureUser(ctx context.Context, a *app.App, key, passwd string, u authority.User) (string, string, error) {
	existing, _, err := a.Store.UserByLogin(ctx, u.Login)
	if errors.Is(err, fault.ErrNotFound) {
		if passwd == "" {
			passwd = password.Generate(20)
		}
		_, key, err = a.Authority.Bootstrap(ctx, u, passwd)
		return passwd, key, err
	}
	if err != nil {
		return "", "", err
	}
	if !existing.Status.MaySignIn() {
		return passwd, key, nil
	}
	root := authority.Caller{User: &authority.User{Level: authority.Root}}
	if passwd == "" {
		passwd = password.Generate(20)
		if err := a.Authority.SetPassword(ctx, root, existing.ID, passwd, false); err != nil {
			return "", "", err
		}
	}
	if key == "" || a.Authority.CheckAPIKey(ctx, key, 0) != nil {
		key, err = a.Authority.GeneratePrimaryAPIKey(ctx, root, existing.ID)
	}
	return passwd, key, err
}

// consoleLink returns the lines of the banner with a link that signs in to the console as the administrator, or "" if
// there is no console.
func consoleLink(ctx context.Context, a *app.App, url string) (string, error) {
	if a.Console == nil {
		return "", nil
	}
	admin, _, err := a.Store.UserByLogin(ctx, devAdmin)
	if err != nil {
		return "", err
	}
	return "\nThe admin console; this link signs in as " + devAdmin + ", once:\n  " +
		url + a.Console.NewLink(admin.ID) + "\n", nil
}

func devBanner(url, path, link string) string {
	source := path
	if !filepath.IsAbs(path) {
		source = "./" + path // else "." searches PATH
	}
	return fmt.Sprintf(`Pawl listens on %[1]s
%[4]s
Users, passwords and API keys are in %[2]s
The API, with a form for each call: %[1]s/docs

Sign in:
  set -a; . %[3]s; set +a
  T=$(curl -s "$PAWL_URL/v2/auth/login" -H 'Content-Type: application/json' \
    -d "{\"login\":\"$PAWL_LOGIN\",\"password\":\"$PAWL_PASSWORD\"}" | sed 's/.*"token":"\([^"]*\)".*/\1/')

Refresh (the same token again is rejected):
  curl -s -X POST "$PAWL_URL/v2/auth/refresh" -H "X-API-Key: $ECGRID_API_KEY" \
    -H 'Content-Type: application/json' -d "{ \"token\": \"$T\" }"

Manage it, as its administrator:
  pawl user list

Ctrl-C stops the server. The next start on the same folder continues with the same state.
`, url, path, shellQuote(source), link)
}
