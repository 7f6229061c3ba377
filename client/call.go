package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/pawlauth/pawl/api"
)

const maxResponseBytes = 16 << 20

// call is one call of the contract.
type call struct {
	method         string
	path           string
	body           any    // nil sends no body; url.Values are sent as a form, everything else as JSON
	idempotencyKey string // the Idempotency-Key header; empty sends none
	isIdempotent   bool   // a second call has the same effect and the same response, so a lost response is retried
	noCache        bool   // the server must not answer from a stale cache (RFC 9111, 5.2.1.4)
	noEnvelope     bool   // the response is JSON without the envelope of /v2
}

func post(path string, body any) call { return call{method: http.MethodPost, path: path, body: body} }
func put(path string, body any) call  { return call{method: http.MethodPut, path: path, body: body} }
func get(path string) call            { return call{method: http.MethodGet, path: path, isIdempotent: true} }

// remove returns a DELETE. It is not idempotent, because the response to a second one is a 404.
func remove(path string, body any) call {
	return call{method: http.MethodDelete, path: path, body: body}
}

// idempotent marks a call to be retried after a lost response.
func (x call) idempotent() call {
	x.isIdempotent = true
	return x
}

// do makes a call with its retries, and returns the data of the response.
func do[T any](ctx context.Context, c *Client, x call) (T, error) {
	data, _, err := doDated[T](ctx, c, x)
	return data, err
}

// doDated is do, and also returns the server's time from the headers of the response (see dateOf).
func doDated[T any](ctx context.Context, c *Client, x call) (data T, date time.Time, err error) {
	body, err := marshal(x.body)
	if err != nil {
		return data, date, err
	}
	for retry := 0; ; retry++ {
		raw, date, err := c.attempt(ctx, x, body)
		if err == nil {
			if err := json.Unmarshal(raw, &data); err != nil {
				return data, date, fmt.Errorf("the response has an unexpected form: %w", err)
			}
			return data, date, nil
		}
		if retry >= c.retries || ctx.Err() != nil || !mayRetry(x, err) {
			return data, date, err
		}
		if err := pause(ctx, retry, err); err != nil {
			return data, date, err
		}
	}
}

// doNoData makes a call with no data of interest in the response.
func doNoData(ctx context.Context, c *Client, x call) error {
	_, err := do[json.RawMessage](ctx, c, x)
	return err
}

func marshal(body any) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	if form, ok := body.(url.Values); ok {
		return []byte(form.Encode()), nil
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return text, nil
}

// attempt sends a call once. It returns the raw data of the response, and the server's time from its headers.
func (c *Client) attempt(ctx context.Context, x call, body []byte) (json.RawMessage, time.Time, error) {
	req, err := http.NewRequestWithContext(ctx, x.method, c.url+x.path, bytes.NewReader(body))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("client: %w", err)
	}
	c.setHeaders(req.Header, x)
	resp, err := c.http.Do(req)
	if err != nil {
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok { // another attempt would fail, too
			return nil, time.Time{}, fmt.Errorf("the certificate of the server is not trusted: %w; "+
				"check the address, or trust the authority of the certificate", err)
		}
		return nil, time.Time{}, &lostError{fmt.Errorf("the server is unreachable: %w; is it running?", err)}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxResponseBytes))
	if err != nil {
		return nil, time.Time{}, &lostError{fmt.Errorf("the response was cut off: %w", err)}
	}
	parse := parseEnvelope
	if x.noEnvelope {
		parse = parsePlain
	}
	data, err := parse(resp, text)
	return data, dateOf(resp.Header), err
}

// setHeaders sets the user agent, the credentials and the content type. A form never has the bearer, because the calls
// below /oauth2 accept only an API key.
func (c *Client) setHeaders(h http.Header, x call) {
	h.Set("User-Agent", userAgent())
	if c.apiKey != "" {
		h.Set("X-API-Key", c.apiKey)
	}
	if x.idempotencyKey != "" {
		h.Set("Idempotency-Key", x.idempotencyKey)
	}
	if x.noCache {
		h.Set("Cache-Control", "no-cache")
	}
	_, form := x.body.(url.Values)
	switch {
	case form:
		h.Set("Content-Type", "application/x-www-form-urlencoded")
	case x.body != nil:
		h.Set("Content-Type", "application/json")
	}
	if c.bearer != "" && !form {
		h.Set("Authorization", "Bearer "+c.bearer)
	}
}

// parseEnvelope returns the data of a response below /v2, or its error.
func parseEnvelope(resp *http.Response, text []byte) (json.RawMessage, error) {
	var envelope api.Envelope[json.RawMessage]
	if err := json.Unmarshal(text, &envelope); err != nil || envelope.Success == (envelope.ErrorCode != "") {
		return nil, errorOf(resp, "", notPawl)
	}
	if !envelope.Success {
		return nil, errorOf(resp, envelope.ErrorCode, envelope.Message)
	}
	return envelope.Data, nil
}
