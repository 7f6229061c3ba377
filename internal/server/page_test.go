package server_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"testing"

	"github.com/pawlauth/pawl/api"
)

// TestPagesCompressed checks that the OpenAPI file is compressed only for clients that accept it, and that a client
// which has the current bytes gets 304.
func TestPagesCompressed(t *testing.T) {
	b := start(t)
	get := func(headers ...string) (*http.Response, string) {
		return b.send("GET", "/openapi.yaml", "", append([]string{"Accept-Encoding: identity"}, headers...)...)
	}
	plain, text := get()
	if text != api.OpenAPI() || plain.Header.Get("Content-Encoding") != "" {
		t.Fatalf("%d bytes, %v", len(text), plain.Header)
	}
	for accept, want := range map[string]bool{
		"gzip": true, "br, GZIP;q=0.5": true, "gzip; q=0": false, "gzip;q=0.000": false, "deflate, br": false,
		"x-gzip": false, "": false,
	} {
		got, body := get("Accept-Encoding: " + accept)
		if zipped := got.Header.Get("Content-Encoding") == "gzip"; zipped != want {
			t.Errorf("Accept-Encoding: %q: compressed %v, want %v", accept, zipped, want)
		}
		if got.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("Vary: %q", got.Header.Get("Vary"))
		}
		if !want {
			continue
		}
		if 4*len(body) > len(text) {
			t.Errorf("compressed to %d of %d bytes", len(body), len(text))
		}
		reader, err := gzip.NewReader(bytes.NewBufferString(body))
		if err != nil {
			t.Fatal(err)
		}
		if unzipped, err := io.ReadAll(reader); err != nil || string(unzipped) != text {
			t.Errorf("%d bytes, %v", len(unzipped), err)
		}
		if got.Header.Get("ETag") == plain.Header.Get("ETag") {
			t.Error("both forms have the same ETag")
		}
	}
	for _, form := range []string{"identity", "gzip"} {
		first, _ := get("Accept-Encoding: " + form)
		again, body := get("Accept-Encoding: "+form, "If-None-Match: "+first.Header.Get("ETag"))
		if again.StatusCode != 304 || body != "" {
			t.Errorf("%s: %d with %d bytes", form, again.StatusCode, len(body))
		}
		if other, _ := get("Accept-Encoding: "+form, `If-None-Match: "other"`); other.StatusCode != 200 {
			t.Errorf("%s with another ETag: %d", form, other.StatusCode)
		}
	}
}
