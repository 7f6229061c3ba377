package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/pawlauth/pawl/api"
)

// Introspect returns the claims of a token and the present rights of its user (RFC 7662). The token is reported as
// inactive if it is not valid, or if the owner of the client's API key is neither the token's user nor an admin of that
// user's tenant. The other fields are then zero. The client's bearer is not sent, because the call accepts only an API
// key.
func (c *Client) Introspect(ctx context.Context, token string) (api.Introspection, error) {
	return do[api.Introspection](ctx, c, form("/oauth2/introspect", token))
}

// Revoke ends a session, given its current token (RFC 7009). An invalid token is a no-op. It returns ErrAccessDenied if
// the owner of the client's API key may not change the token's user. The client's bearer is not sent, because the call
// accepts only an API key.
func (c *Client) Revoke(ctx context.Context, token string) error {
	return doNoData(ctx, c, form("/oauth2/revoke", token))
}

func form(path, token string) call {
	x := post(path, url.Values{"token": {token}}).idempotent()
	x.noEnvelope = true
	return x
}

// parsePlain returns the body of a response outside /v2, or its error (RFC 6749, 5.2).
func parsePlain(resp *http.Response, text []byte) (json.RawMessage, error) {
	if resp.StatusCode == http.StatusOK {
		if len(text) == 0 {
			return json.RawMessage("null"), nil
		}
		if !json.Valid(text) {
			return nil, errorOf(resp, "", notPawl)
		}
		return text, nil
	}
	var oauth api.OAuthError
	if err := json.Unmarshal(text, &oauth); err != nil || oauth.Code == "" {
		return nil, errorOf(resp, "", notPawl)
	}
	return nil, errorOf(resp, codeOf(resp.StatusCode, oauth.Code), oauth.Description)
}

// codeOf returns the contract's code for an error code of OAuth.
func codeOf(status int, oauth string) api.ErrorCode {
	switch {
	case oauth == "invalid_client":
		return api.CodeInvalidAPIKey
	case oauth == "unauthorized_client":
		return api.CodeAccessDenied
	case status == http.StatusTooManyRequests:
		return api.CodeRateLimitExceeded
	case oauth == "temporarily_unavailable":
		return api.CodeUnavailable
	case oauth == "server_error":
		return api.CodeInternalError
	}
	return api.CodeInvalidParameter
}
