//go:build linux

package e2e_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// followed is a node whose feed a verifier follows, and another node that makes the changes. Both use one database.
type followed struct {
	*testing.T
	cluster  *pgtest.Cluster
	node     *testbin.Server
	network  *pgtest.Proxy // between the verifier and the node
	database *pgtest.Proxy // between the node and the database
	writing  *pgtest.Proxy // between the other node and the database
	other    *client.Client
	password string
	verifier *client.Verifier
	resume   func() // resumes the database
}

func newFollowed(t *testing.T) *followed {
	t.Helper()
	binary := testbin.Build(t)
	f := &followed{T: t, cluster: pgtest.Start(t)}
	f.database, f.writing = pgtest.NewProxy(t, f.cluster.Addr), pgtest.NewProxy(t, f.cluster.Addr)
	name, env := f.cluster.Database(t), []string{"PAWL_MASTER_KEY=" + seal.NewKey()}
	created := testbin.Init(t, binary, env, "--store", f.cluster.DSN(name))
	f.password = created.Password
	start := func(through *pgtest.Proxy) *testbin.Server {
		return testbin.StartServe(t, binary, env, "--algorithm", "ES256", "--store", pgtest.DSN(name, through.Addr))
	}
	f.node = start(f.database)
	f.other = testbin.Client(t, start(f.writing).URL)
	f.network = pgtest.NewProxy(t, strings.TrimPrefix(f.node.URL, "http://"))
	pawl := testbin.Client(t, "http://"+f.network.Addr, client.WithAPIKey(created.APIKey))
	f.verifier = client.NewVerifier(pawl, client.VerifierConfig{AskTimeout: 100 * time.Millisecond})
	t.Cleanup(f.verifier.Close)
	if err := f.verifier.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f
}

// nodeFaults are faults between the verifier and the database. A fault begins before a token is superseded, or right
// after that if the token could not be superseded during the fault.
var nodeFaults = []struct {
	name       string
	after      bool
	begin, end func(*followed)
}{
	{name: "none", begin: func(*followed) {}, end: func(*followed) {}},
	{name: "feed cut", begin: func(f *followed) { f.network.Drop() }, end: func(f *followed) { f.network.Pass() }},
	{
		name:  "feed stalled",
		begin: func(f *followed) { f.network.Stall() }, end: func(f *followed) { f.network.Pass() },
	},
	{
		name:  "database cut",
		begin: func(f *followed) { f.database.Drop() }, end: func(f *followed) { f.database.Pass() },
	},
	{
		name:  "database stalled",
		begin: func(f *followed) { f.database.Stall() }, end: func(f *followed) { f.database.Pass() },
	},
	{
		name: "responses of the database lost", begin: func(f *followed) { f.database.Mute() },
		end: func(f *followed) { f.database.Pass() },
	},
	{
		name:  "connections of the polls lost",
		begin: func(f *followed) { f.database.Drop(); f.database.Pass() }, end: func(*followed) {},
	},
	{
		name:  "node stopped",
		begin: func(f *followed) { f.signal(syscall.SIGSTOP) }, end: func(f *followed) { f.signal(syscall.SIGCONT) },
	},
	{
		name: "database stopped", after: true,
		begin: func(f *followed) { f.resume = f.cluster.Pause() }, end: func(f *followed) { f.resume() },
	},
	{
		name: "database killed", after: true,
		begin: func(f *followed) { f.cluster.Kill() },
		end: func(f *followed) {
			f.cluster.Restart(f.T)
			f.database.SetTarget(f.cluster.Addr)
			f.writing.SetTarget(f.cluster.Addr)
		},
	},
}

func (f *followed) signal(s syscall.Signal) {
	if err := f.node.Process.Signal(s); err != nil {
		f.Fatal(err)
	}
}

// TestVerifierFaultsPostgres is TestVerifierFaults for two nodes on PostgreSQL: the verifier follows one of them, and
// the other one supersedes the token.
func TestVerifierFaultsPostgres(t *testing.T) {
	t.Parallel()
	const (
		bound     = time.Second
		heartbeat = 200 * time.Millisecond
	)
	f := newFollowed(t)
	for _, fault := range nodeFaults {
		old, err := f.other.Login(t.Context(), testbin.Admin, f.password)
		if err != nil {
			t.Fatal(err)
		}
		awaitInMemory(t, f.verifier, old.Token)
		if !fault.after {
			fault.begin(f)
		}
		fresh, err := f.other.Refresh(t.Context(), old.Token)
		if err != nil {
			t.Fatal(err)
		}
		died := time.Now()
		if fault.after {
			fault.begin(f)
		}
		longest := longestAcceptance(t.Context(), f.verifier, old.Token, died, bound+3*heartbeat)
		fault.end(f)
		t.Logf("%s: longest acceptance %s", fault.name, longest)
		if longest > bound+heartbeat {
			t.Errorf("%s: a superseded token was accepted for %s, want %s", fault.name, longest, bound+heartbeat)
		}
		awaitInMemory(t, f.verifier, fresh.Token)
		if _, err := f.verifier.Verify(t.Context(), old.Token); err == nil {
			t.Errorf("%s: the superseded token is accepted after the fault", fault.name)
		}
	}
}
