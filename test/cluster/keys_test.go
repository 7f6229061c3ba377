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

func TestMain(m *testing.M) { pgtest.Main(m) }

// keyLead is shorter than the life of a token, so that tokens outlive a rotation.
const keyLead = 5 * time.Minute

// TestKeysRotateUnderLoad rotates the signing key of two nodes under load and retires the previous key. All requests
// must succeed.
func TestKeysRotateUnderLoad(t *testing.T) {
	cluster := pgtest.Shared(t)
	for _, alg := range []token.Algorithm{token.HS256, token.ES256, token.EdDSA} {
		t.Run(string(alg), func(t *testing.T) {
			var ahead atomic.Int64 // how far the nodes' clock is ahead of the machine's
			c := startNodes(t, 2, cluster.DSN(cluster.Database(t)), func(c *app.Config) {
				c.Algorithm = alg
				c.KeyReload, c.KeyLead = 50*time.Millisecond, keyLead
				c.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
			})
			var f figures
			finish := runChains(c, &f, chains)
			advance := func(d time.Duration) { // lets each chain refresh, so that no token expires
				ahead.Add(int64(d))
				seen := f.refreshes.Load()
				await(t, time.Minute, "refreshes", func() bool {
					return t.Failed() || f.refreshes.Load() > seen+15*chains
				})
			}
			for range 2 {
				rotateOnce(c, alg, advance)
			}
			finish()
			f.report(t, "two rotations of "+string(alg))
			if n := f.unavailable.Load(); n != 0 {
				t.Errorf("%d requests found no store", n)
			}
		})
	}
}

// rotateOnce creates a signing key on one node, waits until both nodes sign with it, and retires the previous key on
// the other node.
func rotateOnce(c *nodes, alg token.Algorithm, advance func(time.Duration)) {
	c.Helper()
	first, second := c.admin(0), c.admin(1)
	created, err := first.RotateSigningKey(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	old := c.state(first, "Signing")
	await(c.T, 20*time.Second, "both nodes to publish the key", func() bool {
		return alg == token.HS256 ||
			slices.Contains(c.published(0), created.KeyID) && slices.Contains(c.published(1), created.KeyID)
	})
	advance(keyLead - time.Minute)
	if c.state(first, "Signing") != old || c.state(second, "Published") != created.KeyID {
		c.Error("the new key signs before the lead has passed")
	}
	advance(time.Minute)
	for _, admin := range []*client.Client{first, second} {
		await(c.T, 20*time.Second, "the new key to sign", func() bool {
			return c.state(admin, "Signing") == created.KeyID
		})
	}
	for range 14 { // the life of a token and twice the lead
		if err := second.RetireSigningKey(c.Context(), api.RetireSigningKeyRequest{KeyID: old}); err == nil {
			break
		}
		advance(5 * time.Minute)
	}
	if got := c.state(first, "Verifying"); got != "" {
		c.Errorf("the previous key %s is not retired", got)
	}
}

// admin returns a client of one node with an API key of the user, whose level is Root.
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

// state returns the id of the newest signing key in a state, as a node reports it, or "".
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

// published returns the ids of the keys in a node's JWK set.
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

// TestNodeMeetsAnUnknownKey creates a signing key on one node that signs immediately. Another node must read the key
// when it gets the first token of the key.
func TestNodeMeetsAnUnknownKey(t *testing.T) {
	cluster := pgtest.Shared(t)
	for _, alg := range []token.Algorithm{token.HS256, token.ES256} {
		t.Run(string(alg), func(t *testing.T) {
			c := startNodes(t, 2, cluster.DSN(cluster.Database(t)), func(c *app.Config) {
				c.Algorithm = alg
				c.KeyReload = time.Hour // longer than the test
			})
			before := c.login(0)
			c.everywhere(before, 200)
			admin := c.admin(0)
			retire := api.RetireSigningKeyRequest{KeyID: c.state(admin, "Signing"), Now: true}
			if err := admin.RetireSigningKey(t.Context(), retire); err != nil {
				t.Fatal(err)
			}
			c.everywhere(c.login(0), 200)
			c.everywhere(before, 401) // the node has also read that the previous key is retired
		})
	}
}

// TestNodeSleeps suspends a node while a signing key is created and the previous key is retired. The node must not sign
// with the retired key afterwards, not even its first token.
func TestNodeSleeps(t *testing.T) {
	cluster := pgtest.Shared(t)
	for _, alg := range []token.Algorithm{token.HS256, token.ES256} {
		t.Run(string(alg), func(t *testing.T) {
			var ahead atomic.Int64 // how far the nodes' clock is ahead of the machine's
			c := startNodes(t, 2, cluster.DSN(cluster.Database(t)), func(c *app.Config) {
				c.Algorithm = alg // KeyReload keeps its default, which is longer than the test
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
				t.Error("the node publishes the retired key")
			}
			c.everywhere(c.login(1), 200)
		})
	}
}

// TestKeyLeaksWithAClockBehind retires a leaked signing key immediately. A node whose clock is behind must switch keys
// too, instead of signing with an older key.
func TestKeyLeaksWithAClockBehind(t *testing.T) {
	cluster := pgtest.Shared(t)
	var ahead atomic.Int64 // how far the first node's clock is ahead of the machine's
	clock := func(behind time.Duration) func(*app.Config) {
		return func(c *app.Config) {
			c.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load()) - behind) }
		}
	}
	dsn := cluster.DSN(cluster.Database(t))
	c := startNodes(t, 1, dsn, clock(0))
	sameMasterKey := func(config *app.Config) { config.MasterKey = c.box }
	c.all = append(c.all, openNodes(t, 1, dsn, clock(30*time.Second), sameMasterKey).all...)
	first, second := c.admin(0), c.admin(1)
	created, err := first.RotateSigningKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ahead.Add(int64(2*keyring.DefaultLead + authority.DefaultTokenLife + time.Minute))
	retire := api.RetireSigningKeyRequest{KeyID: created.KeyID, Now: true}
	if err := first.RetireSigningKey(t.Context(), retire); err != nil {
		t.Fatal(err)
	}
	if one, two := c.state(first, "Signing"), c.state(second, "Signing"); one != two || one == created.KeyID {
		t.Errorf("one node signs with %s, the other with %s", one, two)
	}
}
