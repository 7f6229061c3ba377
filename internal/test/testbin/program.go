package testbin

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"sync"
)

// maxOutput is how many bytes of the standard error are kept.
const maxOutput = 32 << 10

// Program is a running program. It keeps the end of the standard error, for a test that expected a clean exit.
type Program struct {
	*exec.Cmd
	output *output
	exited chan struct{} // closed after err is set
	err    error
}

// StartProgram starts a command. If cmd.Stderr is set, it gets the standard error, too. The caller must wait for the
// program, or kill it.
func StartProgram(cmd *exec.Cmd) (*Program, error) {
	p := &Program{Cmd: cmd, output: new(output), exited: make(chan struct{})}
	if cmd.Stderr == nil {
		cmd.Stderr = p.output
	} else {
		cmd.Stderr = io.MultiWriter(p.output, cmd.Stderr)
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

// Wait returns when the process has exited. The error has the end of its log. Wait may be called again.
func (p *Program) Wait() error {
	<-p.exited
	if p.err == nil {
		return nil
	}
	return fmt.Errorf("%w; the end of its log:\n%s", p.err, p.Log())
}

// Kill kills the process if it is still running, and waits until it has exited.
func (p *Program) Kill() {
	_ = p.Process.Kill() // an error means that it has exited
	<-p.exited
}

// Exited returns a channel that is closed when the process has exited.
func (p *Program) Exited() <-chan struct{} { return p.exited }

// Log returns the end of the standard error. It is complete once the process has exited.
func (p *Program) Log() string { return p.output.String() }

// output keeps the last maxOutput bytes that are written to it. It is safe for concurrent use.
type output struct {
	mu   sync.Mutex
	text []byte
	cut  bool // whether text lacks the first bytes
}

// Write adds bytes. It returns no error.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, p...)
	if len(o.text) > 2*maxOutput { // seldom, so that a long log is not copied all the time
		o.text = append(o.text[:0], o.text[len(o.text)-maxOutput:]...)
		o.cut = true
	}
	return len(p), nil
}

// String returns the last lines.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	text, cut := o.text, o.cut
	if len(text) > maxOutput {
		text, cut = text[len(text)-maxOutput:], true
	}
	if !cut {
		return string(text)
	}
	_, text, _ = bytes.Cut(text, []byte{'\n'}) // the first line may lack its beginning
	return "[...]\n" + string(text)
}

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
