package sqlite

import (
	"context"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority"
)

// milliNow is the time of the leases: Unix milliseconds by the clock of the machine.
const milliNow = "CAST(unixepoch('subsec') * 1000 AS INTEGER)"

const selectReceivers = `SELECT id, url, audience, auth_sealed, created, last_event, delivered, delivered_at, rejected,
	failures, pending_at, error, error_at, lease_node, max(0, lease_until - ` + milliNow + `)
	FROM receiver ORDER BY rank`

func scanReceiver(stmt *sqlite.Stmt) authority.Receiver {
	return authority.Receiver{
		ID: stmt.ColumnText(0), URL: stmt.ColumnText(1), Audience: stmt.ColumnText(2),
		Authorization: stmt.ColumnText(3), Created: stmt.ColumnInt64(4),
		Delivery: authority.Delivery{
			Cursor: stmt.ColumnInt64(5), Delivered: stmt.ColumnInt64(6), DeliveredAt: stmt.ColumnInt64(7),
			Rejected: stmt.ColumnInt64(8), Failures: stmt.ColumnInt64(9), PendingAt: stmt.ColumnInt64(10),
			Error: stmt.ColumnText(11), ErrorAt: stmt.ColumnInt64(12),
		},
		Lease: authority.Lease{
			Node: stmt.ColumnText(13), Left: time.Duration(stmt.ColumnInt64(14)) * time.Millisecond,
		},
	}
}

// Receivers returns all receivers.
func (s *Store) Receivers(ctx context.Context) ([]authority.Receiver, error) {
	return list(ctx, s, selectReceivers, nil, scanReceiver)
}

// AddReceiver adds a receiver.
func (s *Store) AddReceiver(ctx context.Context, r authority.Rights, receiver authority.Receiver, most int) error {
	return s.writeAs(ctx, r, normal, func(c *change) error {
		present, err := queryAll(c.conn, selectReceivers, nil, scanReceiver)
		if err == nil {
			err = receiver.CheckNew(present, most)
		}
		if err != nil {
			return err
		}
		const sql = `INSERT INTO receiver (id, url, audience, auth_sealed, created, last_event)
			SELECT ?, ?, ?, ?, ?, coalesce((SELECT max(id) FROM event), 0)`
		return execute(c.conn, sql, receiver.ID, receiver.URL, receiver.Audience, receiver.Authorization,
			receiver.Created)
	})
}

// RemoveReceiver removes a receiver.
func (s *Store) RemoveReceiver(ctx context.Context, r authority.Rights, id string) error {
	return s.writeAs(ctx, r, normal, func(c *change) error {
		return executeOne(c.conn, "DELETE FROM receiver WHERE id = ?", id)
	})
}

// LeaseReceivers gives receivers to a node. If no lease changes, it writes nothing.
func (s *Store) LeaseReceivers(
	ctx context.Context, node string, life time.Duration,
) ([]authority.Receiver, error) {
	receivers, err := s.Receivers(ctx)
	if err != nil || !authority.LeaseDue(receivers, node, life) {
		return receivers, err
	}
	return tx(ctx, s, normal, func(c *change) ([]authority.Receiver, error) {
		const sql = `UPDATE receiver SET lease_until = ` + milliNow + ` + ?2,
				lease_node = CASE WHEN lease_until <= ` + milliNow + ` THEN ?1 ELSE lease_node END
			WHERE lease_until <= ` + milliNow + ` OR lease_until > ` + milliNow + ` + ?2 * 2
				OR lease_node = ?1 AND lease_until < ` + milliNow + ` + ?2 * 2 / 3`
		if err := execute(c.conn, sql, node, life.Milliseconds()); err != nil {
			return nil, err
		}
		return queryAll(c.conn, selectReceivers, nil, scanReceiver)
	})
}

// SaveDelivery replaces the Delivery of a receiver.
func (s *Store) SaveDelivery(ctx context.Context, node, id string, d authority.Delivery) error {
	return s.write(ctx, normal, func(c *change) error {
		const sql = `UPDATE receiver SET last_event = ?3, delivered = ?4, delivered_at = ?5, rejected = ?6,
				failures = ?7, pending_at = ?8, error = ?9, error_at = ?10
			WHERE id = ?1 AND lease_node = ?2 AND lease_until > ` + milliNow
		return executeOne(c.conn, sql, id, node, d.Cursor, d.Delivered, d.DeliveredAt, d.Rejected, d.Failures,
			d.PendingAt, d.Error, d.ErrorAt)
	})
}

// ReleaseReceivers ends all leases of a node.
func (s *Store) ReleaseReceivers(ctx context.Context, node string) error {
	return s.write(ctx, normal, func(c *change) error {
		return execute(c.conn, "UPDATE receiver SET lease_node = '', lease_until = 0 WHERE lease_node = ?", node)
	})
}

// endLeases ends the leases of an earlier process, which no longer runs. Without such leases it writes nothing.
func (s *Store) endLeases(ctx context.Context) error {
	receivers, err := s.Receivers(ctx)
	if err != nil || !slices.ContainsFunc(receivers, func(r authority.Receiver) bool { return r.Node != "" }) {
		return err
	}
	return s.write(ctx, normal, func(c *change) error {
		return execute(c.conn, "UPDATE receiver SET lease_node = '', lease_until = 0")
	})
}
