package main

import (
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/pawlauth/pawl/internal/logqueue"
	"github.com/pawlauth/pawl/internal/server"
)

// logFlushTimeout is how long the end of a server waits for the reader of its log.
const logFlushTimeout = 500 * time.Millisecond

// serverLog is the log of a server. It writes to standard error or to a file, through a queue, so that a stopped reader
// cannot block a request.
type serverLog struct {
	*slog.Logger
	queue *logqueue.Queue
	file  *logFile // nil for standard error
}

// openLog opens the log. If path is empty, the log goes to stderr. The process then ignores SIGPIPE, so that the server
// outlives the reader of its log.
func openLog(path string, stderr io.Writer) (*serverLog, error) {
	signal.Ignore(syscall.SIGPIPE)
	l := &serverLog{}
	out := stderr
	if path != "" {
		l.file = &logFile{path: path}
		if err := l.file.reopen(); err != nil {
			return nil, badSetting("log-file", "cannot be opened: %w", err)
		}
		out = l.file
	}
	l.queue = logqueue.New(out)
	l.Logger = slog.New(server.LogHandler(slog.NewJSONHandler(l.queue, nil)))
	return l, nil
}

// close writes the remaining lines, if the reader accepts them in time.
func (l *serverLog) close() { l.queue.Close(logFlushTimeout) }

// logFile is a file that can be reopened, after a tool such as logrotate has renamed it.
type logFile struct {
	path string

	mu   sync.Mutex
	file *os.File
}

func (f *logFile) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Write(p)
}

// reopen opens the path. If it returns an error, the log continues in the current file.
func (f *logFile) reopen() error {
	next, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file != nil {
		_ = f.file.Close() // every line is written
	}
	f.file = next
	return nil
}
