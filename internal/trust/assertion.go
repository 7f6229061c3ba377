package trust

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxAssertion  = 16 << 10
	maxExternalID = 128              // characters
	maxLife       = 10 * time.Minute // of an assertion
	leeway        = 30 * time.Second // between the clocks of the issuer and of Pawl
	nodeSkew      = 5 * time.Minute  // between the clocks of two nodes
	minRSABits    = 2048
)

// algorithms are the accepted algorithms: those with public keys. Without HMAC, a public key can never be used as a
// secret (RFC 8725, 3.1).
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// algorithmsOf returns the algorithms of a key: none if the key is too weak or of another kind.
func algorithmsOf(key jose.JSONWebKey) []jose.SignatureAlgorithm {
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		if public.N.BitLen() >= minRSABits {
			return algorithms[:6]
		}
	case *ecdsa.PublicKey:
		switch public.Curve.Params().BitSize {
		case 256:
			return []jose.SignatureAlgorithm{jose.ES256}
		case 384:
			return []jose.SignatureAlgorithm{jose.ES384}
		case 521:
			return []jose.SignatureAlgorithm{jose.ES512}
		}
	case ed25519.PublicKey:
		return []jose.SignatureAlgorithm{jose.EdDSA}
	}
	return nil
}

// ErrUnavailable means that an assertion cannot be checked now, because the issuer's keys cannot be read.
var ErrUnavailable = errors.New("the keys of the issuer cannot be read")

// InvalidError means that an assertion is not acceptable. Its text names the reason for the client.
type InvalidError struct{ Reason string }

// Error returns the reason.
func (e *InvalidError) Error() string { return e.Reason }

func invalid(format string, args ...any) error {
	return &InvalidError{Reason: fmt.Sprintf(format, args...)}
}

// Assertion is the content of a verified assertion.
type Assertion struct {
	Issuer     *Issuer
	ExternalID string   // with the issuer's prefix
	ID         [32]byte // a hash of the issuer and the jti; each may be used once
	Expires    int64    // when the ID may be forgotten, in Unix seconds: when no node accepts the assertion
	Email      string   // the claims of OpenID Connect, for a user that is created; "" if absent
	FirstName  string
	LastName   string
}

// Config configures a Verifier.
type Config struct {
	// Issuers are the trusted issuers, from ParseIssuers. Required.
	Issuers []Issuer
	// Clock returns the time. If nil, it is time.Now.
	Clock func() time.Time
	// Transport fetches JWK sets. If nil, it is http.DefaultTransport.
	Transport http.RoundTripper
}

// Verifier verifies assertions. It is safe for concurrent use.
type Verifier struct {
	clock   func() time.Time
	sources map[string]*keySource // by the name of the issuer
}

// New returns a Verifier. It reads no keys yet.
func New(c Config) *Verifier {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	client := &http.Client{Transport: c.Transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // another address is not the one that the operator trusts
	}}
	v := &Verifier{clock: c.Clock, sources: map[string]*keySource{}}
	for i := range c.Issuers {
		issuer := &c.Issuers[i]
		v.sources[issuer.Name] = &keySource{issuer: issuer, clock: c.Clock, http: client}
	}
	return v
}

// Reserves reports whether a name begins with the externalIdPrefix of an issuer, whatever the case of its letters. Only
// the issuer may name a user so.
func (v *Verifier) Reserves(name string) bool {
	name = strings.ToLower(name)
	for _, source := range v.sources {
		if strings.HasPrefix(name, strings.ToLower(source.issuer.ExternalIDPrefix)) {
			return true
		}
	}
	return false
}

// claims are the claims of an assertion that Pawl reads. A repeated name is an error of the parser.
type claims struct {
	Issuer     string         `json:"iss"`
	Audience   jsontext.Value `json:"aud"`
	Expires    numericDate    `json:"exp"`
	NotBefore  numericDate    `json:"nbf"`
	IssuedAt   numericDate    `json:"iat"`
	ID         string         `json:"jti"`
	Email      string         `json:"email"`
	GivenName  string         `json:"given_name"`
	FamilyName string         `json:"family_name"`
	Verified   bool           `json:"email_verified"`

	all map[string]jsontext.Value
}

