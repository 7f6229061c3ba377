//go:build linux

package postgres_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/token"
)

// BenchmarkCitus measures the processor time of all processes of the database for a refresh and for a check, in turn on
// one PostgreSQL and on Citus with two workers, each of them the entrance of one node. The kernel counts that time in
// steps of 10 ms, so it needs many calls:
//
//	go test ./internal/store/postgres -run '^$' -bench BenchmarkCitus -benchtime 100000x -timeout 2h
func BenchmarkCitus(b *testing.B) {
	one := pgtest.Start(b, "shared_buffers=256MB", "fsync=on")
	dsn := one.DSN(one.Database(b))
	plain := newEngine(b, []*pgtest.Cluster{one}, dsn, dsn)
	cluster := pgtest.StartCitus(b, 2, "shared_buffers=256MB", "fsync=on")
	dsns := newCitus(b, cluster)
	citus := newEngine(b, cluster.Servers(), dsns[1:]...)
	for round := range 3 {
		b.Run(fmt.Sprint("PostgreSQL/", round), plain.measure)
		b.Run(fmt.Sprint("Citus/", round), citus.measure)
	}
}

// citusCallers are numbers of callers. Two nodes have a group of batches for each of four shards, so these are 1, 2, 8
// and 128 callers for each group.
var citusCallers = []int{8, 16, 64, 1024}

// engine is a database with a node for each entrance.
type engine struct {
	servers     []*pgtest.Cluster
	nodes       []node
	ids         []token.SessionID
	generations []atomic.Uint32
}

func newEngine(b *testing.B, servers []*pgtest.Cluster, entrances ...string) *engine {
	b.Helper()
	e := &engine{servers: servers, generations: make([]atomic.Uint32, benchSessions)}
	for _, dsn := range entrances {
		e.nodes = append(e.nodes, openNode(b, postgres.Config{DSN: dsn}))
	}
	e.ids = e.nodes[0].fill(b)
	for i := range e.generations {
		e.generations[i].Store(1)
	}
	return e
}

func (e *engine) cpu() (used time.Duration) {
	for _, server := range e.servers {
		used += server.CPU()
	}
	return used
}

func (e *engine) measure(b *testing.B) {
	for _, call := range []struct {
		name string
		of   func(n node, i int) error
	}{
		{name: "Rotate", of: func(n node, i int) error {
			rotation := authority.Rotation{Session: e.ids[i], From: e.generations[i].Load(), Lives: farLives}
			result, rotated, err := n.Rotate(b.Context(), rotation)
			if err == nil && rotated {
				e.generations[i].Store(result.Session.Generation)
			}
			return err
		}},
		{name: "Session", of: func(n node, i int) error {
			_, err := n.Session(b.Context(), e.ids[i])
			return err
		}},
	} {
		for _, callers := range citusCallers {
			b.Run(fmt.Sprint(call.name, "/", callers), func(b *testing.B) {
				cpu := e.cpu()
				callWith(b, callers, func(i int) error { return call.of(e.nodes[i%len(e.nodes)], i) })
				b.ReportMetric(float64(e.cpu()-cpu)/1e3/float64(b.N), "db-µs/op")
			})
		}
	}
}
