package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/pawlauth/pawl/internal/logqueue"
	"github.com/pawlauth/pawl/internal/server"
)

// logFlushTimeout is how long the end of a process waits for the reader of its log or of its standard error.
const logFlushTimeout = 500 * time.Millisecond

// logSettings configure the log.
type logSettings struct {
	LogFile string `placeholder:"FILE" help:"File for the log, reopened by SIGHUP; if empty, standard error."`

	// LogFormat is text (with colours on a terminal, unless NO_COLOR is set), json (an object on each line), or auto:
	// text on a terminal, else json.
	LogFormat string `default:"auto" enum:"auto,text,json" help:"Log format (${enum}); auto is text on a terminal."`

	// LogLevel is the lowest level. With warn, the log lacks the audit events of ordinary sign-ins and refreshes.
	LogLevel string `default:"info" enum:"info,warn,error" help:"Lowest level of the log (${enum})."`

	// AccessLog logs each request, whatever the level: its method, path, status, duration and client address, and never
	// a query, a header or a body.
	AccessLog bool `help:"Log each request."`
}

// serverLog is the log of a server. It writes to standard error or to a file, through a queue, so that a stopped reader
// cannot block a request.
type serverLog struct {
	*slog.Logger
	access *slog.Logger // nil if requests are not logged
	level  *slog.LevelVar
	queue  *logqueue.Queue
	file   *logFile // nil for standard error
}

// open opens the log. The process then ignores SIGPIPE, so that the server outlives the reader of its log.
func (s logSettings) open(stderr io.Writer) (*serverLog, error) {
	signal.Ignore(syscall.SIGPIPE)
	l := &serverLog{level: new(slog.LevelVar)}
	if err := l.level.UnmarshalText([]byte(s.LogLevel)); err != nil {
		return nil, settingError{name: "log-level", problem: err}
	}
	out := stderr
	if s.LogFile != "" {
		l.file = &logFile{path: s.LogFile}
		if err := l.file.reopen(); err != nil {
			return nil, badSetting("log-file", "cannot be opened: %w", err)
		}
		out = l.file
	}
	terminal := isTerminal(out)
	handler := func(out io.Writer, level slog.Leveler) slog.Handler {
		if s.LogFormat == "text" || s.LogFormat == "auto" && terminal {
			return newTextHandler(out, level, terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
		}
		return slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level})
	}
	l.queue = logqueue.New(out, handler(out, slog.LevelInfo))
	l.Logger = slog.New(server.LogHandler(handler(l.queue, l.level)))
	if s.AccessLog {
		l.access = slog.New(server.LogHandler(handler(l.queue, slog.LevelInfo)))
	}
	return l, nil
}

// commandLog returns the log of a command that opens a store itself. It gets the migration of an older store.
func commandLog(std stdio) *slog.Logger {
	return slog.New(newTextHandler(std.err, slog.LevelInfo, false))
}

// isTerminal reports whether a stream of the process is a terminal.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// close writes the remaining lines, if the reader accepts them in time.
func (l *serverLog) close() { l.queue.Close(logFlushTimeout) }

// unlessStopped returns the error of a start, or nil if a signal has ended the start, because a stop is no failure.
func (l *serverLog) unlessStopped(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	l.Info("stopped before the server was ready", "err", err)
	return nil
}

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