// Verify checks an assertion: its signature, issuer, audience and times. It returns an *InvalidError if one of them is
// wrong, and ErrUnavailable if the issuer's keys cannot be read. The caller must still reject a repeated ID.
func (v *Verifier) Verify(ctx context.Context, text string) (Assertion, error) {
	if len(text) > maxAssertion {
		return Assertion{}, invalid("The assertion has more than %d bytes.", maxAssertion)
	}
	signed, err := jose.ParseSignedCompact(text, algorithms)
	if err != nil {
		return Assertion{}, invalid("The assertion is not a JWT with a signature by a public key.")
	}
	var c claims
	payload := signed.UnsafePayloadWithoutVerification()
	if json.Unmarshal(payload, &c) != nil || json.Unmarshal(payload, &c.all) != nil {
		return Assertion{}, invalid("The claims of the assertion are not valid JSON, or one has the wrong type.")
	}
	source := v.sources[c.Issuer]
	if source == nil {
		return Assertion{}, invalid("The issuer of the assertion is not trusted.")
	}
	keys, err := source.find(ctx, signed.Signatures[0].Header)
	if err != nil {
		return Assertion{}, err
	}
	isSigner := func(key jose.JSONWebKey) bool {
		_, err := signed.Verify(key)
		return err == nil
	}
	if !slices.ContainsFunc(keys, isSigner) {
		return Assertion{}, invalid("The signature of the assertion is not one of its issuer.")
	}
	if err := v.checkClaims(&c, source.issuer); err != nil {
		return Assertion{}, err
	}
	externalID, err := c.externalID(source.issuer)
	if err != nil {
		return Assertion{}, err
	}
	return Assertion{
		Issuer: source.issuer, ExternalID: externalID, Expires: int64(c.Expires) + int64((leeway+nodeSkew)/time.Second),
		ID:    sha256.Sum256([]byte(strconv.Quote(c.Issuer) + strconv.Quote(c.ID))),
		Email: c.Email, FirstName: c.GivenName, LastName: c.FamilyName,
	}, nil
}

func (v *Verifier) checkClaims(c *claims, issuer *Issuer) error {
	now, slack := v.clock().Unix(), int64(leeway/time.Second)
	life := int64(maxLife / time.Second)
	expires, issued := int64(c.Expires), int64(c.IssuedAt)
	switch {
	case !c.hasAudience(issuer.Audience):
		return invalid("The assertion is for another audience.")
	case expires == 0 || issued == 0:
		return invalid("The assertion has no exp or no iat.")
	case expires <= now-slack:
		return invalid("The assertion has expired.")
	case issued > now+slack || int64(c.NotBefore) > now+slack:
		return invalid("The assertion is from the future: its iat or nbf is later than now.")
	case expires-issued > life || expires > now+life+slack:
		return invalid("The assertion is valid for more than %d minutes.", maxLife/time.Minute)
	case c.ID == "" || len(c.ID) > 256:
		return invalid("The assertion has no jti, or one of more than 256 bytes.")
	}
	return nil
}

// hasAudience reports whether aud, a string or an array of strings (RFC 7519, 4.1.3), contains an audience.
func (c *claims) hasAudience(audience string) bool {
	var one string
	if json.Unmarshal(c.Audience, &one) == nil {
		return one == audience
	}
	var several []string
	return json.Unmarshal(c.Audience, &several) == nil && slices.Contains(several, audience)
}

// externalID returns the external id of the user.
func (c *claims) externalID(issuer *Issuer) (string, error) {
	var value string
	err := json.Unmarshal(c.all[issuer.ExternalIDClaim], &value)
	if issuer.ExternalIDClaim == "email" && !c.Verified {
		return "", invalid("The issuer has not verified the email of the user.")
	}
	id := issuer.ExternalIDPrefix + value
	if err != nil || value == "" || utf8.RuneCountInString(id) > maxExternalID {
		return "", invalid("The claim %s of the assertion must be a string of 1 to %d characters, with its prefix.",
			issuer.ExternalIDClaim, maxExternalID)
	}
	return id, nil
}

// numericDate is a NumericDate (RFC 7519, 2): a number of seconds, which may have a fraction. 0 is an absent one.
type numericDate int64

// UnmarshalJSON parses a number from 0 to 2^40, and cuts off the fraction.
func (d *numericDate) UnmarshalJSON(text []byte) error {
	seconds, err := strconv.ParseFloat(string(text), 64)
	if err != nil || seconds < 0 || seconds > 1<<40 {
		return errors.New("not a NumericDate")
	}
	*d = numericDate(seconds)
	return nil
}
