//go:build linux

package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/test/pgtest"
)

// chain is one client. Each of its refreshes goes to another node. Afterwards it tries the superseded token on all
// nodes.
type chain struct {
	c          *nodes
	f          *figures
	name       int
	token      string
	superseded []string // the last few
	count      int
	keyed      bool // whether it sends an Idempotency-Key, so that it can repeat a refresh whose response was lost
}

// step refreshes once. It returns false if a response was lost that the chain cannot request again, or if the test has
// failed.
func (k *chain) step() bool {
	k.count++
	idempotencyKey := ""
	if k.keyed {
		idempotencyKey = fmt.Sprintf("%d-%d", k.name, k.count)
	}
	began := time.Now()
	for try := 0; ; try++ {
		status, next := k.c.refresh(k.name+k.count+try, k.token, idempotencyKey)
		switch {
		case status == 200:
			k.acknowledged(next)
			return true
		case unavailable(status) && k.c.Failed():
			return false
		case unavailable(status) && time.Since(began) < 100*time.Second:
			k.f.unavailable.Add(1)
			time.Sleep(50 * time.Millisecond) // shorter than Retry-After
		case status == 401 && try > 0 && !k.keyed:
			return false // an earlier try took effect, but its response was lost
		default:
			k.f.lost.Add(1)
			k.c.Errorf("chain %d: try %d to refresh a valid token: %d", k.name, try, status)
			return false
		}
	}
}

// signInAgain replaces a token that the client has lost. It waits while the node has no store, because nodes recover at
// different times.
func (k *chain) signInAgain() {
	k.superseded = nil
	for began := time.Now(); !k.c.Failed(); time.Sleep(50 * time.Millisecond) {
		status, token := k.c.call(k.name, "/v2/auth/login", loginBody)
		switch {
		case status == 200:
			k.token = token
			return
		case !unavailable(status) || time.Since(began) > 100*time.Second:
			k.c.Errorf("chain %d: the login after a lost token: %d", k.name, status)
			return
		}
		k.f.unavailable.Add(1)
	}
}

// acknowledged records a successful refresh, and tries the superseded token immediately on every node.
func (k *chain) acknowledged(next string) {
	k.f.refreshes.Add(1)
	k.superseded = append(k.superseded, k.token)
	if len(k.superseded) > 5 {
		k.superseded = k.superseded[1:]
	}
	old := k.token
	k.token = next
	var group sync.WaitGroup
	for i := range k.c.all {
		group.Go(func() {
			if k.c.session(i, old) == 200 {
				k.f.supersededAccepted.Add(1)
				k.c.Errorf("chain %d: node %d accepts a superseded token", k.name, i)
			}
		})
	}
	group.Wait()
}

// check checks at the end that only the last acknowledged token is valid.
func (k *chain) check() {
	for i := range k.c.all {
		if status := k.awaitSession(i, k.token); status != 200 {
			k.f.lost.Add(1)
			k.c.Errorf("chain %d: node %d answers %d to the current token, want 200", k.name, i, status)
		}
		for _, old := range k.superseded {
			if status := k.awaitSession(i, old); status != 401 {
				k.f.supersededAccepted.Add(1)
				k.c.Errorf("chain %d: node %d answers %d to a superseded token, want 401", k.name, i, status)
			}
		}
	}
}

// awaitSession returns the status with which a node answers to a bearer token. It waits while the node has no store,
// because nodes recover at different times.
func (k *chain) awaitSession(node int, token string) (status int) {
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(20 * time.Millisecond) {
		if status = k.c.session(node, token); !unavailable(status) {
			break
		}
		k.f.unavailable.Add(1)
	}
	return status
}

// runChains starts chains. The returned function ends the chains, and checks each one unless the test has failed.
func runChains(c *nodes, f *figures, count int) (finish func()) {
	stop := make(chan struct{})
	var group sync.WaitGroup
	for i := range count {
		k := &chain{c: c, f: f, name: i, token: c.login(i), keyed: i%4 != 0}
		group.Go(func() { k.run(stop) })
	}
	finish = sync.OnceFunc(func() { close(stop); group.Wait() })
	c.Cleanup(finish) // before the nodes stop
	return finish
}

// run refreshes until stop is closed, and then checks the chain.
func (k *chain) run(stop <-chan struct{}) {
	for !k.c.Failed() {
		select {
		case <-stop:
			k.check()
			return
		default:
		}
		if !k.step() && !k.c.Failed() {
			k.signInAgain()
		}
	}
}

// TestThreeNodes checks that no node accepts a token that another node has superseded, or whose session it has ended.
func TestThreeNodes(t *testing.T) {
	cluster := pgtest.Shared(t)
	c := startNodes(t, 3, cluster.DSN(cluster.Database(t)))
	var f figures
	finish := runChains(c, &f, 16)
	var ends sync.WaitGroup
	ends.Go(func() { // sessions that end meanwhile
		for i := range 50 {
			token := c.login(i)
			if status, _ := c.call(i+1, "/v2/auth/logout", "", "Authorization: Bearer "+token); status != 200 {
				t.Errorf("logout: %d", status)
			}
			c.everywhere(token, 401)
		}
	})
	ends.Go(func() { // tokens that many clients refresh concurrently
		for i := range 50 {
			race(c, c.login(i))
		}
	})
	ends.Wait()
	finish()
	f.report(t, "three nodes")
}

