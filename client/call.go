package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/pawlauth/pawl/api"
)

const maxAnswer = 16 << 20 // bytes

// call is one call of the contract.
type call struct {
	method, path string
	body         any    // nil sends none
	retryKey     string // Idempotency-Key; empty sends none
	// repeatable says that the call may be sent again after a lost answer: it
	// then does the same and answers the same.
	repeatable bool
	plain      bool // what comes back has no envelope
}

func post(path string, body any) call { return call{method: http.MethodPost, path: path, body: body} }
func put(path string, body any) call  { return call{method: http.MethodPut, path: path, body: body} }
func get(path string) call {
	return call{method: http.MethodGet, path: path, repeatable: true}
}

// remove is not repeatable: after a lost answer, the second one is a 404.
func remove(path string, body any) call {
	return call{method: http.MethodDelete, path: path, body: body}
}

// twice marks the call as repeatable.
func (x call) twice() call { x.repeatable = true; return x }

// do makes a call and returns the answer's data.
func do[T any](ctx context.Context, c *Client, x call) (T, error) {
	var data T
	body, err := marshal(x.body)
	if err != nil {
		return data, err
	}
	for try := 0; ; try++ {
		raw, err := c.once(ctx, x, body)
		if err == nil {
			return data, unmarshal(raw, &data)
		}
		if try >= c.retries || ctx.Err() != nil || !mayRepeat(x, err) {
			return data, err
		}
		if err := pause(ctx, try, err); err != nil {
			return data, err
		}
	}
}

// none is do for a call whose data says nothing.
func none(ctx context.Context, c *Client, x call) error {
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

func unmarshal(raw json.RawMessage, data any) error {
	if err := json.Unmarshal(raw, data); err != nil {
		return fmt.Errorf("the answer has another form than expected: %w", err)
	}
	return nil
}

func (c *Client) request(ctx context.Context, x call, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, x.method, c.url+x.path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	for name, value := range map[string]string{"X-API-Key": c.apiKey, "Idempotency-Key": x.retryKey} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	switch {
	case x.isForm():
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	case body != nil:
		req.Header.Set("Content-Type", "application/json")
	}
	if c.bearer != "" && !x.isForm() {
		req.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	return req, nil
}

// once makes one try.
func (c *Client) once(ctx context.Context, x call, body []byte) (json.RawMessage, error) {
	req, err := c.request(ctx, x, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, &lostError{fmt.Errorf("the server cannot be reached: %w; is it running?", err)}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, &lostError{fmt.Errorf("the answer was cut off: %w", err)}
	}
	if x.plain {
		return openPlain(resp, text)
	}
	return open(resp, text)
}

// open takes the data out of an answer's envelope.
func open(resp *http.Response, text []byte) (json.RawMessage, error) {
	var envelope api.Envelope[json.RawMessage]
	if err := json.Unmarshal(text, &envelope); err != nil || envelope.Success == (envelope.ErrorCode != "") {
		return nil, notOurs(resp)
	}
	if !envelope.Success {
		return nil, &Error{Status: resp.StatusCode, Code: envelope.ErrorCode, Message: envelope.Message,
			RequestID: resp.Header.Get("X-Request-Id"), RetryAfter: retryAfter(resp.Header)}
	}
	return envelope.Data, nil
}
