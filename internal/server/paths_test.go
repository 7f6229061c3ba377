package server_test

import (
	"strings"
	"testing"

	"github.com/pawlauth/pawl/api"
)

// TestOnePathPerUser checks that an id with a sign or a leading zero is 404 in each path with an id.
func TestOnePathPerUser(t *testing.T) {
	b := start(t)
	for _, call := range []string{
		"GET /v2/users/", "DELETE /v2/users/", "POST /v2/users/reset/", "POST /v2/users/key-generate/",
	} {
		method, path, _ := strings.Cut(call, " ")
		for _, id := range []string{"+4821", "%2B4821", "04821", "004821", "+04821", "-4821", "%304821"} {
			b.expect(404, api.CodeObjectNotFound, method, path+id, "", b.admin())
		}
	}
	b.expect(200, "", "GET", "/v2/users/4821", "", b.admin())
	b.expect(200, "", "DELETE", "/v2/users/4821", "", b.admin())
}
