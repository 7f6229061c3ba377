//go:build !linux

package main

// systemStores has no PostgreSQL, because pgtest supports only Linux.
var systemStores []store
