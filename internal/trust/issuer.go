// Package trust verifies assertions (RFC 7523, 3): JWTs in which another system, such as an OpenID Connect provider,
// names the user that it has authenticated.
package trust

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Issuer is a trusted issuer of assertions, as an element of the file of trusted issuers has it.
type Issuer struct {
	// Name is the claim iss of the issuer's assertions, compared as text. Required.
	Name string `json:"issuer"`
	// JWKSet is where the issuer's public keys are (RFC 7517, 5): an https URL, an http URL on loopback, or the path of
	// a file. Required.
	JWKSet string `json:"jwkSet"`
	// Audience must be among the aud of each assertion (RFC 7523, 3). Required.
	Audience string `json:"audience"`
	// ExternalIDClaim is the claim that becomes the external id of the user. If empty, it is "sub".
	ExternalIDClaim string `json:"externalIdClaim"`
	// ExternalIDPrefix is put before the claim. Two issuers must have different prefixes, so that neither can name the
	// users of the other.
	ExternalIDPrefix string `json:"externalIdPrefix"`
	// Create describes users that are created at their first assertion. If nil, an unknown user is rejected.
	Create *NewUser `json:"create"`
}

// NewUser describes the users that an issuer may create.
type NewUser struct {
	// AuthLevel is the name of their level. If empty, it is MailboxUser.
	AuthLevel string `json:"authLevel"`
	// NetworkID and MailboxID are their tenant. 0 is that of the API key that brings the assertion.
	NetworkID int64 `json:"networkId"`
	MailboxID int64 `json:"mailboxId"`
}

// ParseIssuers parses the file of trusted issuers: a JSON array of Issuer. An unknown or repeated name is an error, so
// that a misspelled setting is found. The errors name the issuer and the field.
func ParseIssuers(text []byte) ([]Issuer, error) {
	var issuers []Issuer
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	if err := json.Unmarshal(text, &issuers, json.RejectUnknownMembers(true)); err != nil {
		return nil, explain(err)
	}
	if len(issuers) == 0 {
		return nil, errors.New("the list of trusted issuers is empty; add one, or leave the setting out")
	}
	names, prefixes := map[string]bool{}, map[string]string{}
	for i := range issuers {
		issuer := &issuers[i]
		issuer.ExternalIDClaim = cmp.Or(issuer.ExternalIDClaim, "sub")
		if err := issuer.check(); err != nil {
			return nil, fmt.Errorf("trusted issuer %d: %w", i+1, err)
		}
		if names[issuer.Name] {
			return nil, fmt.Errorf("trusted issuer %d: issuer %q occurs twice; keep one", i+1, issuer.Name)
		}
		names[issuer.Name] = true
		own := issuer.ExternalIDPrefix
		for prefix, other := range prefixes {
			if strings.HasPrefix(prefix, own) || strings.HasPrefix(own, prefix) {
				return nil, fmt.Errorf("trusted issuer %d: with externalIdPrefix %q it could name users of %s; "+
					"give each issuer a prefix that does not begin with another's", i+1, own, other)
			}
		}
		prefixes[issuer.ExternalIDPrefix] = issuer.Name
	}
	return issuers, nil
}

// explain turns an error of the JSON parser into one that names the place in the file.
func explain(err error) error {
	if wrong, ok := errors.AsType[*json.SemanticError](err); ok {
		if errors.Is(err, json.ErrUnknownName) {
			return fmt.Errorf("the list of trusted issuers: %s is unknown", wrong.JSONPointer)
		}
		place := cmp.Or(string(wrong.JSONPointer), "the file")
		return fmt.Errorf("the list of trusted issuers: %s has the wrong type", place)
	}
	if wrong, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Errorf("the list of trusted issuers is not JSON at byte %d: %w", wrong.ByteOffset, wrong.Err)
	}
	return fmt.Errorf("the list of trusted issuers: %w", err)
}

func (i *Issuer) check() error {
	for _, field := range []struct{ name, value string }{
		{"issuer", i.Name}, {"jwkSet", i.JWKSet}, {"audience", i.Audience},
	} {
		if field.value == "" {
			return fmt.Errorf("%s is missing", field.name)
		}
	}
	if len(i.ExternalIDPrefix) > maxExternalID/2 {
		return fmt.Errorf("externalIdPrefix has more than %d bytes", maxExternalID/2)
	}
	if i.Create != nil && (i.Create.NetworkID < 0 || i.Create.MailboxID < 0) {
		return errors.New("create.networkId and create.mailboxId must be 0 or greater")
	}
	return i.checkJWKSet()
}

// checkJWKSet rejects an address where others on the network could replace the keys.
func (i *Issuer) checkJWKSet() error {
	if !i.isURL() {
		return nil
	}
	address, err := url.Parse(i.JWKSet)
	switch {
	case err != nil || address.Host == "" || address.User != nil:
		return fmt.Errorf("jwkSet %q is not a URL of a JWK set", i.JWKSet)
	case address.Scheme == "http" && !isLoopback(address.Hostname()):
		return fmt.Errorf("jwkSet %q must be https, because http lets others on the network replace the keys", i.JWKSet)
	}
	return nil
}

func (i *Issuer) isURL() bool {
	return strings.HasPrefix(i.JWKSet, "https://") || strings.HasPrefix(i.JWKSet, "http://")
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}
