package authority

import (
	"context"
	"slices"
	"time"

	"github.com/pawlauth/pawl/internal/authority/fault"
)

// Receiver is a system that gets a security event token (RFC 8417) when a session ends.
type Receiver struct {
	ID       string
	URL      string
	Audience string // aud of the tokens
	// Authorization is the value of the header of that name, sealed with the master key. If empty, there is no header.
	Authorization string
	Created       int64

	Delivery
	Lease
}

// Delivery is how far the delivery to a receiver has come.
type Delivery struct {
	Cursor      int64 // the id of the last audit event that needs no delivery any more
	Delivered   int64 // how many tokens the receiver has accepted
	DeliveredAt int64 // when it accepted the last one; 0 if there was none
	Rejected    int64 // how many tokens it has rejected, and will not get again
	Failures    int64 // failed attempts since the last success
	PendingAt   int64 // the time of the event that is being tried again; 0 if there is none
	Error       string
	ErrorAt     int64 // when the last attempt failed or was rejected; 0 if there was none
}

// Lease gives the delivery to a receiver to one node.
type Lease struct {
	Node string        // the node; empty if there is none
	Left time.Duration // how long the lease lasts, by the clock of the store; at most 0 if it has ended
}

// ReceiverStore keeps the receivers.
type ReceiverStore interface {
	// AddReceiver adds a receiver, whose first event is the next one of the audit. It ignores Delivery and Lease. It
	// returns ErrDuplicate if the id or the URL is taken, and ErrReceiversFull if there are as many as most already; 0
	// sets no limit.
	AddReceiver(ctx context.Context, r Rights, receiver Receiver, most int) error
	// RemoveReceiver removes a receiver, or returns ErrNotFound.
	RemoveReceiver(ctx context.Context, r Rights, id string) error
	// Receivers returns all receivers, the oldest first.
	Receivers(ctx context.Context) ([]Receiver, error)
	// LeaseReceivers gives each receiver without a lease to a node, and renews the node's leases that have less than
	// two thirds of life left. It shortens any lease with more than twice life left to life, because the clock of the
	// store was set back. It returns all receivers, the oldest first.
	LeaseReceivers(ctx context.Context, node string, life time.Duration) ([]Receiver, error)
	// SaveDelivery replaces the Delivery of a receiver. It returns ErrNotFound if the node does not have the lease, or
	// the receiver was removed.
	SaveDelivery(ctx context.Context, node, id string, d Delivery) error
	// ReleaseReceivers ends all leases of a node.
	ReleaseReceivers(ctx context.Context, node string) error
}

// CheckNew returns the error of AddReceiver for a receiver beside those that there are.
func (r *Receiver) CheckNew(present []Receiver, most int) error {
	for _, other := range present {
		if other.ID == r.ID || other.URL == r.URL {
			return fault.ErrDuplicate
		}
	}
	if most > 0 && len(present) >= most {
		return fault.ErrReceiversFull
	}
	return nil
}

// LeaseDue reports whether LeaseReceivers has to change a lease.
func LeaseDue(receivers []Receiver, node string, life time.Duration) bool {
	return slices.ContainsFunc(receivers, func(r Receiver) bool {
		return r.Left <= 0 || r.Node == node && r.Left < life*2/3 || r.Left > 2*life
	})
}
