package testbin

import (
	"testing"

	"github.com/pawlauth/pawl/client"
)

// Client returns a client of the server at url.
func Client(t testing.TB, url string, options ...client.Option) *client.Client {
	t.Helper()
	c, err := client.New(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
