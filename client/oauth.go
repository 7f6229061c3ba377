package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/pawlauth/pawl/api"
)

// Introspect asks what a token says (RFC 7662), as the owner of the client's API
// key; a bearer is not sent. Only Active is set, to false, for a token that is
// not good, or whose user the owner may not see.
func (c *Client) Introspect(ctx context.Context, token string) (api.Introspection, error) {
	return do[api.Introspection](ctx, c, form("/oauth2/introspect", token))
}

// Revoke ends the session of its current token (RFC 7009), as the owner of the
// client's API key; a bearer is not sent. A token that is not good is no error.
// ErrAccessDenied says that it is of a user whom the owner may not change.
func (c *Client) Revoke(ctx context.Context, token string) error {
	return none(ctx, c, form("/oauth2/revoke", token))
}

func form(path, token string) call {
	return call{method: http.MethodPost, path: path, body: url.Values{"token": {token}}, repeatable: true, plain: true}
}

func (x call) isForm() bool { _, ok := x.body.(url.Values); return ok }

// openPlain takes the data out of an answer that has no envelope.
func openPlain(resp *http.Response, text []byte) (json.RawMessage, error) {
	if resp.StatusCode == http.StatusOK {
		if len(text) == 0 {
			return json.RawMessage("null"), nil
		}
		if !json.Valid(text) {
			return nil, notOurs(resp)
		}
		return text, nil
	}
	var refused api.OAuthError
	if err := json.Unmarshal(text, &refused); err != nil || refused.Code == "" {
		return nil, notOurs(resp)
	}
	return nil, &Error{Status: resp.StatusCode, Code: oauthCode(resp.StatusCode, refused.Code), Message: refused.Description,
		RequestID: resp.Header.Get("X-Request-Id"), RetryAfter: retryAfter(resp.Header)}
}

// oauthCode is the contract's code for one of OAuth's.
func oauthCode(status int, code string) api.ErrorCode {
	switch {
	case code == "invalid_client":
		return api.CodeInvalidAPIKey
	case code == "unauthorized_client":
		return api.CodeAccessDenied
	case status == http.StatusTooManyRequests:
		return api.CodeRateLimitExceeded
	case code == "temporarily_unavailable":
		return api.CodeUnavailable
	case code == "server_error":
		return api.CodeInternalError
	}
	return api.CodeInvalidParameter
}
