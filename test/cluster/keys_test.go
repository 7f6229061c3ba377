//go:build linux

package cluster_test

import (
	"encoding/json"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/token"
)

// TestKeysRotateUnderLoad: two nodes, under load, go over to a new key and
// forget the old one, and no request hears of it.
func TestKeysRotateUnderLoad(t *testing.T) {
	cluster := pgtest.Start(t)
	for _, alg := range []token.Algorithm{token.HS256, token.ES256, token.EdDSA} {
		t.Run(string(alg), func(t *testing.T) {
			var ahead atomic.Int64 // of the machine's clock
			c := startNodes(t, 2, cluster.DSN(cluster.Database(t)), func(c *app.Config) {
				c.Algorithm, c.KeyReload = alg, 50*time.Millisecond
				c.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
			})
			var f figures
			stop := make(chan struct{})
			group := runChains(c, &f, chains, stop)
			passes := func(d time.Duration) { // no faster than each chain refreshes
				ahead.Add(int64(d))
				seen := f.refreshes.Load()
				await(t, time.Minute, "refreshes", func() bool { return t.Failed() || f.refreshes.Load() > seen+15*chains })
			}
			for range 2 {
				rotateOnce(c, alg, passes)
			}
			close(stop)
			group.Wait()
			f.report(t, "keys of "+string(alg)+" rotated twice")
			if n := f.unanswered.Load(); n != 0 {
				t.Errorf("%d requests were not answered", n)
			}
		})
	}
}

