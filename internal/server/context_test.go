package server

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestRequestContextEnds: at its deadline, or with the request; for who waits
// from the start, who asks first when it is over, and a context below.
func TestRequestContextEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*requestContext)
		want error
	}{
		"deadline": {func(*requestContext) { time.Sleep(RequestTimeout); synctest.Wait() }, context.DeadlineExceeded},
		"over":     {(*requestContext).end, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, goAway := context.WithCancel(t.Context())
				watched, asked := newRequestContext(client, "a"), newRequestContext(client, "b")
				defer watched.end()
				defer asked.end()
				below, cancel := context.WithCancel(watched)
				defer cancel()
				goAway()
				if watched.Err() != nil || asked.Err() != nil || below.Err() != nil {
					t.Fatal("it ended with the client")
				}
				c.end(watched)
				c.end(asked)
				synctest.Wait()
				for _, ctx := range []context.Context{watched, asked, below} {
					if err := ctx.Err(); !errors.Is(err, c.want) {
						t.Errorf("Err = %v, want %v", err, c.want)
					}
					<-ctx.Done() // a deadlock fails the test
					if err := ctx.Err(); err == nil {
						t.Error("no Err after Done")
					}
				}
				if requestID(below) != "a" || requestID(asked) != "b" {
					t.Error("the request id is lost")
				}
			})
		})
	}
}
