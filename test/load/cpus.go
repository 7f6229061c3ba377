package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/test/testbin"
)

// programs are the programs to measure, and the CPUs that they run on.
type programs struct {
	binary  string   // a Pawl
	old     string   // an earlier Pawl; empty without one
	pin     []string // in front of a command of a server: the program that runs it on one CPU; nil for all CPUs
	machine string   // the CPUs in words
	// flush is added to each flush of the disk by a server on one CPU; 0 is none.
	flush time.Duration
}

// onBothMachines runs measure with the servers on all CPUs, and then with the servers on a CPU of their own. If cpus is
// 2, it runs only the first part, and if cpus is 1, only the second one. For the second part it starts this program
// again on another CPU, with the database, so that a measured server is alone.
func onBothMachines(
	ctx context.Context, old string, cpus int, flush time.Duration, measure func(programs) error,
) error {
	dir, err := os.MkdirTemp("", "pawl-load-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	again := runtime.NumCPU() == 1
	p := programs{old: old, flush: flush, machine: fmt.Sprintf("%d CPUs shared with the load", runtime.NumCPU())}
	if !again {
		printMachine(os.Stdout)
	}
	if p.binary, err = testbin.BuildIn(dir); err != nil {
		return err
	}
	if !again && cpus != 1 {
		if err := measure(p); err != nil {
			return err
		}
	}
	if cpus == 2 {
		return nil
	}
	if again {
		if err := p.pinTo("0", dir); err != nil {
			return err
		}
		return measure(p)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", "1", self}, os.Args[1:]...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// pinTo runs the servers on one CPU. A server needs the limit from its start, because it chooses its number of threads
// then.
func (p *programs) pinTo(cpu, dir string) error {
	p.pin = []string{"taskset", "-c", cpu}
	p.machine = "one CPU for the server, the other one for load and database"
	run := p.pin
	if p.flush > 0 {
		p.machine += fmt.Sprintf(", each flush %s longer", p.flush)
		// strace delays the thread in the system call. With -D the server is the process that the script becomes.
		delay := fmt.Sprintf("inject=fsync,fdatasync:delay_exit=%d", p.flush.Microseconds())
		run = append([]string{"strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", os.DevNull,
			"-e", "trace=fsync,fdatasync", "-e", delay}, p.pin...)
	}
	for _, binary := range []*string{&p.binary, &p.old} {
		if *binary == "" {
			continue
		}
		absolute, err := filepath.Abs(*binary)
		if err != nil {
			return err
		}
		script := filepath.Join(dir, "pinned-"+filepath.Base(absolute))
		text := fmt.Sprintf("#!/bin/sh\nexec %s '%s' \"$@\"\n", strings.Join(run, " "), absolute)
		if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
			return err
		}
		*binary = script
	}
	return nil
}
