package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// textHandler writes records for people: the time, the level, the message, and then the attributes as slog.TextHandler
// quotes them, so that no value can contain a control character of the terminal.
type textHandler struct {
	*textOutput
	attributes slog.Handler // a slog.TextHandler without time, level and message, which writes to line
}

// textOutput is shared by the handlers that WithAttrs and WithGroup return.
type textOutput struct {
	out    io.Writer
	colour bool

	mu   sync.Mutex
	line bytes.Buffer // the record in progress
}

func newTextHandler(out io.Writer, level slog.Leveler, colour bool) *textHandler {
	shared := &textOutput{out: out, colour: colour}
	return &textHandler{textOutput: shared, attributes: slog.NewTextHandler(&shared.line, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
				return slog.Attr{}
			}
			return a
		},
	})}
}

func (h *textHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.attributes.Enabled(ctx, level)
}

func (h *textHandler) Handle(ctx context.Context, record slog.Record) error {
	message := record.Message
	if strings.ContainsFunc(message, func(r rune) bool { return !unicode.IsPrint(r) }) {
		message = strconv.Quote(message)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.line.Reset()
	h.line.WriteString(record.Time.Format(time.DateTime) + " " + h.level(record.Level) + " " + message + "  ")
	if err := h.attributes.Handle(ctx, record); err != nil {
		return err
	}
	_, err := h.out.Write(append(bytes.TrimRight(h.line.Bytes(), " \n"), '\n'))
	return err
}

// level returns the name of a level, with a colour on a terminal.
func (h *textHandler) level(level slog.Level) string {
	name := level.String()
	padding := strings.Repeat(" ", max(0, len("ERROR")-len(name)))
	if !h.colour {
		return name + padding
	}
	colour := "\x1b[32m" // green
	if level >= slog.LevelError {
		colour = "\x1b[31m" // red
	} else if level >= slog.LevelWarn {
		colour = "\x1b[33m" // yellow
	}
	return colour + name + "\x1b[0m" + padding
}

func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &textHandler{textOutput: h.textOutput, attributes: h.attributes.WithAttrs(attrs)}
}

func (h *textHandler) WithGroup(name string) slog.Handler {
	return &textHandler{textOutput: h.textOutput, attributes: h.attributes.WithGroup(name)}
}
