package revocation_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/token"
)

// follower reads a feed as a client does.
type follower struct {
	testing.TB
	*revocation.Subscriber
	last   string // the id of the last event
	events []revocation.Event
}

func follow(t testing.TB, f *revocation.Feed, lastEventID string) *follower {
	t.Helper()
	s, err := f.Subscribe(lastEventID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return &follower{TB: t, Subscriber: s, last: lastEventID}
}

// read reads the next parts until it has an event of this name, and returns the event.
func (f *follower) read(name string) revocation.Event {
	f.Helper()
	for {
		for i, e := range f.events {
			f.last = e.ID
			if e.Name == name {
				f.events = f.events[i+1:]
				return e
			}
		}
		part, _, err := f.Next(f.Context())
		if err != nil {
			f.Fatalf("waiting for a %s: %v", name, err)
		}
		f.events, _ = decodeAll(f, string(part))
	}
}

// rotated is the change of the n-th session of a test.
func rotated(n int) revocation.Change {
	return revocation.SessionRotated(token.SessionID{1, byte(n), byte(n >> 8), byte(n >> 16)}, uint32(n+1))
}

func TestFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocation.NewFeed(revocation.FeedConfig{MaxTokenLife: time.Minute})
		defer feed.Close()
		feed.Publish([]revocation.Change{rotated(0)}) // before any subscriber, so no event
		begun := time.Now()
		a, b := follow(t, feed, ""), follow(t, feed, "unknown-7")
		for _, f := range []*follower{a, b} {
			h := f.read(revocation.HelloEvent).Hello
			if h.ServerTime.Before(begun) || h.MaxTokenLife != time.Minute ||
				h.Heartbeat != revocation.DefaultHeartbeat {
				t.Errorf("hello: %+v", h)
			}
		}
		published := time.Now()
		feed.Publish([]revocation.Change{rotated(1), rotated(2)})
		feed.Publish([]revocation.Change{revocation.UserChanged(7, 8)})
		for _, f := range []*follower{a, b} {
			first, second := f.read(revocation.RevokedEvent), f.read(revocation.RevokedEvent)
			if !slices.Equal(first.Changes, []revocation.Change{rotated(1), rotated(2)}) ||
				!slices.Equal(second.Changes, []revocation.Change{revocation.UserChanged(7, 8)}) {
				t.Errorf("revoked %+v and %+v", first, second)
			}
		}
		if delay := time.Since(published); delay > 10*time.Millisecond {
			t.Errorf("the events came after %v", delay)
		}
		for range 3 {
			at := a.read(revocation.BeatEvent).Beat
			if age := time.Since(at); age < 0 || age > 2*time.Millisecond {
				t.Errorf("a beat came %v after its server time", age)
			}
		}
		stats := feed.Stats()
		if stats.Subscribers != 2 || stats.Events != 2 || stats.Epochs != 1 || stats.Bytes == 0 {
			t.Errorf("stats: %+v", stats)
		}
	})
}

// TestResume lets a subscriber come back again and again while events are published. It must get each one exactly once,
// and no beat from before it came back.
func TestResume(t *testing.T) {
	feed := revocation.NewFeed(revocation.FeedConfig{Heartbeat: time.Millisecond})
	defer feed.Close()
	const events = 5000
	f := follow(t, feed, "")
	f.read(revocation.HelloEvent)
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for i := range events {
			feed.Publish([]revocation.Change{rotated(i)})
		}
	})
	defer publishing.Wait()
	var got []revocation.Change
	for len(got) < events {
		f.Close()
		since := time.Now().Truncate(time.Millisecond)
		f = follow(t, feed, f.last)
		for range 1 + rand.IntN(3) {
			part, _, err := f.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			list, _ := decodeAll(t, string(part))
			kept := rand.IntN(len(list) + 1) // the rest is lost with the connection
			for _, e := range list[:kept] {
				f.last = e.ID
				got = append(got, e.Changes...)
				if e.Name == revocation.HelloEvent || e.Name == revocation.BeatEvent && e.Beat.Before(since) {
					t.Fatalf("after event %d: %+v, resumed at %v", len(got), e, since)
				}
			}
			if kept < len(list) {
				break
			}
		}
	}
	for i, c := range got {
		if c != rotated(i) {
			t.Fatalf("event %d is %+v", i, c)
		}
	}
}

// TestSlowSubscriber publishes far more than the ring has room for. A subscriber that does not read is cut off, and one
// that comes back too late gets a hello.
func TestSlowSubscriber(t *testing.T) {
	feed := revocation.NewFeed(revocation.FeedConfig{RingSize: 256 << 10})
	defer feed.Close()
	slow, late := follow(t, feed, ""), follow(t, feed, "")
	slow.read(revocation.HelloEvent)
	late.read(revocation.HelloEvent)
	feed.Publish([]revocation.Change{rotated(0)})
	late.read(revocation.RevokedEvent)
	many := make([]revocation.Change, 2500)
	for i := range many {
		many[i] = rotated(i)
	}
	for range 20 {
		feed.Publish(many)
	}
	if _, _, err := slow.Next(t.Context()); !errors.Is(err, revocation.ErrTooSlow) || revocation.Reason(err) == "" {
		t.Errorf("a slow subscriber got %v", err)
	}
	late.Close()
	if e := follow(t, feed, late.last).read(revocation.HelloEvent); e.Name != revocation.HelloEvent {
		t.Errorf("a late subscriber got %+v", e)
	}
	if stats := feed.Stats(); stats.CutOffs != 1 || stats.Events != 1+20*3 {
		t.Errorf("stats: %+v", stats)
	}
}

