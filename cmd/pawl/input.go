package main

import (
	"context"
	"io"
)

// untilDone returns a reader that reads in until its end or the end of ctx. Reading in itself could block for ever, on
// a terminal or an open pipe. A read of in is abandoned if it blocks when ctx ends, and leaks until it returns.
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
