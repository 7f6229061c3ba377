package console

import (
	"context"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/keyring"
)

// signingKeys lists the signing keys. It is for Root.
func (c *Console) signingKeys(ctx context.Context, r *request) (response, error) {
	keys, err := c.authority.SigningKeys(ctx, r.caller)
	if err != nil {
		return response{}, err
	}
	rows := make([]signingKeyRow, len(keys))
	for i, key := range keys {
		rows[i] = signingKeyRow{Info: key}
	}
	return response{page: "signingkeys", title: t("signing.title"), data: rows}, nil
}

// signingKeyRow is a signing key in a table.
type signingKeyRow struct{ keyring.Info }

// Words returns the state of the key in words.
func (k signingKeyRow) Words() string { return t("signing.state-" + string(k.State)) }

// Active reports whether the key can be retired.
func (k signingKeyRow) Active() bool { return k.RetiredAt == 0 }

func (c *Console) askRotateKey(ctx context.Context, r *request) (response, error) {
	if _, err := c.authority.SigningKeys(ctx, r.caller); err != nil {
		return response{}, err
	}
	return ask(t("rotate.title"), confirmation{
		Effect: t("rotate.effect"), Button: t("rotate.button"), Action: "/signing-keys/rotate", Back: "/signing-keys",
	}), nil
}

func (c *Console) rotateKey(ctx context.Context, r *request) (response, error) {
	if _, err := c.authority.RotateSigningKey(ctx, r.caller); err != nil {
		return response{}, err
	}
	return next("/signing-keys", "rotated"), nil
}

// tokensLive reports whether tokens of a key may still be valid.
func (c *Console) tokensLive(key keyring.Info) bool {
	published := key.SignsFrom <= c.clock().Unix()
	return published && (key.RetirableAt == 0 || key.RetirableAt > c.clock().Unix())
}

// signingKey returns the signing key of the path.
func (c *Console) signingKey(ctx context.Context, r *request) (keyring.Info, error) {
	keys, err := c.authority.SigningKeys(ctx, r.caller)
	if err != nil {
		return keyring.Info{}, err
	}
	for _, key := range keys {
		if key.ID == r.PathValue("key") && key.RetiredAt == 0 {
			return key, nil
		}
	}
	return keyring.Info{}, errSigningKey
}

var errSigningKey = fault.New(fault.NotFound, t("error.signing-key"))

// askRetireKey asks before a key is retired, with the consequences for its tokens.
func (c *Console) askRetireKey(ctx context.Context, r *request) (response, error) {
	key, err := c.signingKey(ctx, r)
	if err != nil {
		return response{}, err
	}
	effect := t("retire.effect", key.ID)
	if c.tokensLive(key) {
		effect = t("retire.effect-live", key.ID)
	}
	return ask(t("retire.title"), confirmation{
		Effect: effect, Button: t("retire.button"), Back: "/signing-keys",
		Action: "/signing-keys/" + key.ID + "/retire",
	}), nil
}

func (c *Console) retireKey(ctx context.Context, r *request) (response, error) {
	key, err := c.signingKey(ctx, r)
	if err != nil {
		return response{}, err
	}
	// The person has read the consequences of the present moment, so tokens that are still valid are no obstacle.
	if err := c.authority.RetireSigningKey(ctx, r.caller, key.ID, c.tokensLive(key)); err != nil {
		return response{}, err
	}
	return next("/signing-keys", "retired"), nil
}
