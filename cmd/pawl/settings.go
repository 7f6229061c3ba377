package main

import (
	"cmp"
	"errors"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/crypto/acme"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/console"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/token"
)

// settings configure tokens, sessions and passwords. serve, dev, init and config have them. Each setting is a flag, a
// PAWL_* variable, and a name in the file of --config.
type settings struct {
	// Issuer and Audience have at most 256 bytes. If Issuer is empty, it is PublicURL, or else "pawl".
	Issuer   string `help:"Issuer (iss) of tokens; by default --public-url, or else pawl."`
	Audience string `default:"pawl" help:"Audience (aud) of tokens."`

	// PublicURL is a scheme, a host and perhaps a path. If it is empty, the Host of each request stands for it.
	PublicURL string `name:"public-url" placeholder:"URL" help:"URL of the server for clients."`

	Algorithm token.Algorithm `default:"HS256" enum:"HS256,ES256,EdDSA,RS256" help:"Signing algorithm (${enum})."`

	// SigningKeyFile replaces the signing keys of the store. Its first key signs, and all of its keys verify.
	SigningKeyFile string `placeholder:"FILE" help:"JWK or JWK set to use instead of the signing keys of the store."`

	// KeyLead is at least 1m, so that each node has read the new key before it signs.
	KeyLead time.Duration `default:"${key_lead}" help:"How long a new signing key is published before it signs."`

	TokenLife time.Duration `default:"${token_life}" help:"Life of a token."`

	// IdleLife is at least TokenLife and at most SessionLife. At 0s it is TokenLife.
	IdleLife time.Duration `default:"0s" help:"How long a session can wait for a refresh. 0s: as --token-life."`

	SessionLife time.Duration `default:"${session_life}" help:"Life of a session, which no refresh extends."`

	// MaxSessionsPerUser is from 0, which is no cap, to 10000.
	MaxSessionsPerUser int `default:"${max_sessions}" help:"Sessions of a user; one more ends the least recently used."`

	// BearerGrace and Replay are off at 0s. Each gives an attacker with a superseded token the same window.
	BearerGrace time.Duration `default:"0s" help:"How long the predecessor of a token still passes as a bearer."`

	Replay time.Duration `name:"keyless-retry" default:"0s" help:"Time to replay a refresh without Idempotency-Key."`

	RefreshKey string `default:"${refresh_key}" enum:"optional,required,bound" help:"X-API-Key on a refresh (${enum})."`

	AuditAge time.Duration `default:"${audit_age}" help:"How long the store keeps audit events, at least 1h."`

	// PasswordRule is classes (8 characters or more, of all four classes) or length (15 or more, of any class).
	PasswordRule string `default:"classes" enum:"classes,length" help:"Rule for new passwords (${enum})."`

	PasswordMemory int `default:"${password_memory}" help:"Memory of argon2id, from 8 to 1048576 KiB."`
	PasswordPasses int `default:"${password_passes}" help:"Passes of argon2id, from 1 to 64."`
	PasswordLanes  int `default:"${password_lanes}" help:"Lanes of argon2id, from 1 to 255."`
}

// defaults has the defaults that several commands share, and those that belong to another package.
func defaults() kong.Vars {
	policy := authority.Policy{}.WithDefaults()
	hash := password.Params{}.WithDefaults()
	return kong.Vars{
		"addr":            ":8080",
		"console":         console.DefaultPath,
		"data":            "pawl-data",
		"fast_lane":       "on",
		"store":           "sqlite:",
		"url":             "http://127.0.0.1:8080",
		"acme_directory":  acme.LetsEncryptURL,
		"key_lead":        shortDuration(keyring.DefaultLead),
		"token_life":      shortDuration(policy.TokenLife),
		"session_life":    shortDuration(policy.SessionLife),
		"max_sessions":    strconv.Itoa(authority.DefaultMaxSessionsPerUser),
		"audit_age":       shortDuration(policy.AuditAge),
		"refresh_key":     string(policy.RefreshAPIKey),
		"password_memory": strconv.Itoa(int(hash.MemoryKiB)),
		"password_passes": strconv.Itoa(int(hash.Passes)),
		"password_lanes":  strconv.Itoa(int(hash.Lanes)),
	}
}

