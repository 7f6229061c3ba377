package revocation

import (
	"context"
	"errors"
	"time"
)

// Subscriber is the position of one reader in a feed. Only one goroutine may use it.
type Subscriber struct {
	feed     *Feed
	since    time.Time // when the subscription began
	epoch    string    // of the last hello; "" before the first
	position int64     // of the next byte in the ring
	beats    uint64    // the number of the last beat sent
	closed   bool
}

// Next returns the next part of the stream, of one or more events, and whether there is more at once. It waits until
// there is one, or until ctx ends. The caller must not change the bytes.
func (s *Subscriber) Next(ctx context.Context) (part []byte, more bool, err error) {
	f := s.feed
	for {
		f.mu.Lock()
		part, err = s.take()
		more = err == nil && len(part) > 0 && s.pending()
		wake := f.wake
		f.mu.Unlock()
		if len(part) > 0 || err != nil {
			return part, more, err
		}
		select {
		case <-ctx.Done():
			return nil, false, ctx.Err()
		case <-wake:
		}
	}
}

// pending reports whether the subscriber has not reached the end of the stream. The caller holds feed.mu.
func (s *Subscriber) pending() bool {
	f := s.feed
	return s.epoch != f.epoch || s.position < f.ring.end() || s.hasBeat()
}

// hasBeat reports whether the latest beat is the next event. A beat older than the subscription is none for it: the
// subscriber measures the age of its knowledge from the first server time that it gets. The caller holds feed.mu.
func (s *Subscriber) hasBeat() bool {
	f := s.feed
	return f.beat != nil && f.beats > s.beats && s.position >= f.beatEnd && !f.beatAt.Before(s.since)
}

// take returns the next part, or nil if there is none. The caller holds feed.mu.
func (s *Subscriber) take() ([]byte, error) {
	f := s.feed
	switch {
	case f.closed:
		return nil, ErrClosed
	case f.epoch == "":
		return nil, nil
	case s.epoch != f.epoch:
		s.epoch = f.epoch
		s.position = f.ring.end()
		s.beats = f.beats
		s.since = f.now()
		return AppendHello(nil, EventID{Epoch: f.epoch, Sequence: f.sequence}, Hello{
			Epoch: f.epoch, ServerTime: s.since, IssuedUntil: f.issuedUntil(),
			MaxTokenLife: f.config.MaxTokenLife, Heartbeat: f.config.Heartbeat,
		}), nil
	case s.position < f.ring.begin():
		f.stats.CutOffs++
		return nil, ErrTooSlow
	case s.position < f.ring.end():
		part := f.ring.from(s.position)
		s.position += int64(len(part))
		return part, nil
	case s.hasBeat():
		s.beats = f.beats
		return f.beat, nil
	}
	return nil, nil
}

// Close removes the subscriber from its feed. err is why the subscription ended.
func (s *Subscriber) Close() {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	f.subscribers--
	if f.subscribers == 0 {
		f.idleSince = time.Now()
	}
}

// Reason returns the text of the comment that ends a stream after an error of Next, or "".
func Reason(err error) string {
	if errors.Is(err, ErrTooSlow) || errors.Is(err, ErrClosed) {
		return err.Error()
	}
	return ""
}
