package main

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// repeated is a text without an end, and hears of each read.
type repeated struct {
	text string
	read func()
}

func (r repeated) Read(p []byte) (int, error) {
	r.read()
	return copy(p, strings.Repeat(r.text, len(p)/len(r.text)+1)), nil
}

// silent is a terminal at which nobody types.
type silent struct{ read func() }

func (s silent) Read([]byte) (int, error) { s.read(); select {} }

// TestInterrupt ends commands while they read: what never comes, and what never
// ends.
func TestInterrupt(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if code := run(t.Context(), []string{"init", "--login", "root@example.com", "--data", data}, stdio{strings.NewReader(""), io.Discard, io.Discard}); code != exitOK {
		t.Fatal(code)
	}
	imported := []string{"user", "import", "-", "--format", "jsonl", "--data", data}
	for name, command := range map[string][]string{"login": {"login", "--login", "a@b.c"}, "refresh": {"refresh"}, "import": imported} {
		t.Run(name, func(t *testing.T) {
			ctx, interrupt := context.WithCancel(t.Context())
			interrupted(t, ctx, command, silent{interrupt})
		})
	}
	for name, text := range map[string]string{"blank lines": "\n", "bad lines": "x\n", "a line without an end": "x"} {
		t.Run(name, func(t *testing.T) {
			ctx, interrupt := context.WithCancel(t.Context())
			reads := 0
			interrupted(t, ctx, imported, repeated{text, func() {
				if reads++; reads == 3 {
					interrupt()
				}
			}})
		})
	}
}

func interrupted(t *testing.T, ctx context.Context, command []string, in io.Reader) {
	t.Helper()
	ended := make(chan int, 1)
	var errs strings.Builder
	go func() { ended <- run(ctx, command, stdio{in, io.Discard, &errs}) }()
	select {
	case code := <-ended:
		if code != exitFailed || !strings.HasSuffix(errs.String(), "context canceled\n") && !strings.Contains(errs.String(), "context canceled; 0 users are imported") {
			t.Errorf("%d: %.300s", code, errs.String())
		}
	case <-time.After(30 * time.Second):
		t.Error("it goes on")
	}
}
