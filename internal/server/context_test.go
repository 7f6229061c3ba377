package server

import (
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// TestRequestsEndInTime: whenever in its second a request begins, its context
// ends within RequestTimeout, and no more than a second before that.
func TestRequestsEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Server)
		for range 50 {
			w := httptest.NewRecorder()
			w.Header().Set("X-Request-Id", "abc")
			ctx, began := s.context(w, httptest.NewRequest("GET", "/", nil)), time.Now()
			if RequestID(ctx) != "abc" {
				t.Error("the request id is lost")
			}
			go func() {
				<-ctx.Done()
				if took := time.Since(began); took > RequestTimeout || took <= RequestTimeout-time.Second {
					t.Errorf("it ended after %v", took)
				}
			}()
			time.Sleep(70 * time.Millisecond)
		}
		time.Sleep(RequestTimeout)
		synctest.Wait()
	})
}
