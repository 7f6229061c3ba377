package logqueue_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pawlauth/pawl/internal/logqueue"
)

// output is a writer. A test can change its state.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	block   chan struct{} // if not nil, Write waits until it is closed
	failing bool
	accepts int    // how many bytes Write accepts before it fails
	rejects string // if not empty, Write fails for a text that contains it
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	block := o.block
	o.mu.Unlock()
	if block != nil {
		<-block
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failing || o.rejects != "" && bytes.Contains(p, []byte(o.rejects)) {
		n := min(o.accepts, len(p))
		o.text.Write(p[:n])
		return n, errors.New("the output fails")
	}
	return o.text.Write(p)
}

func (o *output) set(change func(*output)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change(o)
}

func (o *output) lines() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Split(strings.TrimSuffix(o.text.String(), "\n"), "\n")
}

// TestBlockedOutput fills the queue while the output blocks. Write never blocks, and when the output continues, it gets
// the lines that fit, in their order, and a line with the number of the others.
func TestBlockedOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &output{block: make(chan struct{})}
		q := logqueue.New(out, slog.NewJSONHandler(out, nil))
		const lines = 20_000
		for i := range lines {
			if n, err := fmt.Fprintf(q, "%0100d\n", i); n != 101 || err != nil {
				t.Fatalf("Write returned %d, %v", n, err)
			}
		}
		synctest.Wait()
		lost := q.Lost()
		if lost == 0 || lost == lines {
			t.Fatalf("%d lines are lost, of %d", lost, lines)
		}
		close(out.block)
		q.Close(time.Second)
		got := out.lines()
		report := got[len(got)-1]
		got = got[:len(got)-1]
		if !strings.Contains(report, `"level":"WARN","msg":"log lines lost"`) ||
			!strings.Contains(report, fmt.Sprintf(`"lines":%d}`, lost)) {
			t.Errorf("the last line is %q, want a report of %d lost lines", report, lost)
		}
		if int64(len(got))+lost != lines {
			t.Errorf("the output has %d lines and %d are lost, of %d", len(got), lost, lines)
		}
		for i, line := range got {
			if want := fmt.Sprintf("%0100d", i); line != want {
				t.Fatalf("line %d is %q, want %q", i, line, want)
			}
		}
	})
}

// TestFailingOutput loses lines because the output fails in the middle of one. The next line begins on a line of its
// own, and the report follows it.
func TestFailingOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &output{failing: true, accepts: len("first\nsec")}
		q := logqueue.New(out, slog.NewJSONHandler(out, nil))
		q.Write([]byte("first\nsecond\nthird\n"))
		synctest.Wait()
		if lost := q.Lost(); lost != 2 {
			t.Errorf("%d lines are lost, want 2", lost)
		}
		out.set(func(o *output) { o.failing = false })
		q.Write([]byte("fourth\n"))
		q.Close(time.Second)
		got := out.lines()
		if len(got) != 4 || got[0] != "first" || got[1] != "sec" || got[2] != "fourth" ||
			!strings.Contains(got[3], `"lines":2}`) {
			t.Errorf("the output has %q", got)
		}
	})
}

// TestReportFails checks that a rejected report is repeated, and is not a lost line itself.
func TestReportFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &output{failing: true}
		q := logqueue.New(out, slog.NewJSONHandler(out, nil))
		write := func(line string) {
			q.Write([]byte(line + "\n"))
			synctest.Wait()
		}
		write("a")
		write("b")
		out.set(func(o *output) { o.failing = false; o.rejects = "log lines lost" })
		write("c")
		out.set(func(o *output) { o.rejects = "" })
		write("d")
		write("e")
		q.Close(time.Second)
		got := out.lines()
		if len(got) != 4 || got[0] != "c" || got[1] != "d" || !strings.Contains(got[2], `"lines":2}`) || got[3] != "e" {
			t.Errorf("the output has %q", got)
		}
		if q.Lost() != 2 {
			t.Errorf("%d lines are lost, want 2", q.Lost())
		}
	})
}

// TestClose checks that Close writes the remaining lines, waits no longer than the timeout for a blocked output, and
// that later lines are lost.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &output{}
		q := logqueue.New(out, slog.NewJSONHandler(out, nil))
		log := slog.New(slog.NewJSONHandler(q, nil))
		log.Info("last words")
		q.Close(time.Hour)
		if got := out.lines(); len(got) != 1 || !strings.Contains(got[0], "last words") {
			t.Errorf("the output has %q", got)
		}
		log.Info("too late")
		if q.Lost() != 1 {
			t.Errorf("%d lines are lost, want 1", q.Lost())
		}

		blocked := &output{block: make(chan struct{})}
		q = logqueue.New(blocked, slog.NewJSONHandler(blocked, nil))
		q.Write([]byte("a\n"))
		began := time.Now()
		q.Close(time.Second)
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("Close waited for %s, want the timeout of 1 s", waited)
		}
		close(blocked.block) // ends the goroutine
	})
}
