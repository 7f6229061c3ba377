package main

import (
	"fmt"
	"io"
	"time"
)

// progress is one line that is written anew.
type progress struct {
	out   io.Writer
	last  time.Time
	shown bool
}

func newProgress(out io.Writer) *progress { return &progress{out: out} }

// show says how far the work is, a few times a second.
func (p *progress) show(what string, done, total int64) {
	if done < total && time.Since(p.last) < 200*time.Millisecond {
		return
	}
	p.last, p.shown = time.Now(), true
	fmt.Fprintf(p.out, "\r%-12s %d of %d ", what, done, total)
}

func (p *progress) end() {
	if p.shown {
		fmt.Fprintln(p.out)
	}
}
