// Package testlog keeps the latest lines of a server's log, and prints them if the test fails.
package testlog

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
)

// limit is how many bytes of a log are kept.
const limit = 32 << 10

// Log is a writer that keeps the end of what is written to it. Its zero value is empty.
type Log struct {
	mu   sync.Mutex // guards the fields below
	text []byte
	cut  bool // whether text lacks the first bytes
}

// New returns a logger. The end of its log is printed at the end of the test if the test has failed.
func New(t testing.TB, name string) *slog.Logger {
	log := new(Log)
	t.Cleanup(func() { log.Print(t, name) })
	return slog.New(slog.NewTextHandler(log, nil))
}

// Write adds bytes. It returns no error.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if len(l.text) > 2*limit { // seldom, so that a long log is not copied all the time
		l.text = append(l.text[:0], l.text[len(l.text)-limit:]...)
		l.cut = true
	}
	return len(p), nil
}

// String returns the last lines.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text, cut := l.text, l.cut
	if len(text) > limit {
		text = text[len(text)-limit:]
		cut = true
	}
	if !cut {
		return string(text)
	}
	_, text, _ = bytes.Cut(text, []byte{'\n'}) // the first line may lack its beginning
	return "[...]\n" + string(text)
}

// Print prints the last lines if the test has failed.
func (l *Log) Print(t testing.TB, name string) {
	t.Helper()
	if text := l.String(); t.Failed() && text != "" {
		t.Logf("the log of %s:\n%s", name, text)
	}
}
