package server

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// withClientAddress returns the request with the client's address instead of a trusted proxy's. Each proxy appends the
// address of its peer to X-Forwarded-For, so the header is read from the right. The first address outside the trusted
// proxies is the client's. Addresses to the left of it may be forged.
func (h *limiter) withClientAddress(r *http.Request) *http.Request {
	peer, err := netip.ParseAddr(origin(r).IP)
	if err != nil || !contains(h.TrustedProxies, peer) {
		return r
	}
	client := peer
	forwarded := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(forwarded) - 1; i >= 0; i-- {
		element := strings.TrimSpace(forwarded[i])
		if element == "" {
			continue // a recipient ignores empty elements of a list (RFC 9110, 5.6.1.2)
		}
		address, err := parseAddress(element)
		if err != nil {
			break // no trusted proxy wrote this, so nothing to the left of it can be trusted
		}
		client = address
		if !contains(h.TrustedProxies, address) {
			break
		}
	}
	changed := *r // a handler must not change its request
	changed.RemoteAddr = net.JoinHostPort(client.Unmap().WithZone("").String(), "0")
	return &changed
}

// parseAddress parses an address with or without a port, because some proxies write the port. An IPv6 address may be in
// brackets, as in the Host of a URL.
func parseAddress(text string) (netip.Addr, error) {
	if both, err := netip.ParseAddrPort(text); err == nil {
		return both.Addr(), nil
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok && strings.Contains(inner, ":") {
			text = inner
		}
	}
	return netip.ParseAddr(text)
}

// contains reports whether one of the prefixes contains the address.
func contains(prefixes []netip.Prefix, address netip.Addr) bool {
	address = address.Unmap().WithZone("")
	for _, prefix := range prefixes {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}
