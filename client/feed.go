package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pawlauth/pawl/internal/clock"
	"github.com/pawlauth/pawl/internal/revocation"
)

const (
	feedPath = "/v2/revocations"
	// renewFeedAfter is the life of a subscription. The next one measures the age of the knowledge again, so that
	// two clocks whose rates differ by 100 ppm err by 60 ms at most.
	renewFeedAfter = 10 * time.Minute
	// maxLateBeats is the number of beats in a row that may arrive too late. After that, a new subscription is tried.
	maxLateBeats = 5
	// extraSilence is added to the bound and two heartbeats: a feed that is silent for longer has stalled.
	extraSilence = time.Second
	maxFeedPause = 5 * time.Second // between two attempts to subscribe, without Retry-After
)

// The reasons to end a subscription that works.
var (
	errFeedRenewed  = errors.New("client: the subscription is renewed")
	errFeedLate     = errors.New("client: the beats of the feed arrive too late; is the network overloaded?")
	errFeedSilent   = errors.New("client: the feed has stalled")
	errClockSetBack = errors.New("client: the local clock was set back")
)

// follow subscribes to the feed until ctx ends.
func (v *Verifier) follow(ctx context.Context) {
	for failures := 0; ; {
		beats := v.counters.beats.Load()
		err := v.subscribe(ctx)
		if ctx.Err() != nil {
			return
		}
		if v.counters.beats.Load() > beats {
			failures = 0
		}
		if errors.Is(err, errFeedRenewed) {
			continue
		}
		v.counters.feedFailures.Add(1)
		v.failure.Store(&err)
		wait := rand.N(min(minPause<<min(failures, doublings), maxFeedPause))
		if e, ok := errors.AsType[*Error](err); ok {
			wait += min(e.RetryAfter, maxRetryAfter)
		}
		failures++
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// subscribe receives events until the feed ends, stalls, or should be renewed. It always returns an error.
func (v *Verifier) subscribe(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(v.config.AskTimeout, func() { cancel(errFeedSilent) })
	defer silent.Stop()
	resp, sent, err := v.openFeed(ctx)
	if err != nil {
		return cmpCause(ctx, err)
	}
	defer resp.Body.Close()
	s := subscription{verifier: v, opened: v.config.Clock(), anchor: knowledge{local: sent}}
	events := revocation.NewDecoder(resp.Body)
	for {
		event, err := events.Next()
		if err != nil {
			if err == io.EOF {
				err = fmt.Errorf("client: the server ended the feed: %s", events.Comment())
			}
			return cmpCause(ctx, err)
		}
		if err := s.apply(event); err != nil {
			return err
		}
		v.lastEvent = event.ID
		silent.Reset(v.config.Bound + 2*s.anchor.hello.heartbeat + extraSilence)
	}
}

// cmpCause returns the reason why ctx ended, or else err.
func cmpCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// openFeed opens the stream of events. It also returns a reading of the local clock from before the server got the
// request, but not before the connection was ready, because a slow handshake would make the knowledge look old.
func (v *Verifier) openFeed(ctx context.Context) (*http.Response, time.Time, error) {
	var sent atomic.Pointer[time.Time]
	ready := func(httptrace.GotConnInfo) { now := v.config.Clock(); sent.Store(&now) }
	begun := v.config.Clock()
	sent.Store(&begun)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: ready})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.client.url+feedPath, nil)
	if err != nil {
		return nil, begun, fmt.Errorf("client: %w", err)
	}
	v.client.setHeaders(req.Header, call{})
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Accept-Encoding", "identity") // a proxy that compresses would hold events back
	req.Header.Set("Cache-Control", "no-store")
	if v.lastEvent != "" {
		req.Header.Set("Last-Event-ID", v.lastEvent)
	}
	stream := *v.client.http
	stream.Timeout = 0
	resp, err := stream.Do(req)
	if err != nil {
		return nil, begun, fmt.Errorf("the feed is unreachable: %w", err)
	}
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if resp.StatusCode == http.StatusOK && kind == "text/event-stream" {
		return resp, *sent.Load(), nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxFeedError))
	if err != nil {
		return nil, begun, fmt.Errorf("the response was cut off: %w", err)
	}
	if _, err = parseEnvelope(resp, text); err == nil {
		err = errorOf(resp, "", notPawl)
	}
	return nil, begun, err
}

const maxFeedError = 16 << 10

// subscription applies the events of one stream.
type subscription struct {
	verifier *Verifier
	opened   time.Time
	anchor   knowledge // server is zero until the first event that has a server time
	late     int       // beats in a row that arrived too late
}

// apply applies one event. It returns an error if there should be a new subscription.
func (s *subscription) apply(event revocation.Event) error {
	v := s.verifier
	switch event.Name {
	case revocation.HelloEvent:
		s.hello(event.Hello)
	case revocation.RevokedEvent:
		for _, change := range event.Changes {
			v.table.Apply(change)
		}
		v.counters.changes.Add(uint64(len(event.Changes)))
	case revocation.BeatEvent:
		return s.beat(event.Beat)
	}
	return nil
}

// hello begins a new epoch.
func (s *subscription) hello(hello revocation.Hello) {
	v := s.verifier
	v.counters.epochs.Add(1)
	// If the clock of the server was set back, tokens issued before this hello are as late as the earlier server time.
	since := hello.ServerTime
	if hello.IssuedUntil.After(since) {
		since = hello.IssuedUntil
	}
	if known := v.known.Load(); known != nil {
		if before := known.serverTime(v.config.Clock()); before.After(since) {
			since = before
		}
	}
	v.table.Begin(since, hello.MaxTokenLife)
	times := helloTimes{
		server: hello.ServerTime, maxTokenLife: hello.MaxTokenLife, heartbeat: hello.Heartbeat,
	}
	// The server's clock of another epoch may differ. The server sent this hello after the last beat, so the local time
	// of that beat, as known so far, is before the new server time.
	if !s.anchor.server.IsZero() {
		s.anchor.local = s.anchor.local.Add(s.anchor.beat.Sub(s.anchor.server))
	}
	s.anchor.server, s.anchor.beat = hello.ServerTime, hello.ServerTime
	s.anchor.hello = times
	v.epoch = times
	v.refreshKeys() // a signing key may have been retired
}

// beat publishes what a beat proves.
func (s *subscription) beat(serverTime time.Time) error {
	v := s.verifier
	if s.anchor.server.IsZero() { // the stream was resumed without a hello
		s.anchor.server = serverTime
		s.anchor.hello = v.epoch
	}
	s.anchor.beat = serverTime
	v.table.Beat(serverTime)
	v.table.Sweep()
	known := s.anchor
	v.known.Store(&known)
	v.counters.beats.Add(1)
	now := v.config.Clock()
	if known.isFresh(now, v.config.Bound) {
		s.late = 0
		v.failure.Store(nil)
		v.markReady()
	} else {
		s.late++
	}
	switch {
	case s.late > maxLateBeats:
		return errFeedLate
	case known.setBack(now):
		return errClockSetBack
	case clock.Elapsed(s.opened, now) >= renewFeedAfter:
		return errFeedRenewed
	}
	return nil
}