// TestWallClock sets the wall clock. Each step begins a new epoch, and no beat is ever later than the monotonic clock.
func TestWallClock(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			var offset time.Duration
			feed := revocation.NewFeed(revocation.FeedConfig{
				Clock: func() time.Time { return time.Now().Round(0).Add(offset) },
			})
			defer feed.Close()
			f := follow(t, feed, "")
			first := f.read(revocation.HelloEvent).Hello
			f.read(revocation.BeatEvent)
			offset = step // no other goroutine of the bubble runs
			second := f.read(revocation.HelloEvent).Hello
			moved := second.ServerTime.Sub(first.ServerTime)
			if second.Epoch == first.Epoch || moved < step || moved > step+time.Second {
				t.Errorf("after a step of %v: %+v, before: %+v", step, second, first)
			}
		})
	}
}

// TestIdle checks that a feed without subscribers keeps its events for a short time only.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocation.NewFeed(revocation.FeedConfig{})
		defer feed.Close()
		f := follow(t, feed, "")
		epoch := f.read(revocation.HelloEvent).Hello.Epoch
		f.Close()
		feed.Publish([]revocation.Change{rotated(1)})
		time.Sleep(20 * time.Second)
		f = follow(t, feed, f.last)
		if e := f.read(revocation.RevokedEvent); !strings.HasPrefix(e.ID, epoch) {
			t.Errorf("a subscriber resumed epoch %s, and got %+v", epoch, e)
		}
		f.Close()
		time.Sleep(time.Minute)
		if feed.Active() {
			t.Error("the feed is active after a minute without subscribers")
		}
		feed.Publish([]revocation.Change{rotated(2)})
		if e := follow(t, feed, f.last).read(revocation.HelloEvent); e.Hello.Epoch == epoch {
			t.Error("the epoch continues although an event was not kept")
		}
	})
}

// TestRemote checks that a feed of many nodes makes no beat of its own, and begins an epoch each time it opens.
func TestRemote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		feed := revocation.NewFeed(revocation.FeedConfig{Remote: true})
		defer feed.Close()
		f := follow(t, feed, "")
		<-feed.Demand()
		feed.Publish([]revocation.Change{rotated(0)}) // before the epoch, so no event
		feed.Open()
		first := f.read(revocation.HelloEvent).Hello
		before := feed.Now()
		feed.Publish([]revocation.Change{rotated(1)})
		feed.Beat(before)
		if e := f.read(revocation.RevokedEvent); e.Changes[0] != rotated(1) {
			t.Errorf("got %+v", e)
		}
		f.read(revocation.BeatEvent)
		time.Sleep(time.Second)
		feed.Break()
		feed.Publish([]revocation.Change{rotated(2)})
		feed.Beat(before)
		feed.Open()
		feed.Beat(before) // of the earlier epoch
		part, more, err := f.Next(t.Context())
		events, _ := decodeAll(t, string(part))
		if err != nil || more || len(events) != 1 || events[0].Hello.Epoch == first.Epoch {
			t.Errorf("after a break: %+v, more %v, %v; want a hello", events, more, err)
		}
	})
}

func TestSubscriberLimit(t *testing.T) {
	feed := revocation.NewFeed(revocation.FeedConfig{MaxSubscribers: 1})
	f := follow(t, feed, "")
	if _, err := feed.Subscribe(""); !errors.Is(err, revocation.ErrFull) {
		t.Errorf("the second subscriber got %v", err)
	}
	f.Close()
	f.Close()
	f = follow(t, feed, "")
	feed.Close()
	if _, _, err := f.Next(t.Context()); !errors.Is(err, revocation.ErrClosed) {
		t.Errorf("a closed feed returned %v", err)
	}
	if _, err := feed.Subscribe(""); !errors.Is(err, revocation.ErrClosed) {
		t.Errorf("a closed feed accepted a subscriber: %v", err)
	}
	var none *revocation.Feed
	none.Publish([]revocation.Change{rotated(0)})
	none.Close()
}

func BenchmarkPublish(b *testing.B) {
	batch := make([]revocation.Change, 32)
	for i := range batch {
		batch[i] = rotated(i)
	}
	for _, subscribers := range []int{0, 1, 1000} {
		b.Run(strings.Repeat("s", min(subscribers, 1)), func(b *testing.B) {
			feed := revocation.NewFeed(revocation.FeedConfig{})
			defer feed.Close()
			for range subscribers {
				follow(b, feed, "")
			}
			b.ReportAllocs()
			for b.Loop() {
				feed.Publish(batch)
			}
		})
	}
}

// TestPublishCost checks that 1,000 subscribers who do not read cost the writer no more allocations than one.
func TestPublishCost(t *testing.T) {
	batch := make([]revocation.Change, 32)
	for i := range batch {
		batch[i] = rotated(i)
	}
	allocations := func(subscribers int) float64 {
		feed := revocation.NewFeed(revocation.FeedConfig{Heartbeat: time.Hour})
		defer feed.Close()
		for range subscribers {
			follow(t, feed, "")
		}
		return testing.AllocsPerRun(1000, func() { feed.Publish(batch) })
	}
	if one, many := allocations(1), allocations(1000); many > one+1 {
		t.Errorf("%v allocations with 1,000 subscribers, and %v with one", many, one)
	}
}
