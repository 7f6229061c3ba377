package storetest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/authority/throttle"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/internal/userimport"
)

// races are the tests of the suite that make concurrent calls.
var races = []string{
	"RotateRace", "RotateAgainstEnd", "RotateAgainstKey", "OpenAgainstSuspend", "SessionCapRace", "OpenForRace",
	"AssertionOnce", "FirstRoot", "ImportRace", "RightsRace", "LastRootRace", "RetireRace", "AttemptsRace",
	"ReceiversAtOnce", "LeaseRace",
}

// RunRaces runs the tests of races on a store with several nodes. The calls of a test go to its nodes in turn. Within
// one test, each call of open must return nodes with the same state.
func RunRaces(t *testing.T, newState func(t *testing.T) (open func() []Store)) {
	for _, name := range races {
		t.Run(name, func(t *testing.T) {
			openNodes := newState(t)
			open := func() Store {
				nodes := openNodes()
				return &alternating{Store: nodes[0], nodes: nodes}
			}
			s := &state{T: t, Store: open(), open: open}
			t.Cleanup(func() { s.Store.Close() })
			suite[name](t, s)
		})
	}
}

// alternating calls its nodes in turn. A method that no race calls is that of the first node.
type alternating struct {
	Store
	nodes []Store
	calls atomic.Uint32
}

func (a *alternating) node() Store { return a.nodes[int(a.calls.Add(1))%len(a.nodes)] }

func (a *alternating) Close() error {
	var err error
	for _, node := range a.nodes {
		err = errors.Join(err, node.Close())
	}
	return err
}

func (a *alternating) OpenSession(ctx context.Context, o authority.Opening) ([]authority.EndedSession, error) {
	return a.node().OpenSession(ctx, o)
}

func (a *alternating) OpenSessionFor(
	ctx context.Context, r authority.Rights, o authority.Opening,
) (*authority.User, []authority.EndedSession, error) {
	return a.node().OpenSessionFor(ctx, r, o)
}

func (a *alternating) Session(ctx context.Context, id token.SessionID) (authority.SessionWithUser, error) {
	return a.node().Session(ctx, id)
}

func (a *alternating) Sessions(
	ctx context.Context, f authority.SessionFilter,
) ([]authority.SessionWithOrigin, error) {
	return a.node().Sessions(ctx, f)
}

func (a *alternating) Rotate(
	ctx context.Context, r authority.Rotation,
) (authority.SessionWithUser, bool, error) {
	return a.node().Rotate(ctx, r)
}

func (a *alternating) EndSession(ctx context.Context, r authority.Rights, id token.SessionID) error {
	return a.node().EndSession(ctx, r, id)
}

func (a *alternating) EndSessions(
	ctx context.Context, r authority.Rights, userID int64, opts authority.EndOptions,
) (int64, error) {
	return a.node().EndSessions(ctx, r, userID, opts)
}

func (a *alternating) CreateUser(
	ctx context.Context, r authority.Rights, u authority.User, passwordHash string,
) (*authority.User, error) {
	return a.node().CreateUser(ctx, r, u, passwordHash)
}

func (a *alternating) CreateFirstRoot(
	ctx context.Context, u authority.User, passwordHash string,
) (*authority.User, error) {
	return a.node().CreateFirstRoot(ctx, u, passwordHash)
}

func (a *alternating) UserByExternalID(ctx context.Context, externalID string) (*authority.User, error) {
	return a.node().UserByExternalID(ctx, externalID)
}

func (a *alternating) ListUsers(ctx context.Context, f authority.UserFilter) ([]authority.User, error) {
	return a.node().ListUsers(ctx, f)
}

func (a *alternating) UpdateUser(
	ctx context.Context, r authority.Rights, id int64, c authority.UserChange,
) (*authority.User, error) {
	return a.node().UpdateUser(ctx, r, id, c)
}

func (a *alternating) SetPassword(
	ctx context.Context, r authority.Rights, id int64, c authority.PasswordChange,
) error {
	return a.node().SetPassword(ctx, r, id, c)
}

func (a *alternating) CreateAPIKey(
	ctx context.Context, r authority.Rights, k authority.APIKey, hash authority.APIKeyHash,
) (authority.APIKey, error) {
	return a.node().CreateAPIKey(ctx, r, k, hash)
}

func (a *alternating) DeleteAPIKey(ctx context.Context, r authority.Rights, id int64) error {
	return a.node().DeleteAPIKey(ctx, r, id)
}

func (a *alternating) SigningKeys(ctx context.Context) ([]keyring.SigningKey, error) {
	return a.node().SigningKeys(ctx)
}

func (a *alternating) AddSigningKey(
	ctx context.Context, r authority.Rights, k keyring.SigningKey, first bool,
) error {
	return a.node().AddSigningKey(ctx, r, k, first)
}

func (a *alternating) RetireSigningKey(ctx context.Context, r authority.Rights, id string, at int64) error {
	return a.node().RetireSigningKey(ctx, r, id, at)
}

func (a *alternating) AddReceiver(
	ctx context.Context, r authority.Rights, receiver authority.Receiver, most int,
) error {
	return a.node().AddReceiver(ctx, r, receiver, most)
}

func (a *alternating) LeaseReceivers(
	ctx context.Context, node string, life time.Duration,
) ([]authority.Receiver, error) {
	return a.node().LeaseReceivers(ctx, node, life)
}

func (a *alternating) BeginAttempt(
	ctx context.Context, attempt throttle.Attempt,
) (wait time.Duration, known bool, err error) {
	return a.node().BeginAttempt(ctx, attempt)
}

func (a *alternating) ResolveAttempt(
	ctx context.Context, attempt throttle.Attempt, known bool, o throttle.Outcome,
) error {
	return a.node().ResolveAttempt(ctx, attempt, known, o)
}

func (a *alternating) ImportUsers(
	ctx context.Context, users []authority.UserWithHash, e audit.Event,
) ([]userimport.Imported, error) {
	return a.node().ImportUsers(ctx, users, e)
}
