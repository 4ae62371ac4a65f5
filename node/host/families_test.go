//go:build linux

package host

import (
	"strings"
	"testing"

	"github.com/ikelab/ikelab/node"
	"golang.org/x/sys/unix"
)

// TestWithoutIPv6 has a node do as on a kernel without IPv6: it asks for nothing of that
// family, not in rules, routes, sockets and filter, whatever its policies say, and
// everything of IPv4 is as ever.
func TestWithoutIPv6(t *testing.T) {
	t.Parallel()
	w := newWorld(t, encap(), func(_ int, c *Config) {
		c.families = []int{unix.AF_INET}
		for i := range c.Node.Interfaces {
			c.Node.Interfaces[i].Addresses = c.Node.Interfaces[i].Addresses[:1]
		}
	})
	for side := range 2 {
		w.sysctl(w.gateway[side], "net/ipv6/conf/all/disable_ipv6", "1") // no addresses
	}
	x := w.watchWire()
	w.up()
	w.ping(w.inside[0], "10.2.0.2", 2)
	if leaked := x.clear(); len(leaked) > 0 {
		t.Errorf("%d packets crossed the link in clear, the first:\n%s", len(leaked), leaked[0])
	}
	if err := sendFrom(t, w.gateway[0], "10.2.0.2", "10.1.0.1", boundTo("wan")); err == nil {
		t.Error("what is protected left past the tunnel")
	}
	w.seen[0].wait(t, 1, node.EventPolicyDrop, node.DropNoAssociation)
	for command, not := range map[string]string{"ip -6 rule": "220", "ip -6 route show table 220": "unreachable", "nft list ruleset": "ip6"} {
		if out, err := run(t, w.gateway[0], strings.Fields(command)...); err != nil && !strings.Contains(out, "FIB table does not exist") || strings.Contains(out, not) {
			t.Errorf("%s: %v\n%s", command, err, out)
		}
	}
	if w.host[0].release.clear6 != nil {
		t.Error("there is a raw socket of IPv6")
	}
	if err := w.host[0].Close(); err != nil {
		t.Error(err)
	}
	if out, err := run(t, w.gateway[0], "nft", "list", "ruleset"); err != nil || out != "" {
		t.Errorf("a closed host leaves: %v\n%s", err, out)
	}
}

// TestKernelFamilies asks the kernel at hand, which is IPv6's as these tests need it.
func TestKernelFamilies(t *testing.T) {
	t.Parallel()
	needKernel(t)
	in(t, newNamespace(t), func() error {
		families, err := (&Config{}).kernelFamilies()
		if len(families) != 2 || families[0] != unix.AF_INET || families[1] != unix.AF_INET6 {
			t.Errorf("families are %v", families)
		}
		return err
	})
}
