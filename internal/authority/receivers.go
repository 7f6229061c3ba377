package authority

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"unicode"

	"golang.org/x/net/http/httpguts"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// Pusher delivers security event tokens to receivers. A *push.Pusher is one. The error of CheckURL and of Seal
// continues a sentence that begins with the name of the field.
type Pusher interface {
	// CheckURL returns an error for a URL that no receiver may have.
	CheckURL(url string) error
	// CheckKey returns an error if no signing key can sign for receivers.
	CheckKey() error
	// Seal seals the value of the Authorization header for the receiver with an id and a URL.
	Seal(id, url, value string) (string, error)
	// Test delivers a test token, once. The problem is empty if the receiver has accepted the token. The status is
	// 0 without a response.
	Test(ctx context.Context, r Receiver) (status int, problem string)
	// Wake looks for new and removed receivers.
	Wake()
}

const (
	// maxReceivers bounds the connections and the reads of the audit.
	maxReceivers          = 32
	maxAudienceBytes      = 256
	maxAuthorizationBytes = 4096
)

// NewReceiver describes a receiver to add. Only the URL is required. If Audience is empty, it is the URL.
type NewReceiver struct{ URL, Audience, Authorization string }

func (n *NewReceiver) check(p Pusher) error {
	if err := p.CheckURL(n.URL); err != nil {
		return fault.Invalid("url " + err.Error() + ".")
	}
	n.Audience = cmp.Or(n.Audience, n.URL)
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	if strings.ContainsFunc(n.Audience, unprintable) || len(n.Audience) > max(maxAudienceBytes, len(n.URL)) {
		return fault.Invalid("audience must have at most 256 printable bytes.")
	}
	a := n.Authorization
	if len(a) > maxAuthorizationBytes || !httpguts.ValidHeaderFieldValue(a) || strings.TrimSpace(a) != a {
		return fault.Invalid("authorization must be the value of a header, with at most 4096 bytes.")
	}
	if err := p.CheckKey(); err != nil {
		return fault.Invalid("No receiver can be added yet: " + err.Error() + ".")
	}
	return nil
}

var errNoPusher = errors.New("authority: no Pusher")

// mayPush returns nil if the caller may see and change receivers, which requires Root.
func (a *Authority) mayPush(c Caller) error {
	switch {
	case c.User.Level != Root:
		return errLevel
	case a.pusher == nil:
		return errNoPusher
	}
	return nil
}

// AddReceiver adds a receiver. It gets the events from now on. AddReceiver requires Root.
func (a *Authority) AddReceiver(ctx context.Context, c Caller, n NewReceiver) (Receiver, error) {
	if err := a.mayPush(c); err != nil {
		return Receiver{}, err
	}
	if err := n.check(a.pusher); err != nil {
		return Receiver{}, err
	}
	r := Receiver{ID: strings.ToLower(rand.Text()[:12]), URL: n.URL, Audience: n.Audience, Created: a.now()}
	if n.Authorization != "" {
		var err error
		if r.Authorization, err = a.pusher.Seal(r.ID, r.URL, n.Authorization); err != nil {
			return Receiver{}, fault.Invalid("authorization " + err.Error() + ".")
		}
	}
	a.audit.Flush(ctx) // so that the receiver does not get earlier events
	_, err := asCaller(ctx, a, c, func(c Caller) (struct{}, error) {
		if c.User.Level != Root {
			return struct{}{}, errLevel
		}
		err := a.store.AddReceiver(ctx, c.rightsOn(nil), r, maxReceivers)
		switch {
		case errors.Is(err, fault.ErrDuplicate):
			return struct{}{}, errReceiverTaken
		case errors.Is(err, fault.ErrReceiversFull):
			return struct{}{}, errReceiversMax
		}
		return struct{}{}, fault.FromStore(err, nil)
	})
	if err == nil {
		a.pusher.Wake()
	}
	return r, a.recordIfDone(ctx, err, c.event(audit.Event{Kind: audit.ReceiverAdded, Detail: "receiver " + r.ID}))
}

// Receivers returns the receivers, the oldest first, without their authorization. It requires Root.
func (a *Authority) Receivers(ctx context.Context, c Caller) ([]Receiver, error) {
	if err := a.mayPush(c); err != nil {
		return nil, err
	}
	receivers, err := a.store.Receivers(ctx)
	return receivers, fault.FromStore(err, nil)
}

// RemoveReceiver removes a receiver. No further delivery to it begins on this node, nor after some seconds on others.
// RemoveReceiver requires Root.
func (a *Authority) RemoveReceiver(ctx context.Context, c Caller, id string) error {
	if err := a.mayPush(c); err != nil {
		return err
	}
	_, err := asCaller(ctx, a, c, func(c Caller) (struct{}, error) {
		if c.User.Level != Root {
			return struct{}{}, errLevel
		}
		return struct{}{}, fault.FromStore(a.store.RemoveReceiver(ctx, c.rightsOn(nil), id), errReceiverNotFound)
	})
	if err == nil {
		a.pusher.Wake()
	}
	return a.recordIfDone(ctx, err, c.event(audit.Event{Kind: audit.ReceiverRemoved, Detail: "receiver " + id}))
}

// TestReceiver delivers a test token to a receiver, once. The results are those of Pusher.Test. TestReceiver
// requires Root.
func (a *Authority) TestReceiver(ctx context.Context, c Caller, id string) (status int, problem string, err error) {
	receivers, err := a.Receivers(ctx, c)
	if err != nil {
		return 0, "", err
	}
	for _, r := range receivers {
		if r.ID == id {
			status, problem = a.pusher.Test(ctx, r)
			return status, problem, nil
		}
	}
	return 0, "", errReceiverNotFound
}
