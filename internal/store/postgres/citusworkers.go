package postgres

import (
	"context"
	"slices"
)

// A node has connections to each worker with shards, so that the statements on a shard take no way through a second
// server. Any server is right, so the entrance takes the place of a worker that cannot be reached.

// serverAt returns the server for the statements on a shard of a worker: the worker if the node has reached it, and
// otherwise the entrance.
func (s *Store) serverAt(address string) (at server, reached bool) {
	if s.citus == nil {
		return s.hot, false
	}
	if worker, reached := s.citus.workers[address]; reached {
		return worker, true
	}
	return s.hot, false
}

// openWorkers connects to the workers with these shards that have no connections yet. It reports whether it has reached
// one of them.
func (s *Store) openWorkers(places []shardPlace) (reached bool) {
	tried := map[string]bool{}
	for _, place := range places {
		if _, open := s.citus.workers[place.worker]; open || tried[place.worker] {
			continue
		}
		tried[place.worker] = true
		worker, err := s.citus.open(place.worker)
		if err != nil {
			s.log.Warn("a worker of Citus cannot be reached directly", "address", place.worker, "err", explain(err))
			continue
		}
		s.citus.workers[place.worker] = worker
		reached = true
	}
	return reached
}

// closeWorkers closes the connections to workers without any of these shards. No batch may use them.
func (s *Store) closeWorkers(places []shardPlace) {
	for address, worker := range s.citus.workers {
		if !slices.ContainsFunc(places, func(p shardPlace) bool { return p.worker == address }) {
			delete(s.citus.workers, address)
			worker.pool.Close()
		}
	}
}

// workerOpener returns a function that opens the connections to a worker.
func (s *Store) workerOpener(c Config) func(address string) (server, error) {
	return func(address string) (server, error) {
		ctx, cancel := context.WithTimeout(context.Background(), hotTimeout)
		defer cancel()
		config, err := s.citus.configOf(address)
		if err != nil {
			return server{}, err
		}
		c.pool = s.hot.pool.Config()
		c.pool.ConnConfig = config
		pool, err := newPool(ctx, c, s.node, nil)
		if err != nil {
			return server{}, err
		}
		if err := pool.Ping(ctx); err != nil {
			pool.Close()
			return server{}, err
		}
		return server{pool: pool, fence: s.hot.fence}, nil
	}
}
