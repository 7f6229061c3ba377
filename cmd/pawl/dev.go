package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/server"
)

type devCmd struct {
	Config   string `placeholder:"FILE" help:"JSON file of settings."`
	Addr     string `default:"127.0.0.1:8080" help:"Loopback address to listen on."`
	Data     string `default:"pawl-dev" placeholder:"DIR" help:"Data folder."`
	settings `embed:""`
}

func (c *devCmd) Help() string {
	return "Example:\n  pawl dev --addr 127.0.0.1:9000 --data ./pawl-dev\n\nThe users, passwords and keys are in DIR/dev.env, for a shell to read."
}

// The user of the seed page, and the administrator beside it.
const (
	devLogin    = "jsmith@example.com"
	devPassword = "Sup3r$ecret!"
	devUserID   = 4821
	devAdmin    = "admin@example.com"
)

func (c *devCmd) Run(ctx context.Context, std stdio) error {
	host, _, err := net.SplitHostPort(c.Addr)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return usagef("pawl dev listens on loopback only: give --addr 127.0.0.1:PORT, or use pawl serve")
	}
	config, err := c.app(c.Data)
	if err != nil {
		return err
	}
	config.Log = newLogger(std.err)
	a, listener, err := open(ctx, config, c.Addr)
	if err != nil {
		return err
	}
	env, err := prepareDev(ctx, a, filepath.Join(c.Data, "dev.env"), "http://"+listener.Addr().String())
	if err != nil {
		return errors.Join(err, listener.Close(), a.Close())
	}
	fmt.Fprint(std.out, devBanner(env, filepath.Join(c.Data, "dev.env")))
	return serve(ctx, a, listener, server.HTTPConfig{Log: config.Log})
}

// devEnv is the file that a shell reads.
type devEnv struct {
	url, apiKey, adminPassword, adminKey string
}

func (e devEnv) pairs() [][2]string {
	return [][2]string{
		{"PAWL_URL", e.url}, {"ECGRID_API_KEY", e.apiKey},
		{"PAWL_LOGIN", devLogin}, {"PAWL_PASSWORD", devPassword},
		{"PAWL_ADMIN_LOGIN", devAdmin}, {"PAWL_ADMIN_PASSWORD", e.adminPassword}, {"PAWL_ADMIN_API_KEY", e.adminKey},
	}
}

// prepareDev makes the two users if they are not there yet. What the file has
// is kept as long as it is still right; what is lost is made anew.
func prepareDev(ctx context.Context, a *app.App, path, url string) (devEnv, error) {
	old := readEnv(path)
	env := devEnv{url: url, apiKey: old["ECGRID_API_KEY"], adminPassword: old["PAWL_ADMIN_PASSWORD"], adminKey: old["PAWL_ADMIN_API_KEY"]}
	var err error
	_, env.apiKey, err = ensureUser(ctx, a, env.apiKey, devPassword, authority.User{
		ID: devUserID, Login: devLogin, Email: devLogin, FirstName: "John", LastName: "Smith",
		Level: authority.MailboxAdmin, Status: authority.Active, Tenant: authority.Tenant{NetworkID: 1, MailboxID: 101}})
	if err != nil {
		return env, err
	}
	env.adminPassword, env.adminKey, err = ensureUser(ctx, a, env.adminKey, env.adminPassword, authority.User{
		Login: devAdmin, Email: devAdmin, FirstName: "Ada", LastName: "Admin",
		Level: authority.Root, Status: authority.Active, Tenant: authority.Tenant{NetworkID: 1, MailboxID: 101}})
	if err != nil {
		return env, err
	}
	var text strings.Builder
	text.WriteString("# Made by pawl dev; read it with: set -a; . FILE; set +a\n")
	for _, pair := range env.pairs() {
		fmt.Fprintf(&text, "%s=%s\n", pair[0], shellQuote(pair[1]))
	}
	return env, writeSecret(path, text.String())
}

// ensureUser returns a password and a key of the user. What the file had is
// kept; a key that does not work any more is replaced.
func ensureUser(ctx context.Context, a *app.App, key, passwd string, u authority.User) (string, string, error) {
	known, _, err := a.Store.UserByLogin(ctx, u.Login)
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
	if !known.Status.MaySignIn() {
		return passwd, key, nil // someone tries what that does: it stays so
	}
	root := authority.Caller{User: &authority.User{Level: authority.Root}}
	if passwd == "" {
		passwd = password.Generate(20)
		if err := a.Authority.SetPassword(ctx, root, known.ID, passwd); err != nil {
			return "", "", err
		}
	}
	if key == "" || a.Authority.CheckAPIKey(ctx, key) != nil {
		key, err = a.Authority.GeneratePrimaryAPIKey(ctx, root, known.ID)
	}
	return passwd, key, err
}

// readEnv reads what an earlier run wrote; a file that is missing or damaged
// gives nothing, and is written again.
func readEnv(path string) map[string]string {
	values := map[string]string{}
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && len(value) >= 2 && value[0] == '\'' && value[len(value)-1] == '\'' {
			values[name] = strings.ReplaceAll(value[1:len(value)-1], `'\''`, `'`)
		}
	}
	return values
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// writeSecret puts a file in its place whole, readable by its owner alone.
func writeSecret(path, text string) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".dev.env-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.WriteString(text)
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

func devBanner(e devEnv, path string) string {
	return fmt.Sprintf(`Pawl listens on %[1]s
Users, passwords and keys are in %[2]s

Sign in:
  set -a; . %[3]s; set +a
  T=$(curl -s "$PAWL_URL/v2/auth/login" -H 'Content-Type: application/json' -d "{\"login\":\"$PAWL_LOGIN\",\"password\":\"$PAWL_PASSWORD\"}" | sed 's/.*"token":"\([^"]*\)".*/\1/')

Refresh (a second time with the same token is refused):
  curl -s -X POST "$PAWL_URL/v2/auth/refresh" -H "X-API-Key: $ECGRID_API_KEY" -H 'Content-Type: application/json' -d "{ \"token\": \"$T\" }"

End with Ctrl-C; started again on the same folder, it goes on.
`, e.url, path, shellQuote(sourcePath(path)))
}

// sourcePath gives a path that "." finds without searching PATH.
func sourcePath(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return "./" + path
}
