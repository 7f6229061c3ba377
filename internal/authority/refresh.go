package authority

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// RefreshRequest describes a refresh.
type RefreshRequest struct {
	Token          string
	APIKey         string // "" if the request has none
	Open           Access // the API keys that the call is open to
	IdempotencyKey IdempotencyKeyHash
	From           Origin
}

// Refresh exchanges the current token of a session for the next one. As soon as it succeeds, the former token is
// rejected on every node. A request repeated after a lost response gets the same successor (see classifyReuse).
func (a *Authority) Refresh(ctx context.Context, r RefreshRequest) (IssuedToken, error) {
	if r.Token == "" {
		a.metrics.Refresh(RefreshInvalid.String())
		return IssuedToken{}, fault.Invalid("token is missing; send the current token.")
	}
	claims, tokenErr := a.verify(ctx, r.Token)
	issued, outcome, err := a.exchange(ctx, claims, tokenErr, r)
	a.metrics.Refresh(outcome.String())
	if detail := rejectionDetails[outcome]; detail != "" {
		a.audit.Record(ctx, audit.Event{
			Kind: audit.RefreshRefused, User: claims.Subject, Session: claims.Session, Actor: claims.ActorID,
			Address: r.From.IP, Detail: detail,
			Warning: outcome == RefreshRaceElsewhere || outcome == RefreshMisplaced,
		})
	}
	return issued, err
}

// exchange is Refresh after the call of verify, which returned claims and tokenErr. All rejected tokens get the same
// error, so that a thief learns nothing from it. The outcome is for the metrics and the audit.
func (a *Authority) exchange(
	ctx context.Context, claims token.Claims, tokenErr error, r RefreshRequest,
) (IssuedToken, RefreshOutcome, error) {
	if errors.Is(tokenErr, token.ErrMalformed) {
		return refreshFailure(fault.Invalid("token is not a JWT; send the current token as it was issued."))
	}
	misplaced := r.From.Cookie && !claims.Cookie
	rotates := !misplaced && (tokenErr == nil || errors.Is(tokenErr, token.ErrExpired))
	apiKey, err := a.refreshKey(ctx, r, claims, rotates)
	if err != nil {
		return refreshFailure(err)
	}
	switch {
	case errors.Is(tokenErr, token.ErrExpired):
		// The session decides. Its current token can be refreshed until its Idle, and a superseded one is treated as if
		// it had not expired.
	case errors.Is(tokenErr, token.ErrInvalid):
		return IssuedToken{}, RefreshUnknown, errSession
	case tokenErr != nil:
		return refreshFailure(fault.FromStore(tokenErr, nil))
	}
	rotation := Rotation{
		Session: claims.Session, From: claims.Generation, At: a.now(), Lives: a.policy.lives(),
		IdempotencyKey: r.IdempotencyKey, Shared: r.From.Cookie && claims.Cookie, Address: hashAddress(r.From.IP),
		APIKey: apiKey,
	}
	s, rotated, err := a.rotate(ctx, rotation, misplaced)
	switch {
	case errors.Is(err, fault.ErrActorEnded):
		return refreshFailure(cmp.Or(a.checkRefreshKey(ctx, apiKey), error(errAPIKey))) // it may be valid again
	case errors.Is(err, fault.ErrNotFound) && tokenErr != nil:
		return IssuedToken{}, RefreshExpired, errSessionEnded
	case errors.Is(err, fault.ErrNotFound):
		return IssuedToken{}, RefreshEnded, errSessionEnded
	case err != nil:
		return refreshFailure(fault.FromStore(err, nil))
	case rotated:
		return a.issueRefreshed(ctx, s, RefreshRotated, claims.Cookie)
	case misplaced && s.Session.Generation == claims.Generation:
		return IssuedToken{}, RefreshMisplaced, errSession
	case s.Session.Generation == claims.Generation:
		return IssuedToken{}, RefreshExpired, errSessionEnded
	}
	switch kind := classifyReuse(s.Session, claims.IssuedAt, rotation, a.policy); {
	case kind == reuseTheft:
		return a.endStolen(ctx, s, claims.Generation, r.From)
	case misplaced:
		return IssuedToken{}, RefreshMisplaced, errSession
	case kind == reuseReplay:
		if err := a.recordReplay(ctx, s.Session, rotation.At); err != nil {
			return refreshFailure(fault.FromStore(err, nil))
		}
		return a.issueRefreshed(ctx, s, RefreshReplayed, claims.Cookie)
	}
	if winner, own := s.Session.Address, rotation.Address; winner != own && winner != 0 && own != 0 {
		return IssuedToken{}, RefreshRaceElsewhere, errSession
	}
	return IssuedToken{}, RefreshRace, errSession
}

