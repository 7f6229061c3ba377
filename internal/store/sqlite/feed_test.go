package sqlite_test

import (
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/store/sqlite"
	"github.com/pawlauth/pawl/internal/store/storetest"
)

func TestFeed(t *testing.T) {
	feed := revocation.NewFeed(revocation.FeedConfig{})
	defer feed.Close()
	s, err := sqlite.Open(t.TempDir(), sqlite.Options{Feed: feed})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	storetest.RunFeed(t, feed, s)
}

func TestIssued(t *testing.T) {
	dir := t.TempDir()
	storetest.RunIssued(t, func(feed *revocation.Feed) authority.Store {
		s, err := sqlite.Open(dir, sqlite.Options{Feed: feed})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