// rotateOnce takes a key through its life: published by one node, signing on
// both, and the old one retired by the other.
func rotateOnce(c *nodes, alg token.Algorithm, passes func(time.Duration)) {
	c.Helper()
	first, second := c.admin(0), c.admin(1)
	made, err := first.RotateSigningKey(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	old := c.state(first, "Signing")
	await(c.T, 20*time.Second, "both nodes to publish it", func() bool {
		return alg == token.HS256 || slices.Contains(c.published(0), made.KeyID) && slices.Contains(c.published(1), made.KeyID)
	})
	passes(keyring.DefaultLead - time.Minute)
	if c.state(first, "Signing") != old || c.state(second, "Published") != made.KeyID {
		c.Error("the new key signs before its time")
	}
	passes(time.Minute)
	for _, admin := range []*client.Client{first, second} {
		await(c.T, 20*time.Second, "the new key to sign", func() bool { return c.state(admin, "Signing") == made.KeyID })
	}
	for range 14 { // a token's life, and the lead twice
		if err := second.RetireSigningKey(c.Context(), api.RetireSigningKeyRequest{KeyID: old}); err == nil {
			break
		}
		passes(5 * time.Minute)
	}
	if got := c.state(first, "Verifying"); got != "" {
		c.Errorf("the old key is not retired: %s", got)
	}
}

// admin is a client of one node, of the user, who is Root.
func (c *nodes) admin(node int) *client.Client {
	c.Helper()
	user, _, err := c.all[0].Store.UserByLogin(c.Context(), login)
	if err != nil {
		c.Fatal(err)
	}
	own, err := client.New(c.all[node].url, client.WithBearer(c.login(node)))
	if err != nil {
		c.Fatal(err)
	}
	request := api.CreateAPIKeyRequest{UserID: user.ID, Visibility: api.VisibilityPrivate}
	key, err := own.CreateAPIKey(c.Context(), request)
	if err != nil {
		c.Fatal(err)
	}
	return own.With(client.WithBearer(""), client.WithAPIKey(key.Key))
}

// state returns the newest key of a state, by what a node says; "" for none.
func (c *nodes) state(admin *client.Client, state api.SigningKeyState) string {
	c.Helper()
	keys, err := admin.SigningKeys(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	for _, k := range keys {
		if k.State == state {
			return k.KeyID
		}
	}
	return ""
}

// published returns the kids of a node's JWK set.
func (c *nodes) published(node int) (kids []string) {
	c.Helper()
	resp, err := c.http.Get(c.all[node].url + "/.well-known/jwks.json")
	if err != nil {
		c.Fatal(err)
	}
	defer resp.Body.Close()
	var set struct{ Keys []struct{ Kid string } }
	if err := json.NewDecoder(resp.Body).Decode(&set); err != nil {
		c.Fatal(err)
	}
	for _, key := range set.Keys {
		kids = append(kids, key.Kid)
	}
	return kids
}

// TestNodeMeetsAnUnknownKey: a key that another node made a moment ago, and that
// signs at once, is found by the first token of it.
func TestNodeMeetsAnUnknownKey(t *testing.T) {
	cluster := pgtest.Start(t)
	for _, alg := range []token.Algorithm{token.HS256, token.ES256} {
		t.Run(string(alg), func(t *testing.T) {
			c := startNodes(t, 2, cluster.DSN(cluster.Database(t)), func(c *app.Config) {
				c.Algorithm, c.KeyReload = alg, time.Hour // never by itself
			})
			before := c.login(0)
			c.everywhere(before, 200)
			admin := c.admin(0)
			if err := admin.RetireSigningKey(t.Context(), api.RetireSigningKeyRequest{KeyID: c.state(admin, "Signing"), Now: true}); err != nil {
				t.Fatal(err)
			}
			c.everywhere(c.login(0), 200)
			c.everywhere(before, 401) // and what it learned on the way: the old key is retired
		})
	}
}

// TestNodeSleeps: a node that slept while a key was made and the one before it
// retired signs with no key that is retired, from its first token on.
func TestNodeSleeps(t *testing.T) {
	cluster := pgtest.Start(t)
	for _, alg := range []token.Algorithm{token.HS256, token.ES256} {
		t.Run(string(alg), func(t *testing.T) {
			var ahead atomic.Int64                                                        // of the machine's clock
			c := startNodes(t, 2, cluster.DSN(cluster.Database(t)), func(c *app.Config) { // no node reads the keys by itself in this test's time
				c.Algorithm = alg
				c.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
			})
			admin := c.admin(0)
			old := c.state(admin, "Signing")
			if _, err := admin.RotateSigningKey(t.Context()); err != nil {
				t.Fatal(err)
			}
			ahead.Add(int64(2*keyring.DefaultLead + authority.DefaultTokenLife))
			if err := admin.RetireSigningKey(t.Context(), api.RetireSigningKeyRequest{KeyID: old}); err != nil {
				t.Fatal(err)
			}
			if published := c.published(1); slices.Contains(published, old) {
				t.Error("the key that is retired is published")
			}
			c.everywhere(c.login(1), 200)
		})
	}
}

// TestKeyLeaksWithAClockBehind: a key that takes over at once does so on a node
// too whose clock is behind, which else would sign with an older key that is over.
func TestKeyLeaksWithAClockBehind(t *testing.T) {
	cluster := pgtest.Start(t)
	var ahead atomic.Int64 // of the machine's clock
	clock := func(behind time.Duration) func(*app.Config) {
		return func(c *app.Config) {
			c.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load()) - behind) }
		}
	}
	dsn := cluster.DSN(cluster.Database(t))
	c := startNodes(t, 1, dsn, clock(0))
	c.all = append(c.all, openNodes(t, 1, dsn, clock(30*time.Second), func(config *app.Config) { config.MasterKey = c.box }).all...)
	first, second := c.admin(0), c.admin(1)
	made, err := first.RotateSigningKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ahead.Add(int64(2*keyring.DefaultLead + authority.DefaultTokenLife + time.Minute))
	if err := first.RetireSigningKey(t.Context(), api.RetireSigningKeyRequest{KeyID: made.KeyID, Now: true}); err != nil {
		t.Fatal(err)
	}
	if one, two := c.state(first, "Signing"), c.state(second, "Signing"); one != two || one == made.KeyID {
		t.Errorf("one node signs with %s, the other with %s", one, two)
	}
}
