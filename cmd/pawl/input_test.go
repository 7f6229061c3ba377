package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// endless repeats a text without end. It calls onRead before each read.
type endless struct {
	text   string
	onRead func()
}

func (e endless) Read(p []byte) (int, error) {
	e.onRead()
	return copy(p, strings.Repeat(e.text, len(p)/len(e.text)+1)), nil
}

// silent blocks each read, like a terminal without a user. It calls onRead before.
type silent struct{ onRead func() }

func (s silent) Read([]byte) (int, error) { s.onRead(); select {} }

// TestInterrupt interrupts commands while they read standard input that never comes, or never ends.
func TestInterrupt(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	std := stdio{in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	if code := run(t.Context(), []string{"init", "--login", "root@example.com", "--data", data}, std); code != exitOK {
		t.Fatalf("pawl init: exit code %d", code)
	}
	importUsers := []string{"user", "import", "-", "--format", "jsonl", "--data", data}
	for name, args := range map[string][]string{
		"login":   {"login", "a@b.c"},
		"refresh": {"refresh"},
		"import":  importUsers,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, interrupt := context.WithCancel(t.Context())
			wantInterrupted(t, ctx, args, silent{onRead: interrupt})
		})
	}
	for name, text := range map[string]string{
		"blank lines": "\n", "bad lines": "x\n", "a line without an end": "x",
	} {
		t.Run(name, func(t *testing.T) {
			ctx, interrupt := context.WithCancel(t.Context())
			reads := 0
			wantInterrupted(t, ctx, importUsers, endless{text: text, onRead: func() {
				reads++
				if reads == 3 {
					interrupt()
				}
			}})
		})
	}
}

// wantInterrupted runs a command, and requires it to fail because its context has ended.
func wantInterrupted(t *testing.T, ctx context.Context, args []string, in io.Reader) {
	t.Helper()
	done := make(chan int, 1)
	var stderr strings.Builder
	go func() { done <- run(ctx, args, stdio{in: in, out: io.Discard, err: &stderr}) }()
	select {
	case code := <-done:
		output := stderr.String()
		interrupted := strings.HasSuffix(output, "context canceled\n") ||
			strings.Contains(output, "context canceled; 0 users are imported")
		if code != exitFailed || !interrupted {
			t.Errorf("exit code %d: %.300s", code, output)
		}
	case <-time.After(30 * time.Second):
		t.Error("the command still runs 30 seconds after the interrupt")
	}
}

// TestInterruptedStore interrupts the commands for a store at their start. None of them may take that for damage.
func TestInterruptedStore(t *testing.T) {
	data, other := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "other")
	backup := filepath.Join(t.TempDir(), "backup.db")
	std := stdio{in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	for _, args := range [][]string{
		{"init", "--login", "root@example.com", "--data", data},
		{"store", "backup", "--data", data, "--to", backup},
	} {
		if code := run(t.Context(), args, std); code != exitOK {
			t.Fatalf("%s: exit code %d", args, code)
		}
	}
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	reason := regexp.MustCompile("interrupted|context canceled")
	for _, args := range [][]string{
		{"check", "--data", data},
		{"check", "--backup", backup},
		{"backup", "--data", data, "--to", backup + "-2"},
		{"restore", "--data", data, "--from", backup},
		{"copy", "--from", "sqlite:" + data, "--to", "sqlite:" + other},
		{"end-sessions", "--store", "sqlite:" + data},
	} {
		var stderr strings.Builder
		code := run(ctx, append([]string{"store"}, args...), stdio{in: std.in, out: io.Discard, err: &stderr})
		text := stderr.String()
		if code != exitFailed || !reason.MatchString(text) || strings.Contains(text, "from a backup") {
			t.Errorf("store %s: exit code %d: %s", args, code, text)
		}
	}
	if _, err := os.Stat(backup + "-2"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the interrupted backup left a file: %v", err)
	}
}

// TestInterruptedImport interrupts an import between two pages. The message has the number of durable users, which a
// second import finds unchanged.
func TestInterruptedImport(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	std := stdio{in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	if code := run(t.Context(), []string{"init", "--login", "root@example.com", "--data", data}, std); code != exitOK {
		t.Fatalf("pawl init: exit code %d", code)
	}
	var text strings.Builder
	const hash = "$2b$04$o9DuE/Ry9/y.ybnUfqYzQuutFLv2bXfwdOJ0IQQ5.sR.eOs1vN2yG"
	for i := range 3500 {
		fmt.Fprintf(&text, `{"login":"u%d@example.com","passwordHash":"%s"}`+"\n", i, hash)
	}
	args := []string{"user", "import", "-", "--format", "jsonl", "--data", data}
	ctx, interrupt := context.WithCancel(t.Context())
	users := text.String()
	half := io.MultiReader(strings.NewReader(users[:len(users)/2]), silent{onRead: interrupt})
	var stderr, stdout strings.Builder
	code := run(ctx, args, stdio{in: half, out: io.Discard, err: &stderr})
	sentence := regexp.MustCompile(`canceled; (\d+) users are imported permanently, 0 were unchanged`)
	durable := sentence.FindStringSubmatch(stderr.String())
	if code != exitFailed || durable == nil {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	code = run(t.Context(), args, stdio{in: strings.NewReader(users), out: &stdout, err: io.Discard})
	n, err := strconv.Atoi(durable[1])
	want := fmt.Sprintf("Imported %d, unchanged %d, skipped 0.\n", 3500-n, n)
	if code != exitOK || stdout.String() != want || err != nil {
		t.Errorf("exit code %d: %s, want %s", code, &stdout, want)
	}
}
