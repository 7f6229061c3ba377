package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/pawltest"
)

// feedServer is a server on SQLite whose feed a test can reach, and a client with connections of its own.
type feedServer struct {
	*browser
	feed *revocation.Feed
	http *http.Client
}

// startFeed starts a server. ringSize is that of revocation.FeedConfig.
func startFeed(t *testing.T, ringSize int, transport *http.Transport) *feedServer {
	t.Helper()
	if os.Getenv(postgresVariable) != "" {
		t.Skip("does not depend on the store")
	}
	s := &feedServer{http: &http.Client{Transport: transport}}
	t.Cleanup(transport.CloseIdleConnections)
	s.browser = &browser{t, pawltest.New(t, pawltest.WithConfig(func(c *app.Config) {
		c.Clock = time.Now
		c.NewFeed = func(config revocation.FeedConfig) *revocation.Feed {
			config.RingSize = ringSize
			s.feed = revocation.NewFeed(config)
			return s.feed
		}
	}))}
	return s
}

// open opens a stream, and returns it without reading from it.
func (s *feedServer) open(ctx context.Context) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/v2/revocations", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-API-Key", s.AdminAPIKey)
	resp, err := s.http.Do(req)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the feed answered %s", resp.Status)
	}
	return resp, err
}

// readChanges reads a stream until it has n changes of sessions, whose generations must be 2, 3 and so on.
func readChanges(events *revocation.Decoder, n int) error {
	for next := uint32(2); next < uint32(n)+2; {
		e, err := events.Next()
		if err != nil {
			return err
		}
		for _, c := range e.Changes {
			if c.Generation != next {
				return fmt.Errorf("generation %d came instead of %d", c.Generation, next)
			}
			next++
		}
	}
	return nil
}

// TestFeedManyFollowers lets 1,000 clients follow the feed while a session is refreshed. Each must get every change in
// its order. Each change is encoded once, and no goroutine is added for a change.
func TestFeedManyFollowers(t *testing.T) {
	const (
		followers            = 1000
		refreshes            = 50
		goroutinesOfFollower = 6
	)
	s := startFeed(t, 0, &http.Transport{ReadBufferSize: 1 << 10, WriteBufferSize: 1 << 10})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	text := s.login()
	idle := runtime.NumGoroutine()
	streams := make([]*revocation.Decoder, followers)
	for i := range streams {
		resp, err := s.open(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		streams[i] = revocation.NewDecoder(resp.Body)
		if e, err := streams[i].Next(); err != nil || e.Name != revocation.HelloEvent {
			t.Fatalf("follower %d got %+v, %v", i, e, err)
		}
	}
	before := s.feed.Stats()
	if before.Subscribers != followers {
		t.Fatalf("%d subscribers, want %d", before.Subscribers, followers)
	}
	var reading sync.WaitGroup
	for i := range streams {
		reading.Go(func() {
			if err := readChanges(streams[i], refreshes); err != nil {
				t.Errorf("follower %d: %v", i, err)
			}
		})
	}
	most := 0
	patient := s.Client(client.WithRetries(20)) // a busy machine may not commit in the time for a request
	for range refreshes {
		next, err := patient.Refresh(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		text = next.Token
		most = max(most, runtime.NumGoroutine())
	}
	reading.Wait()
	after := s.feed.Stats()
	if got := after.Events - before.Events; got != refreshes {
		t.Errorf("%d events were encoded for %d refreshes", got, refreshes)
	}
	if after.CutOffs != 0 || after.Subscribers != followers {
		t.Errorf("figures: %+v, want no follower lost", after)
	}
	if limit := idle + followers*goroutinesOfFollower + 100; most > limit {
		t.Errorf("%d goroutines for %d followers, want at most %d", most, followers, limit)
	}
}

// TestFeedSlowFollower opens a stream and does not read from it until far more events have come than the feed keeps. It
// must be cut off with the reason. The feed must not keep events for it, and another follower must get every event.
func TestFeedSlowFollower(t *testing.T) {
	const ringSize, total = 256 << 10, 6 << 20
	s := startFeed(t, ringSize, &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err == nil {
				err = conn.(*net.TCPConn).SetReadBuffer(128 << 10) // no smaller than a segment
			}
			return conn, err
		},
	})
	slow, err := s.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Body.Close()
	fast := s.follow(s.admin())
	fast.read(revocation.HelloEvent)
	batch := make([]revocation.Change, 1000)
	for i := range batch {
		batch[i] = revocation.SessionRotated(token.SessionID{1, byte(i), byte(i >> 8)}, uint32(i+2))
	}
	heap := liveHeap()
	for s.feed.Stats().Bytes < total {
		s.feed.Publish(batch)
		if got := len(fast.read(revocation.RevokedEvent).Changes); got != len(batch) {
			t.Fatalf("the other follower got %d changes, want %d", got, len(batch))
		}
	}
	if grown := liveHeap() - heap; grown > total/2 {
		t.Errorf("%d bytes are kept after events of %d bytes", grown, total)
	}
	events := revocation.NewDecoder(slow.Body)
	for err == nil {
		_, err = events.Next()
	}
	if !errors.Is(err, io.EOF) || events.Comment() != revocation.ErrTooSlow.Error() {
		t.Errorf("the slow stream ended with %v and the comment %q", err, events.Comment())
	}
	if got := s.feed.Stats(); got.CutOffs != 1 || got.Subscribers != 1 {
		t.Errorf("figures: %+v, want one stream cut off, and one left", got)
	}
}

// liveHeap returns the bytes in use after a garbage collection.
func liveHeap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
