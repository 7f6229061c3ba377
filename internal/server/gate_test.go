package server_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/token"
)

// gate is a store that can hold a write of a caller: the authority has permitted the write, and its transaction has not
// begun.
type gate struct {
	app.Store

	mu   sync.Mutex // guards the field below
	next *heldWrite // the write to hold; nil if none
}

// heldWrite is the next write of a caller.
type heldWrite struct {
	userID   int64
	arrived  chan struct{} // closed when the gate holds the write
	released chan struct{} // closed when the write may continue
	release  func()        // lets the write continue
}

// hold makes the gate hold the next write of a user.
func (g *gate) hold(userID int64) *heldWrite {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := &heldWrite{userID: userID, arrived: make(chan struct{}), released: make(chan struct{})}
	h.release = sync.OnceFunc(func() { close(h.released) })
	g.next = h
	return h
}

// start starts a call, and waits until the gate holds its write. The channel gets the status of the call. The write
// continues at the latest at the end of the test, because the server waits for the call then.
func (h *heldWrite) start(t *testing.T, call func() int) (answered <-chan int) {
	t.Helper()
	t.Cleanup(h.release)
	status := make(chan int, 1)
	go func() {
		defer close(status) // also if the call fails the test
		status <- call()
	}()
	select {
	case <-h.arrived:
	case got := <-status:
		t.Fatalf("answered %d without a write of the caller", got)
	case <-time.After(time.Minute):
		t.Fatal("after a minute, there is neither a write of the caller nor a response")
	}
	return status
}

func (g *gate) pass(r authority.Rights) {
	g.mu.Lock()
	held := g.next
	if held == nil || held.userID != r.Actor.UserID {
		g.mu.Unlock()
		return
	}
	g.next = nil
	g.mu.Unlock()
	close(held.arrived)
	<-held.released
}

func (g *gate) OpenSessionFor(
	ctx context.Context, r authority.Rights, o authority.Opening,
) (*authority.User, []authority.EndedSession, error) {
	g.pass(r)
	return g.Store.OpenSessionFor(ctx, r, o)
}

func (g *gate) EndSession(ctx context.Context, r authority.Rights, id token.SessionID) error {
	g.pass(r)
	return g.Store.EndSession(ctx, r, id)
}

func (g *gate) EndSessions(
	ctx context.Context, r authority.Rights, id int64, opts authority.EndOptions,
) (int64, error) {
	g.pass(r)
	return g.Store.EndSessions(ctx, r, id, opts)
}

func (g *gate) CreateUser(
	ctx context.Context, r authority.Rights, u authority.User, passwordHash string,
) (*authority.User, error) {
	g.pass(r)
	return g.Store.CreateUser(ctx, r, u, passwordHash)
}

func (g *gate) UpdateUser(
	ctx context.Context, r authority.Rights, id int64, c authority.UserChange,
) (*authority.User, error) {
	g.pass(r)
	return g.Store.UpdateUser(ctx, r, id, c)
}

func (g *gate) SetPassword(ctx context.Context, r authority.Rights, id int64, c authority.PasswordChange) error {
	g.pass(r)
	return g.Store.SetPassword(ctx, r, id, c)
}

func (g *gate) CreateAPIKey(
	ctx context.Context, r authority.Rights, k authority.APIKey, hash authority.APIKeyHash,
) (authority.APIKey, error) {
	g.pass(r)
	return g.Store.CreateAPIKey(ctx, r, k, hash)
}

func (g *gate) DeleteAPIKey(ctx context.Context, r authority.Rights, id int64) error {
	g.pass(r)
	return g.Store.DeleteAPIKey(ctx, r, id)
}

func (g *gate) AddSigningKey(ctx context.Context, r authority.Rights, k keyring.SigningKey, first bool) error {
	g.pass(r)
	return g.Store.AddSigningKey(ctx, r, k, first)
}

func (g *gate) RetireSigningKey(ctx context.Context, r authority.Rights, id string, at int64) error {
	g.pass(r)
	return g.Store.RetireSigningKey(ctx, r, id, at)
}

func (g *gate) AddReceiver(ctx context.Context, r authority.Rights, receiver authority.Receiver, most int) error {
	g.pass(r)
	return g.Store.AddReceiver(ctx, r, receiver, most)
}

func (g *gate) RemoveReceiver(ctx context.Context, r authority.Rights, id string) error {
	g.pass(r)
	return g.Store.RemoveReceiver(ctx, r, id)
}
