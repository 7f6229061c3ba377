package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A primary that was replaced may still answer, and may still call itself writable: its manager has died, or it is cut
// off together with this node. Two checks keep a node from believing it.
//
// The timeline: each promotion starts a timeline with a higher number. The node looks at every host of the address
// (watch.go), leaves a primary once it has seen a higher timeline, and never uses a lower one again.
//
// The lease (lease.go): an answer counts only if a commit that began at most leaseLife earlier was confirmed by every
// standby that may be promoted. A promoted standby confirms nothing any more. So a replaced primary has no lease later
// than leaseLife after the promotion, and nodes use the new primary only after that time (usableAt).

// fence is what a node has seen of the primaries of its database.
type fence struct {
	log      *slog.Logger
	timeline atomic.Uint32 // the highest timeline of a primary; 0 if unknown
	leased   atomic.Bool   // whether an answer needs a lease

	off atomic.Bool // whether the fence permits everything; see citus.go

	renew chan struct{} // asks for a renewal; holds at most one value

	mu        sync.Mutex      // guards the fields below
	usableAt  time.Time       // when the leases of the primary before have expired
	confirmed time.Time       // when the last confirmed commit began
	changed   chan struct{}   // closed at the next change of confirmed or leased, or after a failed renewal
	standbys  standbys        // of the primary
	avoided   map[string]bool // the hosts that were not the primary at the last look
	warned    warnings
}

// warnings are the facts that were logged already.
type warnings struct{ unknown, lower bool }

var (
	errReplaced = errors.New("the primary was replaced by another one: its timeline is not the highest")
	// errEarly is a temporary error: another node may still accept answers of the replaced primary.
	errEarly    = errors.New("the new primary cannot be used until the leases of the replaced one have expired")
	errReadOnly = errors.New("the server is read-only")
)

func newFence(log *slog.Logger) *fence {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &fence{
		log:     log,
		renew:   make(chan struct{}, 1),
		changed: make(chan struct{}),
		avoided: map[string]bool{},
	}
}

// timelineKey is the key of a connection's timeline.
const timelineKey = "pawl.timeline"

// validate accepts a connection to the primary with the highest timeline that was seen.
func (f *fence) validate(ctx context.Context, conn *pgconn.PgConn) error {
	timeline, err := readTimeline(ctx, conn)
	if err != nil {
		return err
	}
	if f.off.Load() {
		return nil
	}
	conn.CustomData()[timelineKey] = timeline
	if timeline == 0 {
		f.warnUnknown()
		return nil
	}
	f.see(timeline)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case timeline < f.timeline.Load():
		f.warnLower(conn, timeline)
		return errReplaced
	case time.Now().Before(f.usableAt):
		return errEarly
	}
	return nil
}

// timelineSQL selects whether the server is read-only, and the timeline of a primary in hexadecimal.
const timelineSQL = "SELECT current_setting('transaction_read_only'), CASE WHEN pg_is_in_recovery() THEN '0'" +
	" ELSE substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END"

// readTimeline returns the timeline of a writable server, or errReadOnly. The timeline is 0 if the server does not
// permit the functions that return it, or does not have them.
func readTimeline(ctx context.Context, conn *pgconn.PgConn) (uint32, error) {
	result := conn.ExecParams(ctx, timelineSQL, nil, nil, nil, nil).Read()
	refused, ok := errors.AsType[*pgconn.PgError](result.Err)
	switch {
	case ok && hasAnyPrefix(refused.Code, noTimelineCodes):
		return 0, pgconn.ValidateConnectTargetSessionAttrsReadWrite(ctx, conn)
	case result.Err != nil:
		return 0, result.Err
	case len(result.Rows) != 1 || len(result.Rows[0]) != 2:
		return 0, fmt.Errorf("the query for the timeline returned %d rows", len(result.Rows))
	}
	row := result.Rows[0]
	timeline, err := strconv.ParseUint(string(row[1]), 16, 32)
	if err == nil && (string(row[0]) == "on" || timeline == 0) {
		err = errReadOnly
	}
	return uint32(timeline), err
}

// noTimelineCodes are the SQLSTATEs of a server that keeps its timeline to itself, as some managed databases do.
var noTimelineCodes = append([]string{codeInsufficientPrivilege}, unsupportedCodes...)

// see takes note of a primary's timeline.
func (f *fence) see(timeline uint32) {
	if timeline <= f.timeline.Load() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.timeline.Load()
	if timeline <= before {
		return
	}
	// At the start it is unknown whether the primary before had a lease. Without a promotion there was none before.
	if f.leased.Load() || before == 0 && timeline > 1 {
		f.usableAt = time.Now().Add(leaseLife)
	}
	f.confirmed = time.Time{}
	f.timeline.Store(timeline)
	f.warned.lower = false
	f.notify()
	if before != 0 {
		f.log.Warn("the database has a new primary", "timeline", timeline, "before", before)
	}
}

// timelineOf returns the timeline of a pooled connection, or 0 if it is unknown.
func timelineOf(conn *pgx.Conn) uint32 {
	timeline, _ := conn.PgConn().CustomData()[timelineKey].(uint32)
	return timeline
}

// turnOff makes the fence permit every writable server.
func (f *fence) turnOff() {
	f.off.Store(true)
	f.timeline.Store(0)
	f.leased.Store(false)
	f.log.Warn("on Citus, Pawl does not recognize a worker that was replaced and still answers: " +
		"let the manager of the workers stop it")
}

// isLower reports whether a higher timeline than a connection's was seen.
func (f *fence) isLower(timeline uint32) bool { return timeline != 0 && timeline < f.timeline.Load() }

// warnUnknown logs once that the server keeps its timeline to itself.
func (f *fence) warnUnknown() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.warned.unknown {
		f.warned.unknown = true
		f.log.Warn("the database does not permit pg_walfile_name: Pawl cannot recognize a primary that was replaced. " +
			"Grant EXECUTE on pg_walfile_name(pg_lsn) and pg_current_wal_insert_lsn(), or rely on the fencing of its " +
			"provider")
	}
}

// warnLower logs once that a replaced primary still accepts writes. The caller holds f.mu.
func (f *fence) warnLower(conn *pgconn.PgConn, timeline uint32) {
	if !f.warned.lower {
		f.warned.lower = true
		f.log.Warn("a primary that was replaced still accepts writes, and is not used: stop it. "+
			"If an older backup was restored on purpose, restart Pawl", "address", conn.Conn().RemoteAddr().String(),
			"timeline", timeline, "highest", f.timeline.Load())
	}
}

// notify wakes the callers that wait for a change. The caller holds f.mu.
func (f *fence) notify() {
	close(f.changed)
	f.changed = make(chan struct{})
}
