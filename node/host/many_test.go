//go:build linux

package host

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/node"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// childSA is the n-th of many CHILD_SAs of side 0's gateway: one remote address each.
func (w *world) childSA(n int, v6 bool, local string) *ike.ChildSA {
	w.t.Helper()
	p := proposal(w.t, suite.ProtocolESP, "aes256gcm16")[0]
	keys := ike.ChildKeys{Encr: make([]byte, 36), IV: make([]byte, 32)}
	remote := netip.AddrFrom4([4]byte{172, 16 + byte(n>>16), byte(n >> 8), byte(n)})
	bits := 32
	if v6 {
		b := addr("2001:db8:3::").As16()
		b[13], b[14], b[15] = byte(n>>16), byte(n>>8), byte(n)
		remote, bits = netip.AddrFrom16(b), 128
	}
	at := netip.AddrPortFrom(addr("198.51.100.1"), portNATT)
	return &ike.ChildSA{
		Connection: "site", Child: "nets", SPIIn: uint32(0x10000 + n), SPIOut: uint32(0x10000 + n), Encap: true,
		Local: at, Remote: netip.AddrPortFrom(addr("198.51.100.2"), uint16(1024+n%50000)), Proposal: p, In: keys, Out: keys,
		LocalTS: ts(local), RemoteTS: ts(netip.PrefixFrom(remote, bits).String()),
	}
}

// rules are how many routing rules a namespace has.
func rules(t testing.TB, n ns.NetNS) (count int) {
	in(t, n, func() error {
		all, err := netlink.RuleList(unix.AF_UNSPEC)
		count = len(all)
		return err
	})
	return count
}

// leads says whether the kernel leads a forwarded packet to the tunnel device.
func (w *world) leads(from, to string) (leads bool) {
	in(w.t, w.gateway[0], func() error {
		tun, err := netlink.LinkByName(tunnelDefault)
		if err != nil {
			return err
		}
		routes, err := netlink.RouteGetWithOptions(addr(to).AsSlice(), &netlink.RouteGetOptions{SrcAddr: addr(from).AsSlice(), Iif: "lan"})
		leads = err == nil && len(routes) > 0 && routes[0].LinkIndex == tun.Attrs().Index
		return nil
	})
	return leads
}

// TestManyAssociations: a gateway takes thousands of CHILD_SAs, with few rules; each of
// them is led to the tunnel and nothing else, and they go as they came.
func TestManyAssociations(t *testing.T) {
	t.Parallel()
	const count = 3000
	w := newWorld(t)
	h := w.start(0)
	before := rules(t, w.gateway[0])
	begun := time.Now()
	h.enter(func() {
		for n := range count {
			v6, local := n%3 == 0, "10.1.0.0/24"
			if v6 {
				local = "2001:db8:1::/64"
			}
			if err := h.install(w.childSA(n, v6, local)); err != nil {
				t.Errorf("the %d. association: %v", n+1, err)
				return
			}
		}
	})
	t.Logf("%d associations in %v, with %d rules more", count, time.Since(begun), rules(t, w.gateway[0])-before)
	if n := rules(t, w.gateway[0]) - before; n > 8 {
		t.Errorf("%d rules more", n)
	}
	for _, c := range []struct {
		from, to string
		leads    bool
	}{
		{"10.1.0.2", "172.16.0.1", true}, {"10.1.0.2", "172.16.11.183", true}, {"2001:db8:1::2", "2001:db8:3::bb5", true},
		{"10.1.0.2", "172.16.11.185", false}, {"10.1.0.2", "172.16.0.3", false}, {"10.9.0.2", "172.16.0.1", false}, {"2001:db8:1::2", "2001:db8:3::1", false},
	} {
		if leads := w.leads(c.from, c.to); leads != c.leads {
			t.Errorf("from %s to %s: led to the tunnel %v, want %v", c.from, c.to, leads, c.leads)
		}
	}
	h.enter(func() {
		for n := range count {
			h.uninstall(ike.DeleteChild{Connection: "site", Child: "nets", SPIIn: uint32(0x10000 + n), SPIOut: uint32(0x10000 + n)})
			if n == 4 {
				break // each looks at all that are left
			}
		}
	})
	if w.leads("10.1.0.2", "172.16.0.1") || !w.leads("10.1.0.2", "172.16.0.5") {
		t.Error("routes are not those of the associations that are left")
	}
}

// TestManyLocals: local selectors need a rule each, of which there is a limit. What is
// beyond it is refused by name and leaves nothing behind, and what was there stays.
func TestManyLocals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.start(0)
	local := func(n int) string { return fmt.Sprintf("10.1.0.%d/32", 2+n%200) }
	h.enter(func() {
		for n := range 100 {
			if err := h.install(w.childSA(n, false, local(n))); err != nil {
				t.Errorf("the %d. association: %v", n+1, err)
			}
		}
		// A range that is no prefix, as a peer may ask for it.
		wide := w.childSA(100, false, "10.1.0.0/24")
		wide.LocalTS[0].Start, wide.LocalTS[0].End = addr("10.1.0.1"), addr("10.1.0.254")
		if err := h.install(wide); err != nil {
			t.Error(err)
		}
	})
	if !w.leads("10.1.0.2", "172.16.0.0") || w.leads("10.1.0.2", "172.16.0.1") || !w.leads("10.1.0.77", "172.16.0.100") {
		t.Error("routes are not those of the associations")
	}
	h.enter(func() {
		// As many rules as there may be, and one.
		for n := range rulesMax {
			h.applied.rules[fmt.Sprint("another ", n)] = netlink.Rule{}
		}
		err := h.install(w.childSA(200, false, "10.1.0.250/32"))
		if err == nil || !strings.Contains(err.Error(), "more than 4096 routing rules") {
			t.Errorf("beyond the limit: %v", err)
		}
		for n := range rulesMax {
			delete(h.applied.rules, fmt.Sprint("another ", n))
		}
		if n := len(h.sas.all); n != 101 {
			t.Errorf("%d associations are left, want 101", n)
		}
	})
	if w.leads("10.1.0.250", "172.16.0.200") || !w.leads("10.1.0.3", "172.16.0.1") {
		t.Error("routes are not those of the associations that were taken")
	}
}

// TestManyPolicies: a filter and routes of thousands of configured ends are made at once.
func TestManyPolicies(t *testing.T) {
	t.Parallel()
	const count = 3000
	w := newWorld(t, func(_ int, c *Config) {
		connection := c.Node.IKE.Connections[0]
		child := connection.Children[0]
		c.Node.IKE.Connections = nil
		for n := range count {
			child.LocalTS, child.RemoteTS = ts("10.1.0.0/24"), ts(fmt.Sprintf("172.16.%d.%d/32", n>>7, n&0x7f<<1))
			connection.Name, connection.Children = fmt.Sprint("to-", n), []ike.Child{child}
			c.Node.IKE.Connections = append(c.Node.IKE.Connections, connection)
		}
	})
	h := w.start(0)
	if p := h.Policies(); len(p) != count {
		t.Fatalf("policies: %d", len(p))
	}
	last := fmt.Sprintf("172.16.%d.%d", (count-1)>>7, (count-1)&0x7f<<1)
	if !w.leads("10.1.0.2", last) || w.leads("10.1.0.2", "172.16.0.1") {
		t.Error("routes are not those of the policies")
	}
	blast(t, w.inside[0], last+":9", 3)
	w.seen[0].wait(t, 3, node.EventPolicyDrop, node.DropNoAssociation)
}
