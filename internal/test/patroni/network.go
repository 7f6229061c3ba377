//go:build linux

package patroni

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/pawlauth/pawl/internal/test/pgtest"
)

// network has a network namespace for each site, one for each member of etcd, and one for the switches between them:
//
//	site 1 --+                      +-- site 2
//	etcd 1 --+-- switch 1 -- switch 0 -- switch 2 --+-- etcd 2
//	                  |
//	                 test
//
// A cable that is unplugged drops all packets, so that both ends wait for their time-outs. Each site also has a cable
// to the test, which stays: clients still reach a node of Pawl whose site is cut off from the others.
type network struct {
	t      pgtest.TB
	prefix string // of the names of the namespaces
	octets [3]int // the first ones of the addresses
}

const namespacePrefix = "pawl-ha-"

// newNetwork creates the network. The caller must be root.
func newNetwork(t pgtest.TB) *network {
	t.Helper()
	pid := os.Getpid()
	n := &network{t: t, prefix: namespacePrefix + strconv.Itoa(pid) + "-"}
	removeStale(t)
	// Addresses for tests of networks (RFC 2544). Two tests at the same time should have different ones.
	n.octets = [3]int{198, 18 + pid%2, pid / 2 % 100 * 2}
	t.Cleanup(func() { removeNamespaces(n.prefix) })
	n.ip("netns", "add", n.switches())
	for i := range Sites + 1 {
		n.inside(n.switches(), "link", "add", fmt.Sprint("switch", i), "type", "bridge")
		n.inside(n.switches(), "link", "set", fmt.Sprint("switch", i), "up")
	}
	n.plug(0, "test", "", fmt.Sprintf("h%d", pid), n.address(254))
	for i := range Sites {
		number := i + 1
		up, down := fmt.Sprint("up", number), n.uplink(i)
		n.inside(n.switches(), "link", "add", up, "type", "veth", "peer", "name", down)
		for port, at := range map[string]int{up: 0, down: number} {
			n.inside(n.switches(), "link", "set", port, "master", fmt.Sprint("switch", at), "up")
		}
		for _, name := range []string{n.site(i), n.etcd(i)} {
			n.ip("netns", "add", name)
			n.inside(name, "link", "set", "lo", "up")
		}
		n.plug(number, fmt.Sprint("site", number), n.site(i), "eth0", n.address(number))
		n.plug(number, n.etcdPort(i), n.etcd(i), "eth0", n.address(10+number))
		outer := fmt.Sprintf("c%d-%d", number, pid)
		n.ip("link", "add", outer, "type", "veth", "peer", "name", "clients", "netns", n.site(i))
		n.ip("addr", "add", n.clientAddress(i, 1)+"/30", "dev", outer)
		n.ip("link", "set", outer, "up")
		n.inside(n.site(i), "addr", "add", n.clientAddress(i, 2)+"/30", "dev", "clients")
		n.inside(n.site(i), "link", "set", "clients", "up")
	}
	return n
}

func (n *network) switches() string      { return n.prefix + "switches" }
func (n *network) site(i int) string     { return n.prefix + "site" + strconv.Itoa(i+1) }
func (n *network) etcd(i int) string     { return n.prefix + "etcd" + strconv.Itoa(i+1) }
func (n *network) uplink(i int) string   { return "down" + strconv.Itoa(i+1) }
func (n *network) etcdPort(i int) string { return "etcd" + strconv.Itoa(i+1) }

// address returns an address in the network of the sites.
func (n *network) address(number int) string {
	return fmt.Sprintf("%d.%d.%d.%d", n.octets[0], n.octets[1], n.octets[2], number)
}

// clientAddress returns the address of an end of the cable between the test (1) and a site (2).
func (n *network) clientAddress(i, end int) string {
	return fmt.Sprintf("%d.%d.%d.%d", n.octets[0], n.octets[1], n.octets[2]+1, 4*i+end)
}

// plug connects a namespace, or the test if it is "", to a switch, and gives it an address.
func (n *network) plug(number int, port, namespace, device, address string) {
	n.t.Helper()
	into := []string{"link", "add", port, "type", "veth", "peer", "name", device}
	if namespace == "" {
		into = append(into, "netns", strconv.Itoa(os.Getpid()))
	} else {
		into = append(into, "netns", namespace)
	}
	n.inside(n.switches(), into...)
	n.inside(n.switches(), "link", "set", port, "master", fmt.Sprint("switch", number), "up")
	configure := n.ip
	if namespace != "" {
		configure = func(args ...string) { n.inside(namespace, args...) }
	}
	configure("addr", "add", address+"/24", "dev", device)
	configure("link", "set", device, "up")
}

// unplug drops all packets at a port of a switch until restore is called.
func (n *network) unplug(port string) (restore func()) {
	n.inside(n.switches(), "link", "set", port, "down")
	return func() { n.inside(n.switches(), "link", "set", port, "up") }
}

// inside runs ip in a namespace.
func (n *network) inside(namespace string, args ...string) {
	n.t.Helper()
	n.ip(append([]string{"-n", namespace}, args...)...)
}

func (n *network) ip(args ...string) {
	n.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		n.t.Fatalf("ip %s: %v %s", strings.Join(args, " "), err, out)
	}
}

// enter calls f in a thread whose network is a namespace. The processes and sockets that f creates belong to it. If the
// name is "", enter only calls f, and n may be nil.
func (n *network) enter(namespace string, f func()) {
	if namespace == "" {
		f()
		return
	}
	n.t.Helper()
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		n.t.Fatal(err)
	}
	defer own.Close()
	other, err := os.Open(filepath.Join("/run/netns", namespace))
	if err != nil {
		n.t.Fatal(err)
	}
	defer other.Close()
	if err := unix.Setns(int(other.Fd()), unix.CLONE_NEWNET); err != nil {
		n.t.Fatal(err)
	}
	// If f or the way back fails, the thread stays locked, and Go ends it with the goroutine.
	f()
	if err := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); err != nil {
		n.t.Fatal(err)
	}
	runtime.UnlockOSThread()
}

// removeNamespaces removes the namespaces whose names have a prefix, with their cables.
func removeNamespaces(prefix string) {
	found, _ := filepath.Glob("/run/netns/" + prefix + "*")
	for _, path := range found {
		_ = exec.Command("ip", "netns", "del", filepath.Base(path)).Run() // another test may have removed it
	}
}

// removeStale removes the namespaces of tests that were killed.
func removeStale(t pgtest.TB) {
	t.Helper()
	found, _ := filepath.Glob("/run/netns/" + namespacePrefix + "*-switches")
	for _, path := range found {
		name := strings.TrimSuffix(filepath.Base(path), "switches")
		pid := strings.TrimSuffix(strings.TrimPrefix(name, namespacePrefix), "-")
		if _, err := os.Stat("/proc/" + pid); os.IsNotExist(err) {
			removeNamespaces(name)
		}
	}
}

// CanSeparate returns nil if this process can give each site a network of its own.
func CanSeparate() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("network namespaces need root")
	}
	name := namespacePrefix + strconv.Itoa(os.Getpid()) + "-try"
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		return fmt.Errorf("there are no network namespaces: %w: %s", err, out)
	}
	defer removeNamespaces(name)
	out, err := exec.Command("ip", "-n", name, "link", "add", "switch", "type", "bridge").CombinedOutput()
	if err != nil {
		return fmt.Errorf("there is no switch in a network namespace: %w: %s", err, out)
	}
	return nil
}
