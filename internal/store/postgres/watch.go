package postgres

import (
	"context"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// watchEvery is the pause between two looks at a host.
	watchEvery = 500 * time.Millisecond
	// lookTimeout bounds one look, with its connection.
	lookTimeout = time.Second
)

// watcher looks at one host of the address. It has a connection of its own, because the pool connects to one host only.
type watcher struct {
	host   string // HOST:PORT
	config *pgx.ConnConfig
	conn   *pgx.Conn
}

// newWatchers returns a watcher for each host of an address. With a single host there is nothing to compare, so there
// is no watcher.
func newWatchers(config *pgx.ConnConfig) []*watcher {
	var all []*watcher
	byHost := map[string]*watcher{}
	add := func(variant *pgconn.FallbackConfig) {
		host := hostOf(variant)
		if w := byHost[host]; w != nil { // sslmode=prefer has two variants of each host
			w.config.Fallbacks = append(w.config.Fallbacks, variant)
			return
		}
		one := config.Copy()
		one.Host = variant.Host
		one.Port = variant.Port
		one.TLSConfig = variant.TLSConfig
		one.Fallbacks = nil
		one.ValidateConnect = nil
		w := &watcher{host: host, config: one}
		byHost[host] = w
		all = append(all, w)
	}
	add(&pgconn.FallbackConfig{Host: config.Host, Port: config.Port, TLSConfig: config.TLSConfig})
	for _, variant := range config.Fallbacks {
		add(variant)
	}
	if len(all) == 1 {
		return nil
	}
	return all
}

func hostOf(variant *pgconn.FallbackConfig) string {
	return net.JoinHostPort(variant.Host, strconv.Itoa(int(variant.Port)))
}

// look returns the timeline of the host's primary. It connects first if there is no connection.
func (w *watcher) look(ctx context.Context) (uint32, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if w.conn == nil {
		conn, err := pgx.ConnectConfig(ctx, w.config)
		if err != nil {
			return 0, err
		}
		w.conn = conn
	}
	timeline, err := readTimeline(ctx, w.conn.PgConn())
	if w.conn.IsClosed() {
		w.conn = nil
	}
	return timeline, err
}

func (w *watcher) close() {
	if w.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
		defer cancel()
		w.conn.Close(ctx)
		w.conn = nil
	}
}

// lookAtAll looks at every host once, so that a start does not use a primary that was replaced. A host that does not
// answer in time is left out.
func (f *fence) lookAtAll(ctx context.Context, all []*watcher) {
	var group sync.WaitGroup
	for _, w := range all {
		group.Go(func() {
			timeline, err := w.look(ctx)
			if err == nil {
				f.see(timeline)
			}
			f.note(w.host, timeline, err)
		})
	}
	group.Wait()
}

// note stores whether a host was the primary at a look.
func (f *fence) note(host string, timeline uint32, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.avoided[host] = err != nil || f.isLower(timeline)
}

// orderHosts makes a new connection try the avoided hosts last (BeforeConnect of pgxpool). Otherwise a host could keep
// a node from the primary: pgx tries no further host after one that rejects the password or does not have the database.
// A standby that has stopped following may do either.
func (f *fence) orderHosts(_ context.Context, config *pgx.ConnConfig) error {
	all := []*pgconn.FallbackConfig{{Host: config.Host, Port: config.Port, TLSConfig: config.TLSConfig}}
	all = append(all, config.Fallbacks...)
	f.mu.Lock()
	slices.SortStableFunc(all, func(a, b *pgconn.FallbackConfig) int {
		return rank(f.avoided[hostOf(a)]) - rank(f.avoided[hostOf(b)])
	})
	f.mu.Unlock()
	config.Host = all[0].Host
	config.Port = all[0].Port
	config.TLSConfig = all[0].TLSConfig
	config.Fallbacks = all[1:]
	return nil
}

// rank returns the place of a host in orderHosts: 1 if it is avoided, or 0.
func rank(avoided bool) int {
	if avoided {
		return 1
	}
	return 0
}

// watch looks at a host every watchEvery, until ctx ends. A higher timeline makes the pool connect again.
func (s *Store) watch(ctx context.Context, w *watcher) {
	defer w.close()
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		timeline, err := w.look(ctx)
		if err == nil && timeline > s.hot.fence.timeline.Load() {
			s.hot.fence.see(timeline)
			s.hot.pool.Reset()
		}
		s.hot.fence.note(w.host, timeline, err)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