// race refreshes one token 12 times concurrently, on all nodes. Only one refresh may succeed.
func race(c *nodes, token string) {
	c.Helper()
	results := make([]string, 12)
	var group sync.WaitGroup
	for i := range results {
		group.Go(func() {
			if status, next := c.refresh(i, token, ""); status == 200 {
				results[i] = next
			}
		})
	}
	group.Wait()
	winners := slices.DeleteFunc(results, func(s string) bool { return s == "" })
	if len(winners) != 1 {
		c.Errorf("one token has %d successors, want 1", len(winners))
		return
	}
	c.everywhere(winners[0], 200)
}

func staleness(bound time.Duration) func(*app.Config) {
	return func(c *app.Config) { c.VerifyStaleness = bound }
}

// TestNodesNotifyEachOther sets a bound of a minute for stale data. A node must apply its own changes immediately, and
// the changes of other nodes long before the bound.
func TestNodesNotifyEachOther(t *testing.T) {
	cluster := pgtest.Shared(t)
	dsn := cluster.DSN(cluster.Database(t))
	c := startNodes(t, 2, dsn, staleness(time.Minute))
	awaitFollowed(t, dsn)
	old := c.login(0)
	c.everywhere(old, 200)
	status, next := c.refresh(0, old, "")
	if status != 200 || c.session(0, old) != 401 {
		t.Fatal("the node that refreshed accepts the superseded token")
	}
	await(t, 20*time.Second, "the other node to reject the superseded token", func() bool {
		return c.session(1, old) == 401
	})
	c.everywhere(next, 200)
	status, _ = c.call(1, "/v2/auth/logout", "", "Authorization: Bearer "+next)
	if status != 200 || c.session(1, next) != 401 {
		t.Fatal("the node that ended a session accepts its token")
	}
	await(t, 20*time.Second, "the other node to reject the token of the ended session", func() bool {
		return c.session(0, next) == 401
	})
}

// TestNewTokenIsValidImmediately sets a bound for stale data, within which a node may accept a superseded token. A new
// token must be valid on every node immediately.
func TestNewTokenIsValidImmediately(t *testing.T) {
	cluster := pgtest.Shared(t)
	c := startNodes(t, 2, cluster.DSN(cluster.Database(t)), staleness(time.Minute))
	token := c.login(0)
	for range 20 {
		c.everywhere(token, 200)
		status, next := c.refresh(0, token, "")
		if status != 200 {
			t.Fatalf("refresh: %d", status)
		}
		c.everywhere(next, 200)
		token = next
	}
}

// TestNULInALogin sends a NUL, which is invalid in logins and which PostgreSQL cannot store in a text.
func TestNULInALogin(t *testing.T) {
	cluster := pgtest.Shared(t)
	c := startNodes(t, 1, cluster.DSN(cluster.Database(t)))
	if status, _ := c.call(0, "/v2/auth/login", `{"login":"a\u0000b","password":"x"}`); status != 401 {
		t.Errorf("login: %d, want 401", status)
	}
	bearer := "Authorization: Bearer " + c.login(0)
	if status, _ := c.call(0, "/v2/users/by-name", `{"login":"a\u0000b"}`, bearer); status >= 500 {
		t.Errorf("by-name: %d", status)
	}
	for _, field := range []string{"login", "email", "firstName", "lastName"} {
		body := map[string]any{
			"login": "eve@example.com", "password": passwd, "email": "eve@example.com", "networkId": 1, "mailboxId": 1,
		}
		body[field] = "a\x00b"
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		if status, _ := c.call(0, "/v2/users", string(text), bearer); status != 400 {
			t.Errorf("creating a user with a NUL in %s: %d, want 400", field, status)
		}
	}
}

// awaitFollowed waits until commits write their changes for the nodes.
func awaitFollowed(t *testing.T, dsn string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	await(t, time.Minute, "a node to follow the changes", func() bool {
		var followed bool
		const sql = "SELECT until > now() FROM pawl.feed"
		return conn.QueryRow(t.Context(), sql).Scan(&followed) == nil && followed
	})
}

// TestStaleness checks that a node without a connection to the database accepts stale data only until the bound has
// passed.
func TestStaleness(t *testing.T) {
	const bound = 2 * time.Second
	cluster := pgtest.Start(t)
	proxy := pgtest.NewProxy(t, cluster.Addr)
	database := cluster.Database(t)
	c := startNodes(t, 1, cluster.DSN(database), staleness(bound))
	sameMasterKey := func(config *app.Config) { config.MasterKey = c.box }
	cutOff := openNodes(t, 1, pgtest.DSN(database, proxy.Addr), staleness(bound), sameMasterKey)
	awaitFollowed(t, cluster.DSN(database))
	token := c.login(0)
	if cutOff.session(0, token) != 200 {
		t.Fatal("the other node rejects a valid token")
	}
	proxy.Stall()
	if status, _ := c.refresh(0, token, ""); status != 200 {
		t.Fatalf("refresh: %d", status)
	}
	await(t, bound+20*time.Second, "the bound to pass on the node that is cut off", func() bool {
		return cutOff.session(0, token) != 200
	})
	proxy.Pass()
	await(t, time.Minute, "the node to reject the superseded token", func() bool {
		return cutOff.session(0, token) == 401
	})
}
