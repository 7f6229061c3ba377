package main

import (
	"context"
	"io"
)

// untilDone reads in until its end, or until the context is done: a terminal, a
// pipe or a file without an end would hold a command for ever. What waits in
// a read of in then, waits until that ends, or the process.
func untilDone(ctx context.Context, in io.Reader) io.ReadCloser {
	r, w := io.Pipe()
	stop := context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
	go func() {
		_, err := io.Copy(w, in)
		w.CloseWithError(err)
		stop()
	}()
	return r
}
