package push

import (
	"net/netip"
	"testing"
)

// TestAddresses checks which addresses are public, which need AllowPrivate, and which are never used, in each spelling.
func TestAddresses(t *testing.T) {
	for text, want := range map[string]error{
		"8.8.8.8": nil, "2606:4700::1111": nil, "::ffff:8.8.8.8": nil,
		"127.0.0.1": errPrivate, "::1": errPrivate, "::ffff:127.0.0.1": errPrivate, "10.1.2.3": errPrivate,
		"172.31.0.1": errPrivate, "192.168.1.1": errPrivate, "100.64.0.1": errPrivate, "fd12::1": errPrivate,
		"::ffff:10.0.0.1": errPrivate,
		"0.0.0.0":         errReserved, "::": errReserved, "169.254.169.254": errReserved, "fe80::1%eth0": errReserved,
		"::ffff:169.254.169.254": errReserved, "64:ff9b::a9fe:a9fe": errReserved, "2002:a9fe:a9fe::": errReserved,
		"::169.254.169.254": errReserved, "224.0.0.1": errReserved, "255.255.255.255": errReserved,
		"fd00:ec2::254": errReserved, "100.100.100.200": errReserved, "ff02::1": errReserved,
	} {
		ip := netip.MustParseAddr(text)
		if got := checkAddress(ip, false); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
		if want == errPrivate {
			want = nil
		}
		if got := checkAddress(ip, true); got != want {
			t.Errorf("%s, with private ones permitted: %v, want %v", text, got, want)
		}
	}
}
