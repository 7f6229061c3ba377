package bench

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// chain is one session. It belongs to one worker at a time.
type chain struct{ token []byte }

// worker is one connection with its chains.
type worker struct {
	conn   *conn
	mix    Mix
	random *rand.Rand
	chains []*chain
	next   int
	stats  [callCount]callStats
	done   atomic.Int64 // successes so far, for the progress line
}

// callStats has one worker's measurements of one kind of call.
type callStats struct {
	latency *hdrhistogram.Histogram // latencies of successes in microseconds; its size is fixed
	errors  map[string]int64        // number of failures by errorCode
}

const maxLatency = time.Minute // longer latencies count as this

func newCallStats() callStats {
	return callStats{hdrhistogram.New(1, maxLatency.Microseconds(), 2), map[string]int64{}}
}

// closedLoop sends each request when the previous request is answered.
func (w *worker) closedLoop(end time.Time) error {
	for now := time.Now(); now.Before(end); {
		answered, err := w.call(now)
		if err != nil {
			return err
		}
		now = answered
	}
	return nil
}

// openLoop sends each request when it is due. The latency counts from then, so that a stall of the server also counts
// for the requests waiting behind it.
func (w *worker) openLoop(due <-chan time.Time) error {
	for at := range due {
		if _, err := w.call(at); err != nil {
			return err
		}
	}
	return nil
}

// call sends one request and returns the time of its response. The latency counts from the given time.
func (w *worker) call(from time.Time) (time.Time, error) {
	session := w.chains[w.next]
	w.next = (w.next + 1) % len(w.chains)
	call := w.mix.pick(w.random)
	got, err := w.conn.exchange(call, session.token)
	answered := time.Now()
	if err != nil {
		return answered, fmt.Errorf("a chain broke: %s: %w", call, err)
	}
	stats := &w.stats[call]
	switch {
	case got.code != "":
		stats.errors[got.code]++
		if got.status != http.StatusServiceUnavailable && got.status != http.StatusTooManyRequests {
			return answered, fmt.Errorf("a chain broke: %s returned %d %s: %s", call, got.status, got.code, got.message)
		}
		return answered, nil // the request had no effect, so the chain continues
	case call.rotates():
		session.token = append(session.token[:0], got.token...)
	}
	w.done.Add(1)
	return answered, stats.latency.RecordValue(min(answered.Sub(from), maxLatency).Microseconds())
}
