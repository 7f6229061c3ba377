//go:build unix

package e2e_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// TestVerifierStoppedNode stops a node with SIGSTOP, so that its connections stay open, right after it has superseded a
// token. The verifier must not accept the token for longer than its bound and one heartbeat.
func TestVerifierStoppedNode(t *testing.T) {
	const (
		bound     = time.Second
		heartbeat = 200 * time.Millisecond
	)
	dev := testbin.StartDev(t, testbin.Build(t), t.TempDir(), "--algorithm", "ES256")
	pawl := testbin.Client(t, dev.Env["PAWL_URL"], client.WithAPIKey(dev.Env["PAWL_API_KEY"]))
	verifier := client.NewVerifier(pawl, client.VerifierConfig{AskTimeout: 100 * time.Millisecond})
	defer verifier.Close()
	if err := verifier.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		old, err := pawl.Login(t.Context(), dev.Env["PAWL_LOGIN"], dev.Env["PAWL_PASSWORD"])
		if err != nil {
			t.Fatal(err)
		}
		awaitInMemory(t, verifier, old.Token)
		fresh, err := pawl.Refresh(t.Context(), old.Token)
		if err != nil {
			t.Fatal(err)
		}
		died := time.Now()
		if err := dev.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		longest := longestAcceptance(t.Context(), verifier, old.Token, died, bound+5*heartbeat)
		if err := dev.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		t.Logf("longest acceptance: %s", longest)
		if longest > bound+heartbeat {
			t.Errorf("a superseded token was accepted for %s, want at most %s", longest, bound+heartbeat)
		}
		awaitInMemory(t, verifier, fresh.Token)
	}
}

// awaitInMemory waits until the verifier accepts a token without a question.
func awaitInMemory(t *testing.T, v *client.Verifier, token string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		before := v.Stats().Asked
		_, err := v.Verify(t.Context(), token)
		if err == nil && v.Stats().Asked == before {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s: %v; %+v", err, v.Stats())
		}
	}
}

// longestAcceptance verifies a token every 10 ms for a time after it died. It returns how long after that the last
// accepted call began.
func longestAcceptance(
	ctx context.Context, v *client.Verifier, token string, died time.Time, limit time.Duration,
) (longest time.Duration) {
	each := time.NewTicker(10 * time.Millisecond)
	defer each.Stop()
	for began := died; began.Sub(died) < limit; began = time.Now() {
		if _, err := v.Verify(ctx, token); err == nil {
			longest = began.Sub(died)
		}
		<-each.C
	}
	return longest
}
