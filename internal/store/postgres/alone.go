package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Each connection of a store holds an advisory lock that it shares with all
// others. One who moves a whole store takes it alone, and so learns that no
// node is there, and keeps all away.

// aloneLock is the key of the advisory lock ("Pawm" in ASCII).
const aloneLock = 0x5061776d

var (
	errMoving = errors.New("the database is being copied, or its sessions are being ended: wait until that is over")
	errServed = errors.New("a Pawl is connected to the database: stop all that use it first")
)

func beOneOfMany(ctx context.Context, conn *pgx.Conn) error {
	return tryLock(ctx, conn, "pg_try_advisory_lock_shared", errMoving)
}

func tryLock(ctx context.Context, conn *pgx.Conn, function string, refused error) error {
	var got bool
	err := conn.QueryRow(ctx, fmt.Sprintf("SELECT %s(%d)", function, aloneLock)).Scan(&got)
	if err == nil && !got {
		err = refused
	}
	return err
}

// keepOthersOut takes the lock for this store, on a connection of its own. What
// runs on that one later, and works, tells that the lock was held all the time.
func (s *Store) keepOthersOut(ctx context.Context) (err error) {
	if s.own, err = s.pool.Acquire(ctx); err != nil {
		return err
	}
	return patiently(ctx, errServed, func() error { return tryLock(ctx, s.own.Conn(), "pg_try_advisory_lock", errServed) })
}

const (
	goneWithin = 2 * time.Second // until a server has noticed that a connection was closed
	gonePause  = 20 * time.Millisecond
)

// patiently tries again what was refused, for a moment: one that has closed its
// connections just now may still seem to be there.
func patiently(ctx context.Context, refused error, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, goneWithin)
	defer cancel()
	for {
		err := try()
		if !errors.Is(err, refused) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(gonePause):
		}
	}
}

// release lets the others in: the lock ends with its connection.
func (s *Store) release() {
	if s.own != nil {
		s.own.Conn().Close(context.Background())
		s.own.Release()
	}
}

// held runs f, however long it takes: on the connection that keeps the others
// out, where there is one. So if that was lost, and others may have come, f fails.
func (s *Store) held(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	warily := func(conn *pgx.Conn) error { return cmp.Or(f(ctx, conn), warning(conn)) }
	if s.own != nil {
		return explain(warily(s.own.Conn()))
	}
	return explain(s.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error { return warily(conn.Conn()) }))
}
