//go:build linux

package cluster_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/test/pgtest"
)

// chain is one client: it spends the token that the last refresh gave, each
// time at another node, and tries the spent one on all of them.
type chain struct {
	c     *nodes
	f     *figures
	name  int
	token string
	spent []string // the last few
	count int
	keyed bool // sends an Idempotency-Key, and so never loses an answer
}

// step refreshes once. It returns false if the chain ended because an answer
// was lost that it could not ask for again.
func (k *chain) step() bool {
	k.count++
	retryKey := ""
	if k.keyed {
		retryKey = fmt.Sprintf("%d-%d", k.name, k.count)
	}
	asked := time.Now()
	for try := 0; ; try++ {
		status, next := k.c.refresh(k.name+k.count+try, k.token, retryKey)
		switch {
		case status == 200:
			k.acknowledged(next)
			return true
		case unavailable(status) && time.Since(asked) < 100*time.Second:
			k.f.unanswered.Add(1)
			time.Sleep(50 * time.Millisecond) // as Retry-After asks for, but shorter
		case status == 401 && try > 0 && !k.keyed:
			return false // an earlier try happened, and its answer was lost
		default:
			k.f.lost.Add(1)
			k.c.Errorf("chain %d: the refresh of a good token answers %d at try %d", k.name, status, try)
			return false
		}
	}
}

// acknowledged tries the old token at once on every node.
func (k *chain) acknowledged(next string) {
	k.f.refreshes.Add(1)
	k.spent = append(k.spent, k.token)
	if len(k.spent) > 5 {
		k.spent = k.spent[1:]
	}
	old := k.token
	k.token = next
	var group sync.WaitGroup
	for i := range k.c.all {
		group.Go(func() {
			if k.c.session(i, old) == 200 {
				k.f.oldPassed.Add(1)
				k.c.Errorf("chain %d: node %d accepts an old token", k.name, i)
			}
		})
	}
	group.Wait()
}

// check holds at the end: one good token, the last that was acknowledged.
func (k *chain) check() {
	for i := range k.c.all {
		if status := k.answer(i, k.token); status != 200 {
			k.f.lost.Add(1)
			k.c.Errorf("chain %d: node %d answers %d to the token that it was given", k.name, i, status)
		}
		for _, old := range k.spent {
			if status := k.answer(i, old); status != 401 {
				k.f.oldPassed.Add(1)
				k.c.Errorf("chain %d: node %d answers %d to an old token", k.name, i, status)
			}
		}
	}
}

// answer is the status that a bearer gets at a node, once it says yes or no: a
// node may come back later than another.
func (k *chain) answer(node int, token string) (status int) {
	for asked := time.Now(); time.Since(asked) < 20*time.Second; time.Sleep(20 * time.Millisecond) {
		if status = k.c.session(node, token); !unavailable(status) {
			break
		}
		k.f.unanswered.Add(1)
	}
	return status
}

// runChains lets chains run until stop is closed, and checks them then.
func runChains(c *nodes, f *figures, count int, stop <-chan struct{}) *sync.WaitGroup {
	var group sync.WaitGroup
	for i := range count {
		token := c.login(i)
		group.Go(func() {
			k := &chain{c: c, f: f, name: i, token: token, keyed: i%4 != 0}
			for {
				select {
				case <-stop:
					k.check()
					return
				default:
				}
				if !k.step() {
					if k.c.Failed() {
						return
					}
					k.token, k.spent = k.c.login(i), nil // as a client does that has lost its answer
				}
			}
		})
	}
	return &group
}

// TestThreeNodes: what one node has refreshed or ended, no other accepts.
func TestThreeNodes(t *testing.T) {
	cluster := pgtest.Start(t)
	c := startNodes(t, 3, cluster.DSN(cluster.Database(t)))
	var f figures
	stop := make(chan struct{})
	group := runChains(c, &f, 16, stop)
	var ends sync.WaitGroup
	ends.Go(func() { // beside them, sessions that end
		for i := range 50 {
			token := c.login(i)
			if status, _ := c.call(i+1, "/v2/auth/logout", "", "Authorization: Bearer "+token); status != 200 {
				t.Errorf("logout: %d", status)
			}
			c.everywhere(token, 401)
		}
	})
	ends.Go(func() { // and tokens that many nodes are asked to spend at once
		for i := range 50 {
			race(c, c.login(i))
		}
	})
	ends.Wait()
	close(stop)
	group.Wait()
	f.report(t, "three nodes")
}

