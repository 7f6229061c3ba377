package authority

import (
	"context"
	"errors"
	"fmt"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/trust"
)

// Assertions verifies the assertions of trusted issuers. *trust.Verifier is one.
type Assertions interface {
	Verify(ctx context.Context, text string) (trust.Assertion, error)
	// Reserves reports whether only an issuer may give a user this external id.
	Reserves(externalID string) bool
}

// CheckIssuers returns an error if the users of a trusted issuer could not be created. The error names the issuer.
func CheckIssuers(issuers []trust.Issuer) error {
	for i := range issuers {
		if _, err := newUserOf(&trust.Assertion{Issuer: &issuers[i]}); err != nil {
			return fmt.Errorf("trusted issuer %d: create.%w", i+1, err)
		}
	}
	return nil
}

// OpenByAssertion opens a session for the user named by an assertion of a trusted issuer (RFC 7523, 2.1). The caller
// needs the rights of OpenSession. Each assertion opens one session: the store marks it as used in the same step.
func (a *Authority) OpenByAssertion(ctx context.Context, c Caller, text string, from Origin) (IssuedToken, error) {
	if a.assertions == nil {
		return IssuedToken{}, fault.Invalid("assertion: this server trusts no issuers; configure trusted-issuers.")
	}
	assertion, err := a.assertions.Verify(ctx, text)
	if invalid, ok := errors.AsType[*trust.InvalidError](err); ok {
		return IssuedToken{}, fault.Invalid(invalid.Reason)
	}
	if err != nil {
		return IssuedToken{}, fault.FromStore(fmt.Errorf("%w: %w", fault.ErrUnavailable, err), nil)
	}
	user, err := newUserOf(&assertion)
	if err != nil {
		return IssuedToken{}, err
	}
	r := OpenRequest{
		ExternalID: assertion.ExternalID, NewUser: user, From: from,
		Assertion: &UsedAssertion{ID: assertion.ID, Expires: assertion.Expires},
	}
	if user != nil {
		r.NetworkID, r.MailboxID = user.NetworkID, user.MailboxID
	}
	return a.OpenSession(ctx, c, r)
}

// mayRename returns nil if the caller may change the external id of a user from one to another; "" is none. Without
// this rule, any administrator could create the user of an issuer before the issuer does, and share the sessions that
// its assertions open. Callers who administer every tenant may, because they set up the issuers' users.
func (a *Authority) mayRename(c Caller, from, to string) error {
	if a.assertions == nil || from == to || c.User.Level <= NetOps {
		return nil
	}
	for _, id := range []string{from, to} {
		if id != "" && a.assertions.Reserves(id) {
			return errExternalIDReserved
		}
	}
	return nil
}

// newUserOf returns the user to create for an assertion, or nil if its issuer creates none. The login is the external
// id, because the issuer's own user names may be taken here by other users.
func newUserOf(assertion *trust.Assertion) (*NewUser, error) {
	create := assertion.Issuer.Create
	if create == nil {
		return nil, nil
	}
	n := NewUser{Login: assertion.ExternalID, ExternalID: assertion.ExternalID}
	if create.AuthLevel != "" {
		level, err := ParseLevel("authLevel", create.AuthLevel)
		if err != nil {
			return nil, err
		}
		n.Level = level
	}
	if create.NetworkID != 0 {
		n.NetworkID = &create.NetworkID
	}
	if create.MailboxID != 0 {
		n.MailboxID = &create.MailboxID
	}
	named := n
	named.Email = assertion.Email
	named.FirstName = assertion.FirstName
	named.LastName = assertion.LastName
	if _, err := named.user(Tenant{}, 0); err == nil {
		return &named, nil
	}
	return &n, nil // the claims of the profile are not valid here, which is no reason to reject the user
}
