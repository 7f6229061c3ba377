//go:build linux

// Package cluster_test runs several nodes on one PostgreSQL database: real servers, failovers, lost connections, full
// disks, and rotations of the signing keys under load.
package cluster_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/test/testlog"
)

const (
	login  = "ada@example.com"
	passwd = "C0rrect$horse"

	loginBody = `{"login":"` + login + `","password":"` + passwd + `"}`
)

// node is one running Pawl.
type node struct {
	*app.App
	url string
}

// nodes are nodes that share a database.
type nodes struct {
	*testing.T
	all  []node
	box  *seal.Box
	http *http.Client
}

// startNodes starts n nodes concurrently on one database, and creates the user.
func startNodes(t *testing.T, n int, dsn string, options ...func(*app.Config)) *nodes {
	t.Helper()
	c := openNodes(t, n, dsn, options...)
	user := authority.User{
		Login: login, Email: login, Level: authority.Root, Status: authority.Active,
		Tenant: authority.Tenant{NetworkID: 1, MailboxID: 1},
	}
	_, _, err := c.all[0].Authority.Bootstrap(t.Context(), user, passwd)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// openNodes starts n nodes concurrently on one database.
func openNodes(t *testing.T, n int, dsn string, options ...func(*app.Config)) *nodes {
	t.Helper()
	box, err := seal.NewBox(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	address, err := app.ParseStoreAddress(dsn)
	if err != nil {
		t.Fatal(err)
	}
	config := app.Config{Store: address, MasterKey: box, Argon2: password.Params{MemoryKiB: 64, Passes: 1}}
	for _, option := range options {
		option(&config)
	}
	c := &nodes{T: t, all: make([]node, n), box: config.MasterKey, http: newClient(t)}
	var group sync.WaitGroup
	for i := range c.all {
		group.Go(func() {
			config := config
			config.Log = testlog.New(t, fmt.Sprint("node ", i))
			a, err := app.Open(t.Context(), config)
			if err != nil {
				t.Errorf("node %d: %v", i, err)
				return
			}
			web := httptest.NewServer(a.Handler)
			c.all[i] = node{App: a, url: web.URL}
			t.Cleanup(func() {
				web.Close()
				if err := a.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return c
}

func newClient(t *testing.T) *http.Client {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 128}, Timeout: 20 * time.Second}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// call sends a request to a node, and returns the status and the token of the response. Without a response, the status
// is 0.
func (c *nodes) call(node int, path, body string, headers ...string) (status int, token string) {
	req, err := http.NewRequest("POST", c.all[node%len(c.all)].url+path, strings.NewReader(body))
	if err != nil {
		c.Error(err)
		return 0, ""
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		req.Header.Set(name, value)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		c.Logf("%s: %v", path, err)
		return 0, ""
	}
	defer resp.Body.Close()
	var envelope api.Envelope[json.RawMessage]
	if err := json.NewDecoder(resp.Body).Decode(&envelope); err != nil {
		c.Errorf("%s: the response has no envelope: %v", path, err)
	}
	var data struct{ Token string }
	_ = json.Unmarshal(envelope.Data, &data)
	return resp.StatusCode, data.Token
}

func (c *nodes) login(node int) string {
	c.Helper()
	status, token := c.call(node, "/v2/auth/login", loginBody)
	if status != 200 {
		c.Errorf("login by node %d: %d", node%len(c.all), status)
	}
	return token
}

func (c *nodes) refresh(node int, token, idempotencyKey string) (int, string) {
	var headers []string
	if idempotencyKey != "" {
		headers = append(headers, "Idempotency-Key: "+idempotencyKey)
	}
	return c.call(node, "/v2/auth/refresh", fmt.Sprintf(`{"token":%q}`, token), headers...)
}

// session returns the status with which a node answers to a bearer token.
func (c *nodes) session(node int, token string) int {
	status, _ := c.call(node, "/v2/auth/session", "", "Authorization: Bearer "+token)
	return status
}

// everywhere fails the test unless every node answers to a bearer token with the status want.
func (c *nodes) everywhere(token string, want int) bool {
	c.Helper()
	for i := range c.all {
		if got := c.session(i, token); got != want {
			c.Errorf("node %d answers %d to the token, want %d", i, got, want)
			return false
		}
	}
	return true
}

// await waits until ok returns true. It fails the test after limit.
func await(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", limit, what)
		}
	}
}

// figures counts the outcomes of a run.
type figures struct {
	refreshes, unavailable, lost, supersededAccepted atomic.Int64
}

func (f *figures) String() string {
	return fmt.Sprintf("%d refreshes acknowledged, %d lost; %d superseded tokens accepted; %d requests found no store",
		f.refreshes.Load(), f.lost.Load(), f.supersededAccepted.Load(), f.unavailable.Load())
}

// report prints the figures to standard error, where they appear even if the test succeeds. It fails the test if a
// figure violates the contract.
func (f *figures) report(t *testing.T, what string) {
	t.Helper()
	fmt.Fprintf(os.Stderr, "%s: %s\n", what, f)
	if f.lost.Load() != 0 || f.supersededAccepted.Load() != 0 || f.refreshes.Load() == 0 {
		t.Errorf("%s: %s", what, f)
	}
}

func unavailable(status int) bool { return status == 503 || status == 0 }
