package push

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/token"
)

const (
	contentType     = "application/secevent+jwt"
	maxErrorBody    = 8 << 10  // bytes of a rejection that are read
	maxHeaderBytes  = 32 << 10 // of a response
	maxErrorText    = 300      // bytes of Delivery.Error
	maxIdle         = 64       // connections
	idleConnTimeout = 90 * time.Second
)

// newHTTPClient returns a client that follows no redirects and uses no proxy, because neither would be checked.
func (p *Pusher) newHTTPClient() *http.Client {
	dialer := &net.Dialer{Timeout: p.config.PostTimeout, Control: p.control}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, DisableCompression: true,
			TLSHandshakeTimeout: p.config.PostTimeout, MaxResponseHeaderBytes: maxHeaderBytes,
			MaxIdleConns: maxIdle, IdleConnTimeout: idleConnTimeout,
		},
	}
}

// answer is how a receiver answered.
type answer struct {
	status     int           // 0 without a response
	problem    string        // empty if the receiver has accepted the token
	final      bool          // the receiver will not accept the token later either
	retryAfter time.Duration // 0 if the receiver asked for none
}

// retriable are the codes of a rejection that is not about the token but about the configuration, so that a repetition
// succeeds once that is corrected (RFC 8935, 2.4 and 4.1). Any other code rejects the token permanently.
var retriable = []string{"invalid_key", "invalid_issuer", "invalid_audience", "authentication_failed", "access_denied"}

// post delivers a token once. It returns within the time-out of the configuration.
func (p *Pusher) post(ctx context.Context, r *authority.Receiver, text string) answer {
	ctx, cancel := context.WithTimeout(ctx, p.config.PostTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, strings.NewReader(text))
	if err != nil {
		return answer{problem: "the URL is not valid; add the receiver again"}
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "pawl/"+p.config.Build)
	secret, err := p.authorization(r)
	if err != nil {
		return answer{problem: err.Error()}
	}
	if secret != "" {
		request.Header.Set("Authorization", secret)
	}
	response, err := p.http.Do(request)
	if err != nil {
		return answer{problem: printable(explain(ctx, err), secret)}
	}
	defer response.Body.Close()
	a := answer{status: response.StatusCode, retryAfter: retryAfter(response.Header.Get("Retry-After"))}
	switch {
	case a.status == http.StatusAccepted:
		return a
	case a.status == http.StatusBadRequest:
		a.problem, a.final = readRejection(response.Body)
	case a.status >= 300 && a.status < 400:
		a.problem = fmt.Sprintf("the receiver answered %d, and redirects are not followed; add it with its new address",
			a.status)
	default:
		a.problem = fmt.Sprintf("the receiver answered %d instead of 202", a.status)
	}
	a.problem = printable(a.problem, secret)
	return a
}

// explain returns the cause of a request without a response.
func explain(ctx context.Context, err error) string {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return "the receiver did not answer in time"
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	return err.Error()
}

// readRejection reads the body of a 400 (RFC 8935, 2.3). A body of another form is no final rejection, because it may
// come from a gateway before the receiver.
func readRejection(body io.Reader) (problem string, final bool) {
	text, err := io.ReadAll(io.LimitReader(body, maxErrorBody))
	var rejection struct {
		Code        string `json:"err"`
		Description string `json:"description"`
	}
	if err != nil || json.NewDecoder(bytes.NewReader(text)).Decode(&rejection) != nil || rejection.Code == "" {
		return "the receiver answered 400 without an error code", false
	}
	problem = "the receiver answered 400 " + rejection.Code
	if rejection.Description != "" {
		problem += ": " + rejection.Description
	}
	return problem, !slices.Contains(retriable, rejection.Code)
}

// printable shortens a text of a receiver, and removes what a terminal or a log must not get, and the secret.
func printable(text, secret string) string {
	if secret != "" {
		text = strings.ReplaceAll(text, secret, "[authorization]")
		if _, credentials, ok := strings.Cut(secret, " "); ok && credentials != "" {
			text = strings.ReplaceAll(text, credentials, "[authorization]")
		}
	}
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "")
	}
	return text
}

// maxRetryAfter is the longest pause that a receiver can ask for.
const maxRetryAfter = time.Hour

// retryAfter parses a Retry-After: seconds, or a date.
func retryAfter(text string) time.Duration {
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		return min(max(0, time.Duration(seconds)*time.Second), maxRetryAfter)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(0, time.Until(at)), maxRetryAfter)
	}
	return 0
}

// sign returns a token with these claims.
func (p *Pusher) sign(ctx context.Context, c claims) (string, error) {
	if err := p.config.Keys.EnsureCurrent(ctx); err != nil {
		return "", fmt.Errorf("the signing keys cannot be read: %w", err)
	}
	key := p.key()
	if key == nil {
		return "", errNoPublicKey
	}
	text, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	return key.SignJWT("secevent+jwt", text)
}

var errNoPublicKey = errors.New("every signing key is of HS256, which no receiver can verify; start every node with " +
	"--algorithm ES256, which takes effect for receivers at once")

// key returns the key that signs for receivers: the one that signs tokens, or the newest published one if that is of
// HS256. It returns nil if every key is of HS256.
func (p *Pusher) key() *token.Key {
	for _, key := range p.config.Keys.Set().Keys() {
		if key.Algorithm() != token.HS256 && key.CanSign() {
			return key
		}
	}
	return nil
}

// sealName returns the name under which the authorization of a receiver is sealed, so that the sealed text of one
// receiver is of no use in the row of another.
func sealName(id, url string) string { return "receiver " + id + " " + url }

// Seal seals the value of the Authorization header for a receiver. The error continues a sentence that begins with the
// name of the field.
func (p *Pusher) Seal(id, url, value string) (string, error) {
	if p.config.Box == nil {
		return "", errors.New("needs a master key, which encrypts it in the store; " +
			"start the server with master-key-file")
	}
	return p.config.Box.Seal(sealName(id, url), value), nil
}

var errSealed = errors.New("the authorization cannot be opened with the master key; " +
	"remove the receiver and add it again")

// authorization returns the value of the Authorization header, or "".
func (p *Pusher) authorization(r *authority.Receiver) (string, error) {
	if r.Authorization == "" {
		return "", nil
	}
	if p.config.Box == nil {
		return "", errSealed
	}
	value, err := p.config.Box.Open(sealName(r.ID, r.URL), r.Authorization)
	if err != nil {
		err = errSealed
	}
	return value, err
}
