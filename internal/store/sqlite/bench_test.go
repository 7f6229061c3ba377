package sqlite_test

import (
	"crypto/rand"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/store/sqlite"
	"github.com/pawlauth/pawl/internal/token"
)

// BenchmarkStore measures the check of a session and a durable rotation, the two operations of the hot calls. It runs
// them in as many goroutines as the HTTP load has connections, each with its own session.
func BenchmarkStore(b *testing.B) {
	s, err := sqlite.Open(b.TempDir(), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	record := authority.User{Login: "u", Email: "u@example.com", Level: authority.General, Status: authority.Active}
	user, err := s.CreateUser(b.Context(), authority.Rights{}, record, "hash")
	if err != nil {
		b.Fatal(err)
	}
	const callers = 64
	openSession := func() (id token.SessionID) {
		rand.Read(id[:])
		record := authority.SessionWithOrigin{Session: authority.Session{
			ID:         id,
			UserID:     user.ID,
			Generation: 1,
			Created:    1,
			Refreshed:  1,
			Expires:    1 << 31,
			Idle:       1 << 31,
			Ends:       1 << 31,
		}}
		opening := authority.Opening{SessionWithOrigin: record, PasswordHash: "hash"}
		if _, err := s.OpenSession(b.Context(), opening); err != nil {
			b.Error(err)
		}
		return id
	}
	run := func(name string, call func(id token.SessionID, n uint32) bool) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(callers / 2) // times GOMAXPROCS
			b.RunParallel(func(pb *testing.PB) {
				id := openSession()
				for n := uint32(1); pb.Next(); n++ {
					if !call(id, n) {
						b.Error("the call failed")
						return
					}
				}
			})
		})
	}
	run("session", func(id token.SessionID, _ uint32) bool {
		_, err := s.Session(b.Context(), id)
		return err == nil
	})
	run("rotate", func(id token.SessionID, n uint32) bool {
		_, rotated, err := s.Rotate(b.Context(), authority.Rotation{
			Session: id, From: n, At: 2, Lives: authority.Lives{Token: 3600, Idle: 3600},
		})
		return err == nil && rotated
	})
}
