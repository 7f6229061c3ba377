// Package logqueue writes log lines in the background, so that a server never waits for the reader of its log. A
// stalled reader would otherwise stop the server as soon as the pipe to the reader is full.
package logqueue

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// maxPending is how many bytes wait for the output. The lines of the current write count separately.
const maxPending = 1 << 20

// Queue is a non-blocking io.Writer for log lines. One goroutine writes the lines to the output, in their order. A line
// is lost if the queue is full or the output rejects the line. As soon as the output accepts lines again, a line of the
// log reports how many were lost.
type Queue struct {
	out    io.Writer
	report slog.Handler // writes to out
	done   chan struct{}

	mu       sync.Mutex
	changed  *sync.Cond // signals changes of pending and closed
	pending  []byte     // whole lines
	lost     int64
	reported int64 // how many of the lost lines are reported
	closed   bool
}

// New returns a queue for an output. The handler writes the reports of lost lines to the same output. The caller closes
// the queue.
func New(out io.Writer, report slog.Handler) *Queue {
	q := &Queue{out: out, report: report, done: make(chan struct{})}
	q.changed = sync.NewCond(&q.mu)
	go q.run()
	return q
}

// Write adds one line to the queue. It never returns an error, because a caller cannot do anything about a lost line.
func (q *Queue) Write(line []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.pending)+len(line) > maxPending {
		q.lost++
	} else {
		q.pending = append(q.pending, line...)
		q.changed.Signal()
	}
	return len(line), nil
}

// Lost returns how many lines were lost so far.
func (q *Queue) Lost() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lost
}

// Close writes the remaining lines and stops the goroutine. If the output takes longer than the timeout, Close gives up
// the lines. Later writes are lost.
func (q *Queue) Close(timeout time.Duration) {
	q.mu.Lock()
	q.closed = true
	q.changed.Signal()
	q.mu.Unlock()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-q.done:
	case <-timer.C:
	}
}

// run writes the lines until the queue is closed and empty.
func (q *Queue) run() {
	defer close(q.done)
	var batch []byte
	torn := false // the output ends in the middle of a line
	for {
		q.mu.Lock()
		for len(q.pending) == 0 && !q.closed {
			q.changed.Wait()
		}
		if len(q.pending) == 0 {
			q.mu.Unlock()
			return
		}
		batch, q.pending = q.pending, batch[:0]
		unreported := q.lost - q.reported
		q.mu.Unlock()

		if torn {
			batch = append([]byte{'\n'}, batch...)
		}
		n, err := q.out.Write(batch)
		if n > 0 {
			torn = batch[n-1] != '\n'
		}
		lost, reported := int64(0), int64(0)
		if err != nil {
			lost = int64(bytes.Count(batch[n:], []byte{'\n'}))
		} else if unreported > 0 {
			record := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines lost", 0)
			record.AddAttrs(slog.Int64("lines", unreported))
			if q.report.Handle(context.Background(), record) == nil {
				reported = unreported
			}
		}
		q.mu.Lock()
		q.lost += lost
		q.reported += reported
		q.mu.Unlock()
	}
}
