//go:build linux

package torture_test

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pawlauth/pawl/internal/test/patroni"
)

// leaderEvery is the pause between two looks at the leader. The time of a new leader is late by up to this pause and
// the time that Patroni takes for its answer.
const leaderEvery = 100 * time.Millisecond

// leaders records when Patroni answered for the first time that a leader is writable. It separates the time that
// Patroni takes for a failover from the time that Pawl adds.
type leaders struct {
	mu    sync.Mutex // guards the fields below
	known map[patroni.Term]bool
	since []time.Time // when each term was seen for the first time, in order
}

// watch looks at the servers of all sites until stop is closed. Each site has a goroutine of its own, because a site
// that is cut off answers only by a time-out.
func (l *leaders) watch(all []*patroni.Site, stop <-chan struct{}) {
	var group sync.WaitGroup
	for _, site := range all {
		group.Go(func() {
			client := &http.Client{Timeout: time.Second}
			defer client.CloseIdleConnections()
			for !closed(stop) {
				if term, ok := site.Term(client); ok {
					l.note(term)
				}
				time.Sleep(leaderEvery)
			}
		})
	}
	group.Wait()
}

func (l *leaders) note(term patroni.Term) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.known[term] {
		l.known[term] = true
		l.since = append(l.since, time.Now())
	}
}

// outage is the longest time without an answer during a fault.
type outage struct {
	length time.Duration
	// afterLeader is the part of it after Patroni's answer that a new leader is writable, or -1 if no leader became
	// writable in this time.
	afterLeader time.Duration
}

// outageUntil returns an outage that began and ended at two times.
func (l *leaders) outageUntil(began, ended time.Time) outage {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := outage{length: ended.Sub(began), afterLeader: -1}
	for _, since := range l.since {
		if since.After(began) && since.Before(ended) {
			o.afterLeader = ended.Sub(since)
		}
	}
	return o
}

func (o outage) String() string {
	text := fmt.Sprintf("%.1f s without an answer", o.length.Seconds())
	if o.afterLeader >= 0 {
		text += fmt.Sprintf(", of which %.1f s after a new leader was writable", o.afterLeader.Seconds())
	}
	return text
}

// table returns the seconds without an answer by fault, as rows for docs/operations.md: how often the fault was
// caused, the median and the longest time, and, for the faults with a new leader, how often there was one, and the
// median and the longest time after it was writable.
func table(all map[string][]outage) string {
	var text strings.Builder
	for _, fault := range haFaults {
		if len(all[fault.name]) == 0 {
			continue
		}
		var lengths, after []time.Duration
		for _, o := range all[fault.name] {
			lengths = append(lengths, o.length)
			if o.afterLeader >= 0 {
				after = append(after, o.afterLeader)
			}
		}
		fmt.Fprintf(&text, "| %s | %s | %s |\n", fault.name, cells(lengths), cells(after))
	}
	return text.String()
}

// cells returns the number of times, their median and the longest one, as cells of a row.
func cells(times []time.Duration) string {
	if len(times) == 0 {
		return "0 | |"
	}
	slices.SortFunc(times, cmp.Compare)
	return fmt.Sprintf("%d | %.1f | %.1f", len(times), times[len(times)/2].Seconds(), times[len(times)-1].Seconds())
}
