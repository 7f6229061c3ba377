package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
)

// selectReceivers reads the rest of a lease in milliseconds, by the clock of the database, so that the clocks of the
// nodes do not matter. A lease that ended long ago has 0.
const selectReceivers = `SELECT id, url, audience, auth_sealed, created, last_event, delivered, delivered_at, rejected,
	failures, pending_at, error, error_at, lease_node, CASE WHEN lease_until > clock_timestamp()
		THEN (extract(epoch FROM lease_until - clock_timestamp()) * 1000)::bigint ELSE 0 END
	FROM pawl.receiver ORDER BY rank`

func scanReceiver(row pgx.CollectableRow) (r authority.Receiver, err error) {
	var left int64
	err = row.Scan(&r.ID, &r.URL, &r.Audience, &r.Authorization, &r.Created, &r.Cursor, &r.Delivered, &r.DeliveredAt,
		&r.Rejected, &r.Failures, &r.PendingAt, &r.Error, &r.ErrorAt, &r.Node, &left)
	r.Left = time.Duration(left) * time.Millisecond
	return r, err
}

// Receivers returns all receivers.
func (s *Store) Receivers(ctx context.Context) ([]authority.Receiver, error) {
	return query(ctx, s, scanReceiver, selectReceivers)
}

// AddReceiver adds a receiver. The lock makes such calls follow one another, so that none passes over another one.
func (s *Store) AddReceiver(ctx context.Context, r authority.Rights, receiver authority.Receiver, most int) error {
	_, err := withRights(ctx, s, r, func(ctx context.Context, tx pgx.Tx) (none, error) {
		if _, err := tx.Exec(ctx, lockUsersRow); err != nil {
			return none{}, err
		}
		present, err := collect(ctx, tx, scanReceiver, selectReceivers)
		if err == nil {
			err = receiver.CheckNew(present, most)
		}
		if err != nil {
			return none{}, err
		}
		const sql = `INSERT INTO pawl.receiver (id, url, audience, auth_sealed, created, last_event)
			SELECT $1, $2, $3, $4, $5, coalesce((SELECT max(id) FROM pawl.event), 0)`
		_, err = tx.Exec(ctx, sql, receiver.ID, receiver.URL, receiver.Audience, receiver.Authorization,
			receiver.Created)
		return none{}, err
	})
	return err
}

// RemoveReceiver removes a receiver.
func (s *Store) RemoveReceiver(ctx context.Context, r authority.Rights, id string) error {
	_, err := withRights(ctx, s, r, func(ctx context.Context, tx pgx.Tx) (none, error) {
		return none{}, requireRow(tx.Exec(ctx, "DELETE FROM pawl.receiver WHERE id = $1", id))
	})
	return err
}

// LeaseReceivers gives receivers to a node. If no lease changes, it writes nothing.
func (s *Store) LeaseReceivers(
	ctx context.Context, node string, life time.Duration,
) ([]authority.Receiver, error) {
	receivers, err := s.Receivers(ctx)
	if err != nil || !authority.LeaseDue(receivers, node, life) {
		return receivers, err
	}
	// Another node may hold a row that it just leased. The next call sees the result.
	const sql = `UPDATE pawl.receiver
		SET lease_node = CASE WHEN lease_until <= clock_timestamp() THEN $1 ELSE lease_node END,
			lease_until = clock_timestamp() + $2::bigint * interval '1 ms'
		WHERE lease_until <= clock_timestamp()
			OR lease_node = $1 AND lease_until < clock_timestamp() + $2::bigint * interval '1 ms' * 2 / 3
			OR lease_until > clock_timestamp() + $2::bigint * interval '1 ms' * 2`
	if _, err := s.exec(ctx, sql, node, life.Milliseconds()); err != nil {
		return nil, err
	}
	return s.Receivers(ctx)
}

// SaveDelivery replaces the Delivery of a receiver.
func (s *Store) SaveDelivery(ctx context.Context, node, id string, d authority.Delivery) error {
	const sql = `UPDATE pawl.receiver SET last_event = $3, delivered = $4, delivered_at = $5, rejected = $6,
			failures = $7, pending_at = $8, error = $9, error_at = $10
		WHERE id = $1 AND lease_node = $2 AND lease_until > clock_timestamp()`
	return requireRow(s.exec(ctx, sql, id, node, d.Cursor, d.Delivered, d.DeliveredAt, d.Rejected, d.Failures,
		d.PendingAt, d.Error, d.ErrorAt))
}

// ReleaseReceivers ends all leases of a node.
func (s *Store) ReleaseReceivers(ctx context.Context, node string) error {
	const sql = "UPDATE pawl.receiver SET lease_node = '', lease_until = '-infinity' WHERE lease_node = $1"
	_, err := s.exec(ctx, sql, node)
	return err
}
