package testbin

import (
	"os/exec"
	"sync"
	"testing"
)

// maxTail is how much of the output of a process tail keeps.
const maxTail = 32 << 10

// tail keeps the last output of a process. It is safe for concurrent use.
type tail struct {
	mu   sync.Mutex // guards the fields below
	text []byte
	cut  bool // whether earlier output is missing
}

func (l *tail) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, text...)
	if len(l.text) > 2*maxTail {
		l.text = append([]byte(nil), l.text[len(l.text)-maxTail:]...)
		l.cut = true
	}
	return len(text), nil
}

// String returns the output, of which the beginning may be missing.
func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return "…" + string(l.text)
	}
	return string(l.text)
}

// logFailure logs the output of a process if the test has failed.
func logFailure(t testing.TB, cmd *exec.Cmd, output *tail) {
	t.Helper()
	if t.Failed() {
		t.Logf("the log of %v, process %d:\n%s", cmd.Args[1:], cmd.Process.Pid, output.String())
	}
}
