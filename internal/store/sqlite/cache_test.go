package sqlite

import (
	"errors"
	"sync"
	"testing"
)

// TestCacheIsBounded reads many values through a cache. The cache must stay within its limit, and keep a value in
// constant use.
func TestCacheIsBounded(t *testing.T) {
	const limit = 64 * cacheShards
	c := newCache[int, int](limit)
	hotReads := 0
	for k := range 20 * limit {
		v, err := c.get(k, func() (int, error) { return -k, nil })
		if err != nil || v != -k {
			t.Fatalf("value %d, %v; want %d", v, err, -k)
		}
		if _, err := c.get(-1, func() (int, error) { hotReads++; return 0, nil }); err != nil {
			t.Fatal(err)
		}
	}
	total := 0
	for i := range c.shards {
		total += len(c.shards[i].recent) + len(c.shards[i].previous)
	}
	if total > limit || total < limit/2-cacheShards {
		t.Errorf("the cache has %d values, want at most %d, and at least about half of that", total, limit)
	}
	if hotReads != 1 {
		t.Errorf("the value that is always in use was read %d times", hotReads)
	}
}

// TestCacheFollowsCommits checks that put, remove and clear take effect on a value in each of the two maps.
func TestCacheFollowsCommits(t *testing.T) {
	const k = 1
	changes := map[string]func(c *cache[int, int]) (want int){
		"put":    func(c *cache[int, int]) int { c.put(k, 2); return 2 },
		"remove": func(c *cache[int, int]) int { c.remove(k); return 3 },
		"clear":  func(c *cache[int, int]) int { c.clear(); return 3 },
	}
	for name, change := range changes {
		for _, others := range []int{0, 10} {
			c := newCache[int, int](10 * 2 * cacheShards)
			c.put(k, 1)
			s := c.shard(k)
			for other, added := 100, 0; added < others; other++ { // k moves to previous
				if c.shard(other) == s {
					c.put(other, 0)
					added++
				}
			}
			if _, isPrevious := s.previous[k]; isPrevious != (others > 0) {
				t.Fatalf("after %d others the value is in previous: %v", others, isPrevious)
			}
			want := change(c)
			for range 2 * 10 { // through both maps again
				v, err := c.get(k, func() (int, error) { return 3, nil })
				if err != nil || v != want {
					t.Fatalf("%s after %d others: value %d, %v; want %d", name, others, v, err, want)
				}
				c.put(-1, 0)
			}
		}
	}
}

// TestSlowReadDoesNotReplaceCommit checks that a value read before a commit is not added after it.
func TestSlowReadDoesNotReplaceCommit(t *testing.T) {
	commits := map[string]func(c *cache[int, int]){
		"put":    func(c *cache[int, int]) { c.put(1, 2) },
		"remove": func(c *cache[int, int]) { c.remove(1) },
		"clear":  func(c *cache[int, int]) { c.clear() },
	}
	for name, commit := range commits {
		c := newCache[int, int](1000)
		if v, err := c.get(1, func() (int, error) { commit(c); return 1, nil }); err != nil || v != 1 {
			t.Errorf("%s: the slow read returned %d, %v", name, v, err)
		}
		if v, err := c.get(1, func() (int, error) { return 2, nil }); err != nil || v != 2 {
			t.Errorf("%s: after the commit the value is %d, %v", name, v, err)
		}
	}
}

// TestCacheDropsErrors checks that the error of a read is returned and not kept.
func TestCacheDropsErrors(t *testing.T) {
	c := newCache[int, int](1000)
	failure := errors.New("failed on purpose")
	if _, err := c.get(1, func() (int, error) { return 0, failure }); !errors.Is(err, failure) {
		t.Errorf("error %v", err)
	}
	if v, err := c.get(1, func() (int, error) { return 5, nil }); err != nil || v != 5 {
		t.Errorf("value %d, %v", v, err)
	}
}

// TestCacheUnderRaces lets readers race against commits that only increase a value. A reader must never see a value
// older than a commit before its read.
func TestCacheUnderRaces(t *testing.T) {
	c := newCache[int, int](2 * cacheShards) // one value in each map, so that values are dropped all the time
	var file sync.Map
	file.Store(1, 0)
	read := func() (int, error) {
		v, _ := file.Load(1)
		return v.(int), nil
	}
	var committed sync.Mutex // guards value
	value := 0
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for n := range 2000 {
				committed.Lock()
				least := value
				committed.Unlock()
				if v, _ := c.get(1, read); v < least {
					t.Errorf("read %d after the commit of %d", v, least)
					return
				}
				_, _ = c.get(2+n%50, func() (int, error) { return 0, nil })
			}
		})
	}
	for v := range 2000 {
		file.Store(1, v)
		c.put(1, v)
		committed.Lock()
		value = v
		committed.Unlock()
	}
	group.Wait()
}
