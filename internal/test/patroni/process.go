//go:build linux

package patroni

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/pawlauth/pawl/internal/test/pgtest"
)

// process is a running program.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// start starts a program as the user of PostgreSQL, in a network namespace unless that is "". Its output goes to a file
// of the site.
func (s *Site) start(namespace, program string, args ...string) *process {
	s.t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, program+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	p := &process{cmd: exec.Command(program, args...), exited: make(chan struct{})}
	p.cmd.Dir = s.dir
	p.cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "HOME="+s.dir)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// If the test's process dies, Patroni stops its server too.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: pgtest.Credential(s.t), Pdeathsig: syscall.SIGTERM}
	var failed error
	s.network.enter(namespace, func() { failed = p.cmd.Start() })
	if failed != nil {
		s.t.Fatal(failed)
	}
	go func() { _ = p.cmd.Wait(); close(p.exited) }()
	return p
}

// signal sends a signal to a process. An error means that it has exited.
func (p *process) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

func (p *process) hasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.exited
}
