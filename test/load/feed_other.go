//go:build !linux

package main

import (
	"context"
	"io"
	"time"
)

// printFeed measures nothing, because pgtest supports only Linux.
func printFeed(context.Context, io.Writer, string, string, int, time.Duration) error { return nil }

// printDelay measures nothing, for the same reason.
func printDelay(context.Context, io.Writer, string, time.Duration) error { return nil }
