// Package client calls a Pawl server.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/pawlauth/pawl/api"
)

// Client calls one Pawl server. It is safe for concurrent use.
type Client struct {
	url    string
	apiKey string
	bearer string
	http   *http.Client
}

// New returns a client of the server at that address, such as
// http://127.0.0.1:8080. The key and the bearer token may be empty.
func New(url, apiKey, bearer string) *Client {
	return &Client{strings.TrimRight(url, "/"), apiKey, bearer, &http.Client{Timeout: 30 * time.Second, CheckRedirect: stay}}
}

// Error is an answer of the server that is not a success.
type Error struct {
	Status  int
	Code    api.ErrorCode
	Message string
}

// stay follows no redirect: it would carry the key or a body to another host.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Error gives the server's message, code and status.
func (e *Error) Error() string { return fmt.Sprintf("%s (%s, %d)", e.Message, e.Code, e.Status) }

const maxAnswer = 16 << 20 // bytes

// Do sends body, which may be nil, and reads the answer's data into result,
// which may be nil. An answer that is not a success is an *Error.
func (c *Client) Do(ctx context.Context, method, path string, body, result any) error {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("client: %w", err)
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, reader)
	if err != nil {
		return errors.New("client: the server's address is not a URL; it looks like http://127.0.0.1:8080")
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.apiKey != "" {
		req.Header.Set("X-API-Key", c.apiKey)
	}
	if c.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("the server cannot be reached: %w; is it running?", err)
	}
	defer resp.Body.Close()
	return read(resp, result)
}

func read(resp *http.Response, result any) error {
	var envelope api.Envelope[json.RawMessage]
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("the answer was cut off: %w", err)
	}
	if err := json.Unmarshal(text, &envelope); err != nil {
		return fmt.Errorf("the answer (status %d) is not Pawl's; is the address right?", resp.StatusCode)
	}
	if !envelope.Success {
		return &Error{resp.StatusCode, envelope.ErrorCode, envelope.Message}
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(envelope.Data, result); err != nil {
		return fmt.Errorf("the answer has another form than expected: %w", err)
	}
	return nil
}
