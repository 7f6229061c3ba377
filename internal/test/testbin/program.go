package testbin

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"testing"

	"github.com/pawlauth/pawl/internal/test/testlog"
)

// Program is a running program. It keeps the end of its standard error.
type Program struct {
	*exec.Cmd
	output testlog.Log
	exited chan struct{} // closed after err is set
	err    error
}

// StartProgram starts a command. If cmd.Stderr is set, it gets the standard error, too. The caller must wait for the
// program, or kill it.
func StartProgram(cmd *exec.Cmd) (*Program, error) {
	p := &Program{Cmd: cmd, exited: make(chan struct{})}
	if cmd.Stderr == nil {
		cmd.Stderr = &p.output
	} else {
		cmd.Stderr = io.MultiWriter(&p.output, cmd.Stderr)
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.exited)
		p.err = cmd.Wait()
	}()
	return p, nil
}

// Wait returns when the process has exited. It may be called again.
func (p *Program) Wait() error {
	<-p.exited
	return p.err
}

// Kill kills the process if it is still running, and waits until it has exited.
func (p *Program) Kill() {
	_ = p.Process.Kill() // an error means that it has exited
	<-p.exited
}

// End kills the process if it is still running. If the test has failed, End logs the standard error.
func (p *Program) End(t testing.TB) {
	t.Helper()
	p.Kill()
	p.output.Print(t, fmt.Sprintf("%v, process %d", p.Args[1:], p.Process.Pid))
}

// Exited returns a channel that is closed when the process has exited.
func (p *Program) Exited() <-chan struct{} { return p.exited }

// Log returns the end of the standard error. It is complete once the process has exited.
func (p *Program) Log() string { return p.output.String() }

// lineWriter calls read for each line that is written to it, until read returns false.
type lineWriter struct {
	read func(line []byte) (more bool)
	part []byte // of the next line
	done bool
}

// Write adds bytes. It returns no error.
func (w *lineWriter) Write(p []byte) (int, error) {
	if w.done {
		return len(p), nil
	}
	w.part = append(w.part, p...)
	for !w.done {
		line, rest, whole := bytes.Cut(w.part, []byte{'\n'})
		if !whole {
			return len(p), nil
		}
		w.done = !w.read(line)
		w.part = rest
	}
	w.part = nil
	return len(p), nil
}
