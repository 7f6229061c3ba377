package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// progress is one line of text, overwritten as the work proceeds. It is only for a terminal, because elsewhere the line
// would be many.
type progress struct {
	out      io.Writer
	terminal bool
	last     time.Time
	shown    bool
}

func newProgress(out io.Writer) *progress { return &progress{out: out, terminal: isTerminal(out)} }

// show writes how much of the work is done.
func (p *progress) show(what string, done, total int64) {
	if p.due(done, total) {
		fmt.Fprintf(p.out, "\r%-12s %d of %d ", what, done, total)
	}
}

// bar writes a bar and a few words. A total of 0 is unknown, and has no bar.
func (p *progress) bar(done, total int64, words string) {
	if !p.due(done, total) {
		return
	}
	const width = 40
	if total > 0 {
		full := int(min(done, total) * width / total)
		fmt.Fprintf(p.out, "\r[%-*s] %3d%% ", width, strings.Repeat("#", full), min(done, total)*100/total)
	} else {
		fmt.Fprint(p.out, "\r")
	}
	fmt.Fprint(p.out, words, " ")
}

// due reports whether to write now: five times a second, and at the end.
func (p *progress) due(done, total int64) bool {
	if !p.terminal || (done < total || total == 0) && time.Since(p.last) < 200*time.Millisecond {
		return false
	}
	p.last = time.Now()
	p.shown = true
	return true
}

// end ends the line, if there is one.
func (p *progress) end() {
	if p.shown {
		fmt.Fprintln(p.out)
	}
	p.shown = false
}