// recordReplay begins the race window of the replayed token again. It writes at most once a second.
func (a *Authority) recordReplay(ctx context.Context, s Session, now int64) error {
	if !s.RecordReplay(now) {
		return nil
	}
	ctx, end := a.storeSpan(ctx, "RecordReplay")
	err := a.store.RecordReplay(ctx, s.ID, s.Generation, s.Previous)
	end(err)
	return err
}

// rotate is Store.Rotate within a span. It only reads the session of a misplaced token: one in a cookie, of a session
// that no cookie was asked for. Browsers send no such token. A thief would, because the tabs of a browser may refresh
// the token of their cookie again.
func (a *Authority) rotate(
	ctx context.Context, r Rotation, misplaced bool,
) (s SessionWithUser, rotated bool, err error) {
	if misplaced {
		s, err = a.readSession(ctx, r.Session)
		return s, false, err
	}
	ctx, end := a.storeSpan(ctx, "Rotate")
	s, rotated, err = a.store.Rotate(ctx, r)
	end(err)
	return s, rotated, err
}

// issueRefreshed issues the current token of a session as the result of a refresh. cookie is the claim of the token
// before it. issueRefreshed looks at the actor after the rotation, so that no token is issued once the actor has lost
// the right to act.
func (a *Authority) issueRefreshed(
	ctx context.Context, s SessionWithUser, outcome RefreshOutcome, cookie bool,
) (IssuedToken, RefreshOutcome, error) {
	_, err := a.liveActor(ctx, s.Session)
	switch {
	case SessionEnded(err):
		return IssuedToken{}, RefreshEnded, err
	case err != nil:
		return refreshFailure(err)
	}
	issued, err := a.issue(s, cookie)
	if err != nil {
		return refreshFailure(err)
	}
	return issued, outcome, nil
}

// endStolen ends a session because one of its superseded tokens was used. The reuse is counted first, because the
// store may be unreachable.
func (a *Authority) endStolen(
	ctx context.Context, s SessionWithUser, generation uint32, from Origin,
) (IssuedToken, RefreshOutcome, error) {
	a.metrics.TokenReuse()
	if err := a.endSession(ctx, Rights{}, s.Session.ID); err != nil {
		return refreshFailure(fault.FromStore(err, nil))
	}
	a.audit.Record(ctx, s.User.event(audit.Event{
		Kind: audit.Theft, Session: s.Session.ID, Actor: s.Session.ActorID(), Address: from.IP,
		Detail: fmt.Sprintf("superseded token, generation %d of %d; the session was ended",
			generation, s.Session.Generation),
	}))
	return IssuedToken{}, RefreshTheft, errSessionEnded
}

// refreshFailure returns the outcome of a refresh that failed before its token was accepted or rejected.
func refreshFailure(err error) (IssuedToken, RefreshOutcome, error) {
	outcome := RefreshFailed
	switch fault.KindOf(err) {
	case fault.InvalidAPIKey, fault.AccessDenied:
		outcome = RefreshAPIKey
	case fault.InvalidParameter:
		outcome = RefreshInvalid
	case fault.Unavailable:
		outcome = RefreshUnavailable
	}
	return IssuedToken{}, outcome, err
}

// refreshKey returns what the policy requires of the API key of a refresh, or nil if the request needs none. If the
// refresh rotates, the store checks the API key; else refreshKey checks it. The claims have no subject if the token is
// not of this server.
func (a *Authority) refreshKey(
	ctx context.Context, r RefreshRequest, claims token.Claims, rotates bool,
) (*APIKeyCheck, error) {
	if r.APIKey == "" {
		if a.policy.RefreshAPIKey == APIKeyOptional {
			return nil, nil
		}
		return nil, errAPIKeyMissing
	}
	hash, ok := parseAPIKey(r.APIKey)
	if !ok {
		return nil, errAPIKey
	}
	check := &APIKeyCheck{Hash: hash, Open: r.Open}
	if a.policy.RefreshAPIKey == APIKeyBound {
		check.UserID = claims.Subject
	}
	if rotates {
		return check, nil
	}
	return nil, a.checkRefreshKey(ctx, check)
}

// checkRefreshKey checks an API key without a rotation. Its error states why the API key is not permitted.
func (a *Authority) checkRefreshKey(ctx context.Context, check *APIKeyCheck) error {
	caller, err := a.callerByHash(ctx, check.Hash)
	if err != nil {
		return err
	}
	if err := check.Open.check(caller); err != nil {
		return err
	}
	if check.UserID != 0 && caller.User.ID != check.UserID {
		return errAPIKey
	}
	return nil
}
