package main

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"github.com/go-json-experiment/json"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/token"
)

// settings is how a server behaves: of serve, dev and config alike. Each is a
// flag, a PAWL_* variable and a name in the file of --config.
type settings struct {
	Issuer         string          `default:"pawl" help:"Issuer (iss) of tokens."`
	Audience       string          `default:"pawl" help:"Audience (aud) of tokens."`
	Algorithm      token.Algorithm `default:"HS256" enum:"HS256,ES256,EdDSA,RS256" help:"Algorithm of the signing key that Pawl makes (${enum})."`
	SigningKeyFile string          `placeholder:"FILE" help:"Sign with the first key of this JWK (set), whatever --algorithm says, and verify with all of them."`
	KeyLead        time.Duration   `default:"5m" help:"How long a new signing key is published before it signs."`
	PublicURL      string          `name:"public-url" placeholder:"URL" help:"Where clients reach the server, for what it says of itself; the Host of each request if not given."`
	TokenLife      time.Duration   `default:"1h" help:"Life of a token."`
	SessionLife    time.Duration   `default:"720h" help:"Life of a session, which no refresh passes."`
	BearerGrace    time.Duration   `default:"0s" help:"How long the token before the current one still passes as a bearer."`
	KeylessRetry   time.Duration   `default:"0s" help:"How long a refresh without Idempotency-Key is answered again."`
	RefreshKey     string          `default:"optional" enum:"optional,required,bound" help:"X-API-Key on a refresh (${enum})."`
	AuditAge       time.Duration   `default:"2160h" help:"How long events are kept in the audit."`
	PasswordMemory uint32          `default:"19456" help:"Memory of argon2id, in KiB."`
	PasswordPasses uint32          `default:"2" help:"Passes of argon2id."`
	PasswordLanes  uint8           `default:"1" help:"Lanes of argon2id."`
	PasswordRule   string          `default:"classes" enum:"classes,length" help:"New passwords need 8 characters of four classes, or 15 of any (${enum})."`
}

// app checks the settings and gives them the form that app.Open takes.
func (s settings) app(data string) (app.Config, error) {
	whole := func(name string, d, least time.Duration) (time.Duration, error) {
		if d < least || d%time.Second != 0 || d > 10*365*24*time.Hour {
			return 0, usagef("--%s must be whole seconds, at least %s, at most 10 years", name, least)
		}
		return d, nil
	}
	c := app.Config{Store: app.StoreAddress{Folder: data}, Issuer: s.Issuer, Audience: s.Audience, Algorithm: s.Algorithm, SigningKeyFile: s.SigningKeyFile,
		Argon2: password.Params{MemoryKiB: s.PasswordMemory, Passes: s.PasswordPasses, Lanes: s.PasswordLanes},
		Rules:  password.Rules{LongInsteadOfClasses: s.PasswordRule == "length"}, Build: buildVersion()}
	c.Policy.RefreshAPIKey = authority.RefreshAPIKeyPolicy(s.RefreshKey)
	var err error
	if c.PublicURL, err = publicURL(s.PublicURL); err != nil {
		return c, err
	}
	if _, err := whole("key-lead", s.KeyLead, 2*keyring.DefaultReload); err != nil {
		return c, err
	}
	c.KeyLead = s.KeyLead
	for _, d := range []struct {
		name        string
		value       time.Duration
		least       time.Duration
		destination *time.Duration
	}{
		{"token-life", s.TokenLife, time.Second, &c.Policy.TokenLife},
		{"session-life", s.SessionLife, time.Second, &c.Policy.SessionLife},
		{"bearer-grace", s.BearerGrace, 0, &c.Policy.BearerGrace},
		{"keyless-retry", s.KeylessRetry, 0, &c.Policy.ReplayWithoutKey},
		{"audit-age", s.AuditAge, time.Hour, &c.Policy.AuditAge},
	} {
		if *d.destination, err = whole(d.name, d.value, d.least); err != nil {
			return c, err
		}
	}
	if n := max(len(s.Issuer), len(s.Audience)); n > 256 || s.Issuer == "" || s.Audience == "" {
		return c, usagef("--issuer and --audience must have 1 to 256 bytes")
	}
	if s.PasswordMemory < 8 || s.PasswordMemory > 1<<20 || s.PasswordPasses < 1 || s.PasswordPasses > 64 || s.PasswordLanes < 1 {
		return c, usagef("--password-memory must be from 8 to 1048576 KiB, --password-passes from 1 to 64, --password-lanes 1 or more")
	}
	return c, nil
}

// publicURL checks an address of scheme and host; "" stays so.
func publicURL(text string) (string, error) {
	text = strings.TrimRight(text, "/")
	u, err := url.Parse(text)
	if text != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || text != u.Scheme+"://"+u.Host) {
		return "", usagef("--public-url must be a scheme and a host, such as https://auth.example.com")
	}
	return text, nil
}

// settingsFile is the file of --config: a JSON object whose names are those of
// the flags. As a kong resolver it also gives PAWL_* variables, which go first.
type settingsFile struct {
	path   string
	values map[string]any
	err    error // of reading it; said to the commands that have settings
}

// loadFile finds --config or PAWL_CONFIG, and reads the file.
func loadFile(args []string) *settingsFile {
	f := &settingsFile{path: os.Getenv("PAWL_CONFIG"), values: map[string]any{}}
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--config="); ok {
			f.path = value
		} else if arg == "--config" && i+1 < len(args) {
			f.path = args[i+1]
		}
	}
	if f.path == "" {
		return f
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		f.err = usagef("the settings file cannot be read: %w", err)
	} else if err := json.Unmarshal(text, &f.values); err != nil { // refuses a name that is there twice
		f.err = usagef("the settings file %s is not a JSON object: %w", f.path, err)
	} else if f.values == nil {
		f.err = usagef("the settings file %s is not a JSON object: it is null", f.path)
	}
	return f
}

// Validate refuses names that no flag has: a typing error must not pass for a
// setting.
func (f *settingsFile) Validate(application *kong.Application) error {
	known := map[string]bool{}
	for _, command := range application.Children {
		if command.Name == "serve" {
			for _, flag := range command.Flags {
				known[flag.Name] = !unsettable(flag.Name)
			}
		}
	}
	for name, value := range f.values {
		if !known[name] {
			return usagef("the settings file %s: there is no setting %q; \"pawl config\" lists them", f.path, name)
		}
		if _, err := scalar(value); err != nil {
			return usagef("the settings file %s: %s: %v", f.path, name, err)
		}
	}
	return nil
}

// Resolve gives the value of a flag that the command line does not give.
func (f *settingsFile) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if unsettable(flag.Name) {
		return nil, nil
	}
	if f.err != nil {
		return nil, f.err
	}
	if value := os.Getenv(variable(flag.Name)); value != "" {
		return value, nil
	}
	if value, ok := f.values[flag.Name]; ok {
		return scalar(value)
	}
	return nil, nil
}

// source says where the value of a flag comes from, for a flag that is not on
// the command line.
func (f *settingsFile) source(name string) string {
	if os.Getenv(variable(name)) != "" {
		return variable(name)
	}
	if _, ok := f.values[name]; ok {
		return f.path
	}
	return "default"
}

// unsettable are the flags that only the command line can give.
func unsettable(flag string) bool { return slices.Contains([]string{"help", "config", "json"}, flag) }

func variable(flag string) string {
	return "PAWL_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func scalar(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	}
	return "", fmt.Errorf("must be a string, a number, true or false")
}