// app returns the settings as the configuration of an App with this data folder. The error has all problems.
func (s settings) app(data string) (app.Config, error) {
	publicURL, err := parsePublicURL(s.PublicURL)
	return app.Config{
		Store:          app.StoreAddress{Folder: data},
		Issuer:         s.Issuer,
		Audience:       s.Audience,
		PublicURL:      publicURL,
		Algorithm:      s.Algorithm,
		SigningKeyFile: s.SigningKeyFile,
		KeyLead:        s.KeyLead,
		Policy: authority.Policy{
			TokenLife:          s.TokenLife,
			IdleLife:           s.IdleLife,
			SessionLife:        s.SessionLife,
			MaxSessionsPerUser: s.MaxSessionsPerUser,
			BearerGrace:        s.BearerGrace,
			ReplayWithoutKey:   s.Replay,
			RefreshAPIKey:      authority.RefreshAPIKeyPolicy(s.RefreshKey),
			AuditAge:           s.AuditAge,
		},
		Argon2: password.Params{
			MemoryKiB: uint32(s.PasswordMemory), Passes: uint32(s.PasswordPasses), Lanes: uint8(s.PasswordLanes),
		},
		Rules: password.Rules{LongInsteadOfClasses: s.PasswordRule == "length"},
		Build: thisBuild().Version,
	}, errors.Join(s.check(), err)
}

// check returns an error for each setting out of its range.
func (s settings) check() error {
	var all []error
	for _, d := range []struct {
		name       string
		value, min time.Duration
	}{
		{name: "key-lead", value: s.KeyLead, min: 2 * keyring.DefaultReload},
		{name: "token-life", value: s.TokenLife, min: time.Second},
		{name: "idle-life", value: s.IdleLife},
		{name: "session-life", value: s.SessionLife, min: time.Second},
		{name: "bearer-grace", value: s.BearerGrace},
		{name: "keyless-retry", value: s.Replay},
		{name: "audit-age", value: s.AuditAge, min: time.Hour},
	} {
		if d.value < d.min || d.value%time.Second != 0 || d.value > 10*365*day {
			least := shortDuration(d.min)
			all = append(all, badSetting(d.name, "must be whole seconds, at least %s, at most 10 years", least))
		}
	}
	if s.IdleLife != 0 && (s.IdleLife < s.TokenLife || s.IdleLife > s.SessionLife) {
		all = append(all, badSetting("idle-life", "must be 0s, or from token-life (%s) to session-life (%s)",
			shortDuration(s.TokenLife), shortDuration(s.SessionLife)))
	}
	if s.MaxSessionsPerUser < 0 || s.MaxSessionsPerUser > authority.HighestSessionCap {
		all = append(all, badSetting("max-sessions-per-user", "must be from 0, which is no cap, to %d",
			authority.HighestSessionCap))
	}
	if len(s.Issuer) > 256 {
		all = append(all, badSetting("issuer", "must have at most 256 bytes"))
	}
	if n := len(s.Audience); n < 1 || n > 256 {
		all = append(all, badSetting("audience", "must have 1 to 256 bytes"))
	}
	if s.PasswordMemory < 8 || s.PasswordMemory > 1<<20 {
		all = append(all, badSetting("password-memory", "must be from 8 to 1048576 KiB"))
	}
	if s.PasswordPasses < 1 || s.PasswordPasses > 64 {
		all = append(all, badSetting("password-passes", "must be from 1 to 64"))
	}
	if s.PasswordLanes < 1 || s.PasswordLanes > 255 {
		all = append(all, badSetting("password-lanes", "must be from 1 to 255"))
	}
	return errors.Join(all...)
}

// checkSigningKeyFile reads the signing key file, if there is one, so that its error comes before anything starts.
func (s settings) checkSigningKeyFile() error {
	if s.SigningKeyFile == "" {
		return nil
	}
	if _, err := app.ReadSigningKeyFile(s.SigningKeyFile); err != nil {
		return badSetting("signing-key-file", "cannot be used: %w", err)
	}
	return nil
}

// publicPath matches the paths of a public URL. Other characters would need escapes, which gateways treat differently.
var publicPath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)*$`)

// parsePublicURL checks that a text is empty, or a scheme, a host and perhaps a path, and removes slashes at its end.
func parsePublicURL(text string) (string, error) {
	text = strings.TrimRight(text, "/")
	if text == "" {
		return "", nil
	}
	u, err := url.Parse(text)
	whole := err == nil && u.Host != "" && text == u.Scheme+"://"+u.Host+u.Path && len(text) <= 256
	if !whole || u.Scheme != "https" && u.Scheme != "http" ||
		!publicPath.MatchString(u.Path) || path.Clean("/"+u.Path) != cmp.Or(u.Path, "/") {
		const examples = "https://auth.example.com or https://example.com/auth"
		return "", badSetting("public-url", "must be a URL such as "+examples)
	}
	return text, nil
}
