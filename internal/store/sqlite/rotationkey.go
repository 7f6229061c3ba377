package sqlite

import (
	"context"
	"errors"
	"slices"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/sessionlog"
	"github.com/pawlauth/pawl/internal/store/batch"
)

// permits returns ErrActorEnded unless the API key of a rotation is permitted as of the last commit.
func (s *Store) permits(ctx context.Context, r *authority.Rotation) error {
	key, user, err := s.APIKeyByHash(ctx, r.APIKey.Hash)
	if err != nil {
		return endedIfNotFound(err)
	}
	state, exists := s.sessions.Get(key.Session)
	return permit(r, &key, user, state, exists)
}

// checkAPIKey is permits within a commit. It includes the changes of the earlier operations of the batch, which are not
// in the caches yet.
func (s *Store) checkAPIKey(earlier []*batch.Op[operation], op *operation, sessions *sessionlog.Batch) error {
	r := &op.rotation
	if r.APIKey == nil {
		return nil
	}
	if !slices.ContainsFunc(earlier, isChange) {
		return s.permits(context.Background(), r)
	}
	key, err := queryOne(s.writer, selectAPIKeys+" WHERE hash = ? AND "+liveAPIKey, args{r.APIKey.Hash[:]}, scanAPIKey)
	if err != nil {
		return endedIfNotFound(err)
	}
	user, err := queryOne(s.writer, selectUserByID, args{key.UserID}, scanUser)
	if err != nil {
		return endedIfNotFound(err)
	}
	state, exists := sessions.Get(key.Session)
	return permit(r, &key, user, state, exists)
}

func permit(
	r *authority.Rotation, key *authority.APIKey, user *authority.User, state sessionlog.State, exists bool,
) error {
	var session *authority.Session
	if exists {
		session = &state.Session
	}
	if !r.APIKey.Permits(key, user, session, r.At) {
		return fault.ErrActorEnded
	}
	return nil
}

func endedIfNotFound(err error) error {
	if errors.Is(err, fault.ErrNotFound) {
		return fault.ErrActorEnded
	}
	return err
}
