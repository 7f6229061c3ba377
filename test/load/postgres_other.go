//go:build !linux

package main

// onlyHere has no PostgreSQL: its throw-away clusters are for Linux.
var onlyHere []store
