package generators_test

import (
	"testing"

	"github.com/pawlauth/pawl/internal/test/apicheck"
	"github.com/pawlauth/pawl/internal/test/npmtest"
	"github.com/pawlauth/pawl/pawltest"
)

// TestOAuthLibraries runs two strict OAuth client libraries against the metadata, the introspection and the revocation.
// Both encode the API key as RFC 6749, 2.3.1, requires it.
func TestOAuthLibraries(t *testing.T) {
	dir := npmtest.Folder(t, "npm")
	for _, library := range []string{"oauth4webapi", "openid-client"} {
		t.Run(library, func(t *testing.T) {
			server := pawltest.New(t, pawltest.WithHandler(apicheck.Handler(t)))
			const want = "client_secret_basic: revoked\nclient_secret_post: revoked\n"
			if got := run(t, dir, server, "node", library+".js"); got != want {
				t.Errorf("printed:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}
