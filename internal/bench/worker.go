package bench

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// chain is one session. One worker at a time owns it.
type chain struct{ token []byte }

// worker is one connection, and the chains that are driven over it.
type worker struct {
	conn   *conn
	mix    Mix
	random *rand.Rand
	chains []*chain
	next   int
	tally  [callCount]tally
	done   atomic.Int64 // successes so far, for the progress line
}

// tally is what one worker has seen of one kind of call.
type tally struct {
	latency *hdrhistogram.Histogram // of successes, in microseconds; its size is fixed
	errors  map[string]int64        // other answers by errorCode
}

const slowest = time.Minute // longer latencies are counted as this

func newTally() tally {
	return tally{hdrhistogram.New(1, slowest.Microseconds(), 2), map[string]int64{}}
}

// closedLoop sends the next request when the last one is answered.
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

// openLoop sends what is due. Latency counts from when it was due, so a server
// that stalls is charged for those that had to wait behind.
func (w *worker) openLoop(due <-chan time.Time) error {
	for at := range due {
		if _, err := w.call(at); err != nil {
			return err
		}
	}
	return nil
}

// call sends one request, and returns when it was answered.
func (w *worker) call(from time.Time) (time.Time, error) {
	session := w.chains[w.next]
	if w.next++; w.next == len(w.chains) {
		w.next = 0
	}
	call := w.mix.pick(w.random)
	got, err := w.conn.exchange(call, session.token)
	answered := time.Now()
	if err != nil {
		return answered, fmt.Errorf("a chain broke: %s: %w", call, err)
	}
	t := &w.tally[call]
	switch {
	case got.code != "":
		t.errors[got.code]++
		if got.status != http.StatusServiceUnavailable && got.status != http.StatusTooManyRequests {
			return answered, fmt.Errorf("a chain broke: %s was answered %d %s: %s", call, got.status, got.code, got.message)
		}
		return answered, nil // nothing was changed: the chain goes on
	case call == Refresh:
		session.token = append(session.token[:0], got.token...)
	}
	w.done.Add(1)
	return answered, t.latency.RecordValue(min(answered.Sub(from), slowest).Microseconds())
}
