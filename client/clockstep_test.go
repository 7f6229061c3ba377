package client_test

import (
	"errors"
	"testing"
	"time"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/pawltest"
)

// TestVerifierUserChangeAfterSetBack sets the clock of the server back, lets the verifier confirm a token from before,
// and then ends the sessions of its user. The iat of the token is later than the event, but the verifier must reject
// the token nevertheless.
func TestVerifierUserChangeAfterSetBack(t *testing.T) {
	onStores(t, func(t *testing.T, options ...pawltest.Option) {
		v := newVerifying(t, "ES256", client.VerifierConfig{}, options...)
		for _, step := range []time.Duration{-30 * time.Second, -10 * time.Minute} {
			token := v.login()
			epochs := v.verifier.Stats().Epochs
			v.server.Step(step)
			await(t, "no epoch begins after the step", func() bool { return v.verifier.Stats().Epochs > epochs })
			v.expect(true, token)
			if err := v.direct.ResetUser(t.Context(), pawltest.UserID); err != nil {
				t.Fatal(err)
			}
			await(t, "the token of an ended session passes", func() bool {
				_, err := v.verifier.Verify(t.Context(), token)
				return errors.Is(err, client.ErrInvalidSession)
			})
			v.expect(true, v.login())
		}
	})
}