// race spends one token 12 times at once, on all nodes.
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
		c.Errorf("one token has %d successors", len(winners))
		return
	}
	c.everywhere(winners[0], 200)
}

func staleness(bound time.Duration) func(*app.Config) {
	return func(c *app.Config) { c.VerifyStaleness = bound }
}

// TestNodesTellEachOther: with a bound of a minute, a node hears of what others
// did long before that; what it did itself it knows at once.
func TestNodesTellEachOther(t *testing.T) {
	cluster := pgtest.Start(t)
	dsn := cluster.DSN(cluster.Database(t))
	c := startNodes(t, 2, dsn, staleness(time.Minute))
	awaitListeners(t, cluster, 2)
	old := c.login(0)
	c.everywhere(old, 200)
	status, next := c.refresh(0, old, "")
	if status != 200 || c.session(0, old) != 401 {
		t.Fatal("the node that refreshed accepts the old token")
	}
	await(t, 20*time.Second, "the other node to hear of it", func() bool { return c.session(1, old) == 401 })
	c.everywhere(next, 200)
	if status, _ := c.call(1, "/v2/auth/logout", "", "Authorization: Bearer "+next); status != 200 || c.session(1, next) != 401 {
		t.Fatal("the node that ended a session accepts its token")
	}
	await(t, 20*time.Second, "the other node to hear of the end", func() bool { return c.session(0, next) == 401 })
}

// TestNewTokenAtOnce: a bound lets an old token pass for a while; the new one
// passes on every node at once.
func TestNewTokenAtOnce(t *testing.T) {
	cluster := pgtest.Start(t)
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

// TestNULInALogin: no login has one, and PostgreSQL takes none in a text.
func TestNULInALogin(t *testing.T) {
	cluster := pgtest.Start(t)
	c := startNodes(t, 1, cluster.DSN(cluster.Database(t)))
	if status, _ := c.call(0, "/v2/auth/login", `{"login":"a\u0000b","password":"x"}`); status != 401 {
		t.Errorf("login: %d, want 401", status)
	}
	bearer := "Authorization: Bearer " + c.login(0)
	if status, _ := c.call(0, "/v2/users/by-name", `{"login":"a\u0000b"}`, bearer); status >= 500 {
		t.Errorf("by-name: %d", status)
	}
	for _, field := range []string{"login", "email", "firstName", "lastName"} {
		body := map[string]any{"login": "eve@example.com", "password": passwd, "email": "eve@example.com", "networkId": 1, "mailboxId": 1}
		body[field] = "a\x00b"
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		if status, _ := c.call(0, "/v2/users", string(text), bearer); status != 400 {
			t.Errorf("a user with a NUL in %s: %d, want 400", field, status)
		}
	}
}

// awaitListeners waits until so many nodes hear what the others say.
func awaitListeners(t *testing.T, cluster *pgtest.Cluster, n int) {
	t.Helper()
	awaitTrue(t, cluster, fmt.Sprintf("SELECT count(*) = %d FROM pg_stat_activity WHERE query LIKE 'LISTEN%%' AND state = 'idle'", n))
}

// TestStaleness: a node that hears nothing accepts what it has read until the
// bound has passed, and no longer.
func TestStaleness(t *testing.T) {
	const bound = 2 * time.Second
	cluster := pgtest.Start(t)
	proxy := pgtest.NewProxy(t, cluster.Addr)
	database := cluster.Database(t)
	c := startNodes(t, 1, cluster.DSN(database), staleness(bound))
	deaf := startDeaf(t, pgtest.DSN(database, proxy.Addr), c, staleness(bound))
	awaitListeners(t, cluster, 2)
	token := c.login(0)
	if deaf.session(0, token) != 200 {
		t.Fatal("a good token is not good at the other node")
	}
	proxy.Stall()
	if status, _ := c.refresh(0, token, ""); status != 200 {
		t.Fatalf("refresh: %d", status)
	}
	await(t, bound+20*time.Second, "the deaf node to accept no longer what it has read", func() bool { return deaf.session(0, token) != 200 })
	proxy.Pass()
	await(t, time.Minute, "the deaf node to hear again", func() bool { return deaf.session(0, token) == 401 })
}

// startDeaf starts one more node of the same cluster.
func startDeaf(t *testing.T, dsn string, like *nodes, options ...func(*app.Config)) *nodes {
	t.Helper()
	sameKey := func(c *app.Config) { c.MasterKey = like.box }
	return openNodes(t, 1, dsn, append(options, sameKey)...)
}
