package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/revocation"
)

const (
	// followerCheck is how often the credentials of a follower are checked again.
	followerCheck = 5 * time.Second
	// followerWriteTimeout is how long one write to a follower may take.
	followerWriteTimeout = 10 * time.Second
)

var (
	errNoFeed   = &fault.Error{Kind: fault.Unavailable, Message: "This server has no feed; ask about each token."}
	errFeedFull = &fault.Error{
		Kind:       fault.Unavailable,
		RetryAfter: 10 * time.Second,
		Message:    "The feed has as many followers as it accepts; retry after 10 s.",
	}
	errCredentialsEnded = errors.New("the credentials have ended; sign in again")
)

// revocations answers with the feed: a stream of server-sent events.
func (s *server) revocations(_ context.Context, r request, _ none) (response, error) {
	if err := r.caller.CheckFollower(); err != nil {
		return response{}, err
	}
	if s.feed == nil {
		return response{}, errNoFeed
	}
	follower, err := s.feed.Subscribe(r.http.Header.Get("Last-Event-ID"))
	switch {
	case errors.Is(err, revocation.ErrNone):
		return response{}, errNoFeed
	case errors.Is(err, revocation.ErrFull):
		return response{}, errFeedFull
	case err != nil:
		return response{}, &fault.Error{Kind: fault.Unavailable, Message: "The server is stopping; retry after 1 s.",
			RetryAfter: time.Second}
	}
	return response{stream: func(w http.ResponseWriter, r *http.Request) {
		defer follower.Close()
		releaseSlot(w)
		s.stream(w, r, follower)
	}}, nil
}

// stream writes the events of a follower until the client disconnects, the feed or the server ends, the follower reads
// too slowly, or its credentials end. The last comment of the stream states the reason.
func (s *server) stream(w http.ResponseWriter, r *http.Request, follower *revocation.Subscriber) {
	h := w.Header()
	h["Content-Type"] = []string{"text/event-stream"}
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	h["X-Accel-Buffering"] = []string{"no"} // nginx would hold the events back
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // the deadline of the request would end the stream
	write := func(part []byte, flush bool) error {
		_ = out.SetWriteDeadline(time.Now().Add(followerWriteTimeout))
		_, err := w.Write(part)
		if err == nil && flush {
			err = out.Flush()
		}
		return err
	}
	err := write(nil, true) // the client sees that the server has accepted it
	for err == nil {
		if err = s.sendEvents(r, follower, write); err == nil {
			err = s.checkFollower(r, w)
		}
	}
	if reason := reasonToEnd(err); reason != "" {
		_ = write(revocation.AppendComment(nil, reason), true) // the client may have disconnected
	}
}

// sendEvents writes the events of a follower until its credentials have to be checked.
func (s *server) sendEvents(
	r *http.Request, follower *revocation.Subscriber, write func(part []byte, flush bool) error,
) error {
	ctx, cancel := context.WithTimeout(r.Context(), followerCheck)
	defer cancel()
	defer context.AfterFunc(stopping(r.Context()), cancel)()
	for {
		part, more, err := follower.Next(ctx)
		if err == nil {
			err = write(part, !more)
		}
		switch {
		case err == nil && ctx.Err() == nil:
		case stopping(r.Context()).Err() != nil:
			return revocation.ErrClosed
		case r.Context().Err() != nil:
			return r.Context().Err()
		case errors.Is(err, context.DeadlineExceeded):
			return nil
		default:
			return err
		}
	}
}

// checkFollower returns an error if the credentials of a follower have ended. While the store is unreachable, the
// follower stays.
func (s *server) checkFollower(r *http.Request, w http.ResponseWriter) error {
	caller, err := s.authenticate(s.requestContext(w, r), r, feedOpen, unsafeMethod)
	if err == nil {
		err = caller.CheckFollower()
	}
	if err == nil || fault.KindOf(err) == fault.Unavailable {
		return nil
	}
	return errCredentialsEnded
}

// reasonToEnd returns the text of the last comment of a stream, or "".
func reasonToEnd(err error) string {
	if errors.Is(err, errCredentialsEnded) {
		return err.Error()
	}
	return revocation.Reason(err)
}
