//go:build linux

package cluster_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// pawl runs one command of the real binary, and returns both its streams.
func pawl(t *testing.T, binary string, env []string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// TestSeedFlow runs three real servers on one database, and takes each step of
// the seed page's flow to another of them.
func TestSeedFlow(t *testing.T) {
	binary := testbin.Build(t)
	cluster := pgtest.Start(t)
	env := []string{"PAWL_STORE=" + cluster.DSN(cluster.Database(t)), "PAWL_MASTER_KEY=" + seal.NewKey()}
	stdout, stderr, err := pawl(t, binary, env, "init", "--login", login, "--json")
	var made struct{ Password, APIKey string }
	if err != nil || json.Unmarshal([]byte(stdout), &made) != nil {
		t.Fatalf("init: %v\n%s%s", err, stdout, stderr)
	}
	var servers []*testbin.Server
	for range 3 {
		servers = append(servers, testbin.StartServe(t, binary, env))
	}
	c := fromServers(t, servers)
	body, _ := json.Marshal(api.LoginRequest{Login: login, Password: made.Password})
	status, old := c.call(0, "/v2/auth/login", string(body))
	if status != 200 || !strings.HasPrefix(old, "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.") {
		t.Fatalf("login: %d %.40s", status, old)
	}
	c.everywhere(old, 200)
	status, next := c.call(1, "/v2/auth/refresh", `{"token":"`+old+`"}`, "X-API-Key: "+made.APIKey)
	if status != 200 {
		t.Fatalf("refresh: %d", status)
	}
	c.everywhere(old, 401)
	c.everywhere(next, 200)
	if status, _ := c.refresh(2, old, ""); status != 401 {
		t.Errorf("the old token is refreshed: %d", status)
	}
	status, first := c.refresh(2, next, "k1")
	if again, same := c.refresh(0, next, "k1"); status != 200 || again != 200 || first != same {
		t.Errorf("with an Idempotency-Key: %d, then %d; the same: %v", status, again, first == same)
	}
	if status, _ := c.call(1, "/v2/auth/logout", "", "Authorization: Bearer "+first); status != 200 {
		t.Errorf("logout: %d", status)
	}
	c.everywhere(first, 401)
}

func fromServers(t *testing.T, servers []*testbin.Server) *nodes {
	c := &nodes{T: t, http: newClient(t)}
	for _, s := range servers {
		c.all = append(c.all, node{url: s.URL})
	}
	return c
}

// TestStartRefused: each thing that keeps a node from starting is said, with
// what to do, on standard error; the password is not.
func TestStartRefused(t *testing.T) {
	binary := testbin.Build(t)
	cluster := pgtest.Start(t)
	key := seal.NewKey()
	good := cluster.DSN(cluster.Database(t))
	if _, stderr, err := pawl(t, binary, []string{"PAWL_STORE=" + good, "PAWL_MASTER_KEY=" + key}, "init", "--login", login); err != nil {
		t.Fatal(stderr)
	}
	newer := cluster.DSN(cluster.Database(t))
	if _, stderr, err := pawl(t, binary, []string{"PAWL_STORE=" + newer, "PAWL_MASTER_KEY=" + key}, "init", "--login", login); err != nil {
		t.Fatal(stderr)
	}
	pgtest.Exec(t, newer, "INSERT INTO pawl.schema_version (version_id, is_applied) VALUES (99, true)")
	cluster.Exec(t, "postgres", "CREATE ROLE weak LOGIN", "CREATE ROLE locked LOGIN PASSWORD 's3cret'")
	cluster.RequirePassword(t, "locked")
	as := func(dsn, user string) string { return strings.Replace(dsn, "//pawl@", "//"+user+"@", 1) }
	standby := cluster.Standby(t, "standby", cluster.Addr)
	wrongFile := filepath.Join(t.TempDir(), "wrong")
	emptyFile := wrongFile + "-empty"
	if err := errors.Join(os.WriteFile(wrongFile, []byte("no key"), 0o600), os.WriteFile(emptyFile, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		store, key, want string
		args             []string
	}{
		"a DSN that cannot be parsed":       {store: "postgres://pawl:topsecret@[::1/x", key: key, want: "cannot be read"},
		"another scheme":                    {store: "mysql://x", key: key, want: "--store: a store is"},
		"a host that is not there":          {store: "postgres://pawl:topsecret@127.0.0.1:1/x", key: key, want: "cannot be reached"},
		"a host that cannot be written to":  {store: standby.DSN("postgres"), key: key, want: "can be written to"},
		"a wrong password":                  {store: as(good, "locked:topsecret"), key: key, want: "check both"},
		"a database that is not there":      {store: cluster.DSN("nowhere"), key: key, want: "createdb"},
		"a database of a newer Pawl":        {store: newer, key: key, want: "schema version 99, and this Pawl knows versions up to"},
		"no right to make tables":           {store: as(cluster.DSN(cluster.Database(t)), "weak"), key: key, want: "grant it CREATE"},
		"no right to read tables":           {store: as(good, "weak"), key: key, want: "ALL on the schema pawl"},
		"no master key":                     {store: good, want: "needs a master key"},
		"another master key":                {store: good, key: seal.NewKey(), want: "is not the one"},
		"a master key that is none":         {store: good, key: "topsecret", want: "openssl rand -base64 32"},
		"a master key file that is none":    {store: good, args: []string{"--master-key-file", wrongFile}, want: "openssl rand -base64 32"},
		"a master key file that is empty":   {store: good, args: []string{"--master-key-file", emptyFile}, want: "openssl rand -base64 32"},
		"a master key file that is missing": {store: good, args: []string{"--master-key-file", wrongFile + "?"}, want: "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			env := []string{"PAWL_STORE=" + c.store, "PAWL_MASTER_KEY=" + c.key}
			stdout, stderr, err := pawl(t, binary, env, append([]string{"serve", "--addr", "127.0.0.1:0"}, c.args...)...)
			if err == nil || !strings.Contains(stderr, c.want) {
				t.Errorf("%v; said %q, want %q", err, stderr, c.want)
			}
			if strings.Contains(stdout+stderr, "topsecret") {
				t.Errorf("the secret is said: %s", stderr)
			}
		})
	}
}
