package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/pawlauth/pawl/internal/bench"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// server is a server to measure, with open chains.
type server struct {
	name            string
	url             string
	login, password string
	apiKey          string // of an admin
	pid             int
	stop            func()

	load *bench.Load
}

const floorName = "floor"

// store is a kind of store, with a function that starts a Pawl with this store.
type store struct {
	name  string
	start func(binary, dir string, settings ...string) (*server, error) // settings have the form name=value
}

// stores are the stores to measure.
var stores = append([]store{{"SQLite", startSQLite}}, systemStores...)

func startSQLite(binary, dir string, settings ...string) (*server, error) {
	flags := make([]string, len(settings))
	for i, setting := range settings {
		flags[i] = "--" + setting
	}
	dev, err := testbin.RunDev(binary, filepath.Join(dir, "sqlite"), flags...)
	if err != nil {
		return nil, err
	}
	return &server{
		url: dev.Env["PAWL_URL"], login: dev.Env["PAWL_LOGIN"], password: dev.Env["PAWL_PASSWORD"],
		apiKey: dev.Env["PAWL_API_KEY"],
		pid:    dev.Process.Pid, stop: dev.Kill,
	}, nil
}

// startAll starts the floor and a Pawl with each store, and opens sessions on each server. The floor is the first
// result. If a server does not start, startAll also returns the running servers.
func startAll(ctx context.Context, dir string, sessions int) ([]*server, error) {
	logf("building")
	binary, err := testbin.BuildIn(dir)
	if err != nil {
		return nil, err
	}
	var servers []*server
	for _, store := range stores {
		s, err := store.start(binary, dir)
		if err != nil {
			return servers, fmt.Errorf("%s: %w", store.name, err)
		}
		s.name = store.name
		servers = append(servers, s)
	}
	floor, err := startFloor(ctx, servers[0])
	if err != nil {
		return servers, err
	}
	servers = append([]*server{floor}, servers...)
	return servers, openAll(ctx, servers, sessions)
}

// openAll opens sessions on each server.
func openAll(ctx context.Context, servers []*server, sessions int) (err error) {
	for _, s := range servers {
		logf("%s: opening %d sessions", s.name, sessions)
		if s.load, err = bench.Open(ctx, s.url, s.login, s.password, sessions, nil); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}
