package push

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"syscall"
)

const maxURLBytes = 2048

// CheckURL returns an error for a URL that no receiver may have. A receiver is reached by HTTPS; by plain HTTP only on
// loopback, with AllowPrivate. The error continues a sentence that begins with the name of the field.
func (p *Pusher) CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case len(text) > maxURLBytes:
		return fmt.Errorf("must have at most %d bytes", maxURLBytes)
	case err != nil || u.Hostname() == "" || u.Opaque != "" || u.Fragment != "":
		return errors.New("must be an address such as https://receiver.example.com/events")
	case u.User != nil:
		return errors.New("must have no password; send one as authorization, which is stored encrypted")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && p.config.AllowPrivate && isLoopback(u.Hostname()):
		return nil
	case u.Scheme == "http" && isLoopback(u.Hostname()):
		return errors.New("must begin with https://; plain HTTP on loopback needs the setting private-receivers")
	}
	return errors.New("must begin with https://")
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// private are the addresses that need AllowPrivate. Every other address that is not in reserved is public.
var private = prefixes("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
	"fc00::/7")

// reserved are the addresses that no receiver may have: those of no host, of this link with the metadata services of
// clouds, and those that lead to an IPv4 address in a way that the other list does not see.
var reserved = prefixes("0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64",
	"2001::/32", "2001:db8::/32", "2002::/16", "fe80::/10", "fec0::/10", "ff00::/8",
	"100.100.100.200/32", "fd00:ec2::254/128") // the last two are metadata services at private addresses

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		all[i] = netip.MustParsePrefix(text)
	}
	return all
}

func containsAddr(all []netip.Prefix, ip netip.Addr) bool {
	for _, prefix := range all {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}

var (
	errReserved = errors.New("the address of the receiver is reserved, so it is never used")
	errPrivate  = errors.New("the address of the receiver is private; " +
		"if that is intended, start every node with --private-receivers")
)

// checkAddress returns an error for an address that the pusher must not connect to. The dialer calls it with the
// address of each connection, so that a name cannot lead to another address than the one that was checked.
func checkAddress(ip netip.Addr, allowPrivate bool) error {
	ip = ip.Unmap().WithZone("")
	switch {
	case !ip.IsValid() || containsAddr(reserved, ip) && !ip.IsLoopback():
		return errReserved
	case containsAddr(private, ip) && !allowPrivate:
		return errPrivate
	}
	return nil
}

// control is the net.Dialer.Control of the pusher.
func (p *Pusher) control(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return err
	}
	return checkAddress(ip, p.config.AllowPrivate)
}
