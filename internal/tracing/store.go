package tracing

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/throttle"
	"github.com/pawlauth/pawl/internal/token"
)

// Store gives a span to each step of sessions, and of the counts of failed
// sign-ins: those that a client waits for most.
func (t *Tracing) Store(next authority.Store) authority.Store { return &store{next, t} }

type store struct {
	authority.Store
	tracing *Tracing
}

func (s *store) span(ctx context.Context, name string) (context.Context, trace.Span) {
	return s.tracing.tracer.Start(ctx, "store "+name)
}

// end ends a span. An error's text may name an object, so it is left out; that
// something is not there is no fault.
func end(span trace.Span, err error) {
	if err != nil && !errors.Is(err, fault.ErrNotFound) {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

func (s *store) OpenSession(ctx context.Context, r authority.SessionRecord, passwordHash string) (err error) {
	ctx, span := s.span(ctx, "OpenSession")
	defer func() { end(span, err) }()
	return s.Store.OpenSession(ctx, r, passwordHash)
}

func (s *store) Session(ctx context.Context, id token.SessionID) (live authority.SessionWithUser, err error) {
	ctx, span := s.span(ctx, "Session")
	defer func() { end(span, err) }()
	return s.Store.Session(ctx, id)
}

func (s *store) RecentSession(ctx context.Context, id token.SessionID) (live authority.SessionWithUser, err error) {
	ctx, span := s.span(ctx, "RecentSession")
	defer func() { end(span, err) }()
	return s.Store.RecentSession(ctx, id)
}

func (s *store) Rotate(ctx context.Context, r authority.Rotation) (live authority.SessionWithUser, moved bool, err error) {
	ctx, span := s.span(ctx, "Rotate")
	defer func() { end(span, err) }()
	return s.Store.Rotate(ctx, r)
}

func (s *store) EndSession(ctx context.Context, id token.SessionID) (err error) {
	ctx, span := s.span(ctx, "EndSession")
	defer func() { end(span, err) }()
	return s.Store.EndSession(ctx, id)
}

func (s *store) EndSessions(ctx context.Context, userID int64, except token.SessionID) (err error) {
	ctx, span := s.span(ctx, "EndSessions")
	defer func() { end(span, err) }()
	return s.Store.EndSessions(ctx, userID, except)
}

func (s *store) BeginAttempt(ctx context.Context, g throttle.Attempt) (wait int64, known bool, err error) {
	ctx, span := s.span(ctx, "BeginGuess")
	defer func() { end(span, err) }()
	return s.Store.BeginAttempt(ctx, g)
}

func (s *store) ResolveAttempt(ctx context.Context, g throttle.Attempt, known bool, o throttle.Outcome) (err error) {
	ctx, span := s.span(ctx, "SettleGuess")
	defer func() { end(span, err) }()
	return s.Store.ResolveAttempt(ctx, g, known, o)
}

// PasswordCheck is the hasher's hook: a span for the wait and the work.
func (t *Tracing) PasswordCheck(ctx context.Context) (end func()) {
	_, span := t.tracer.Start(ctx, "password hash")
	return func() { span.End() }
}
