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

// pawl runs a command of the real binary.
func pawl(t *testing.T, binary string, env []string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// TestExchange runs three real servers on one database, and sends each step of the exchange in docs/api.md to another
// server.
func TestExchange(t *testing.T) {
	binary := testbin.Build(t)
	cluster := pgtest.Shared(t)
	env := []string{"PAWL_STORE=" + cluster.DSN(cluster.Database(t)), "PAWL_MASTER_KEY=" + seal.NewKey()}
	stdout, stderr, err := pawl(t, binary, env, "init", "--login", login, "--json")
	var created struct{ Password, APIKey string }
	if err != nil || json.Unmarshal([]byte(stdout), &created) != nil {
		t.Fatalf("init: %v\n%s%s", err, stdout, stderr)
	}
	c := &nodes{T: t, http: newClient(t)}
	for range 3 {
		c.all = append(c.all, node{url: testbin.StartServe(t, binary, env).URL})
	}
	body, _ := json.Marshal(api.LoginRequest{Login: login, Password: created.Password})
	status, old := c.call(0, "/v2/auth/login", string(body))
	if status != 200 || !strings.HasPrefix(old, "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.") {
		t.Fatalf("login: %d %.40s", status, old)
	}
	c.everywhere(old, 200)
	status, next := c.call(1, "/v2/auth/refresh", `{"token":"`+old+`"}`, "X-API-Key: "+created.APIKey)
	if status != 200 {
		t.Fatalf("refresh: %d", status)
	}
	c.everywhere(old, 401)
	c.everywhere(next, 200)
	if status, _ := c.refresh(2, old, ""); status != 401 {
		t.Errorf("a refresh of the superseded token: %d, want 401", status)
	}
	status, first := c.refresh(2, next, "k1")
	if again, same := c.refresh(0, next, "k1"); status != 200 || again != 200 || first != same {
		t.Errorf("with an Idempotency-Key: %d, then %d; same token: %v", status, again, first == same)
	}
	if status, _ := c.call(1, "/v2/auth/logout", "", "Authorization: Bearer "+first); status != 200 {
		t.Errorf("logout: %d", status)
	}
	c.everywhere(first, 401)
}

// TestConfigCheck checks the settings of a node while another node runs: the database, the master key, and a database
// that is missing, unreachable, or without a schema.
func TestConfigCheck(t *testing.T) {
	binary := testbin.Build(t)
	cluster := pgtest.Shared(t)
	masterKey := seal.NewKey()
	dsn := initDatabase(t, binary, cluster, masterKey)
	for want, env := range map[string][]string{
		"":                                  {"PAWL_STORE=" + dsn, "PAWL_MASTER_KEY=" + masterKey},
		"encrypted with another master key": {"PAWL_STORE=" + dsn, "PAWL_MASTER_KEY=" + seal.NewKey()},
		"run pawl init first, or check PAWL_STORE": {
			"PAWL_STORE=" + cluster.DSN(cluster.Database(t)), "PAWL_MASTER_KEY=" + masterKey,
		},
		"create it with createdb": {"PAWL_STORE=" + cluster.DSN("nothing"), "PAWL_MASTER_KEY=" + masterKey},
	} {
		stdout, stderr, err := pawl(t, binary, append(env, "PAWL_ADDR=127.0.0.1:0"), "config", "check")
		ok := strings.Contains(stdout, "store     ok  postgres")
		if (err == nil) != (want == "") || ok != (want == "") || !strings.Contains(stderr, want) {
			t.Errorf("config check: %v, want %q\n%s%s", err, want, stdout, stderr)
		}
	}
}

// initDatabase creates a database with an administrator, and returns its address.
func initDatabase(t *testing.T, binary string, cluster *pgtest.Cluster, masterKey string) string {
	t.Helper()
	dsn := cluster.DSN(cluster.Database(t))
	env := []string{"PAWL_STORE=" + dsn, "PAWL_MASTER_KEY=" + masterKey}
	if _, stderr, err := pawl(t, binary, env, "init", "--login", login); err != nil {
		t.Fatal(stderr)
	}
	return dsn
}

// TestStartRefused checks that a node that cannot start prints the reason and the remedy on standard error, without
// secrets.
func TestStartRefused(t *testing.T) {
	binary := testbin.Build(t)
	cluster := pgtest.Start(t)
	key := seal.NewKey()
	good := initDatabase(t, binary, cluster, key)
	newer := initDatabase(t, binary, cluster, key)
	pgtest.Exec(t, newer, "INSERT INTO pawl.schema_version (version_id, is_applied) VALUES (99, true)")
	cluster.Exec(t, "postgres", "CREATE ROLE weak LOGIN", "CREATE ROLE locked LOGIN PASSWORD 's3cret'")
	cluster.RequirePassword(t, "locked")
	as := func(dsn, user string) string { return strings.Replace(dsn, "//pawl@", "//"+user+"@", 1) }
	standby := cluster.Standby(t, "standby", cluster.Addr)
	wrongFile := filepath.Join(t.TempDir(), "wrong")
	emptyFile := wrongFile + "-empty"
	err := errors.Join(os.WriteFile(wrongFile, []byte("no key"), 0o600), os.WriteFile(emptyFile, nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	const (
		keyHelp     = "openssl rand -base64 32"
		unreachable = "postgres://pawl:topsecret@127.0.0.1:1/x"
	)
	badFile := []string{"--master-key-file", wrongFile}
	noKeyInFile := []string{"--master-key-file", emptyFile}
	noFile := []string{"--master-key-file", wrongFile + "?"}
	for name, c := range map[string]struct {
		store, key, want string
		args             []string
	}{
		"unparsable DSN":          {store: "postgres://pawl:topsecret@[::1/x", key: key, want: "cannot be read"},
		"unknown scheme":          {store: "mysql://x", key: key, want: "a store is sqlite:"},
		"unreachable host":        {store: unreachable, key: key, want: "cannot be reached"},
		"read-only host":          {store: standby.DSN("postgres"), key: key, want: "can be written to"},
		"wrong password":          {store: as(good, "locked:topsecret"), key: key, want: "check both"},
		"missing database":        {store: cluster.DSN("nowhere"), key: key, want: "createdb"},
		"newer schema":            {store: newer, key: key, want: "has schema version 99, and this Pawl"},
		"no right to read tables": {store: as(good, "weak"), key: key, want: "ALL on the schema pawl"},
		"no master key":           {store: good, want: "needs a master key"},
		"another master key":      {store: good, key: seal.NewKey(), want: "encrypted with another master key"},
		"invalid master key":      {store: good, key: "topsecret", want: keyHelp},
		"invalid master key file": {store: good, args: badFile, want: keyHelp},
		"empty master key file":   {store: good, args: noKeyInFile, want: keyHelp},
		"missing master key file": {store: good, args: noFile, want: "a file that cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			env := []string{"PAWL_STORE=" + c.store, "PAWL_MASTER_KEY=" + c.key}
			args := append([]string{"serve", "--addr", "127.0.0.1:0"}, c.args...)
			stdout, stderr, err := pawl(t, binary, env, args...)
			if err == nil || !strings.Contains(stderr, c.want) {
				t.Errorf("serve: %v, standard error %q, want %q", err, stderr, c.want)
			}
			if strings.Contains(stdout+stderr, "topsecret") {
				t.Errorf("the output contains the secret: %s%s", stdout, stderr)
			}
		})
	}
}

// TestUninitialized checks that serve and end-sessions refuse a database without a store, and a store without an
// administrator. Both commands exit with 2 and do not create the schema. init reports that it may not create it.
func TestUninitialized(t *testing.T) {
	binary, cluster := testbin.Build(t), pgtest.Start(t)
	key := seal.NewKey()
	empty, unused := cluster.DSN(cluster.Database(t)), initDatabase(t, binary, cluster, key)
	pgtest.Exec(t, unused, "DELETE FROM pawl.api_key", "DELETE FROM pawl.users")
	for _, dsn := range []string{empty, unused} {
		for _, args := range [][]string{{"serve", "--addr", "127.0.0.1:0"}, {"store", "end-sessions"}} {
			_, stderr, err := pawl(t, binary, []string{"PAWL_STORE=" + dsn, "PAWL_MASTER_KEY=" + key}, args...)
			exit, ok := errors.AsType[*exec.ExitError](err)
			if !ok || exit.ExitCode() != 2 || !strings.Contains(stderr, "run pawl init first, or check PAWL_STORE") {
				t.Errorf("%s: %v, standard error %q", args, err, stderr)
			}
		}
	}
	cluster.Exec(t, "postgres", "CREATE ROLE weak LOGIN")
	weak := strings.Replace(empty, "//pawl@", "//weak@", 1)
	env := []string{"PAWL_STORE=" + weak, "PAWL_MASTER_KEY=" + key}
	if _, stderr, err := pawl(t, binary, env, "init", "--login", login); !strings.Contains(stderr, "grant it CREATE") {
		t.Errorf("init without the right to create a schema: %v, standard error %q", err, stderr)
	}
	pgtest.Exec(t, empty, "CREATE SCHEMA pawl") // fails if a refused command has created it
}
