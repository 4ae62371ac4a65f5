package node

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ikelab/ikelab/ike"
)

func TestPacketKeyReads(t *testing.T) {
	for _, c := range []struct {
		key  PacketKey
		want string
	}{
		{PacketKey{Src: addr("10.1.0.9"), Dst: addr("10.2.0.9"), Protocol: 17, SrcPort: 1, DstPort: 7, PortsKnown: true, Bytes: 92},
			"10.1.0.9:1 > 10.2.0.9:7 protocol 17, 92 bytes"},
		{PacketKey{Src: addr("2001:db8::1"), Dst: addr("2001:db8::2"), Protocol: 6, SrcPort: 1, DstPort: 7, PortsKnown: true, Bytes: 92},
			"[2001:db8::1]:1 > [2001:db8::2]:7 protocol 6, 92 bytes"},
		{PacketKey{Src: addr("10.1.0.9"), Dst: addr("10.2.0.9"), Protocol: 1, SrcPort: 0x0301, DstPort: 0x0301, PortsKnown: true, Bytes: 56},
			"10.1.0.9 > 10.2.0.9 icmp type 3 code 1, 56 bytes"},
		{PacketKey{Src: addr("10.1.0.9"), Dst: addr("10.2.0.9"), Protocol: 50, Bytes: 120}, "10.1.0.9 > 10.2.0.9 protocol 50, 120 bytes"},
	} {
		if got := c.key.String(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestOriginNames(t *testing.T) {
	seen := make(map[string]bool)
	for o := OriginForwarded; o <= OriginESP; o++ {
		if name := o.String(); name == "unknown" || seen[name] {
			t.Errorf("origin %d is called %q", o, name)
		} else {
			seen[name] = true
		}
	}
	if Origin(0).String() != "unknown" {
		t.Error("no origin has a name")
	}
}

// TestBoot shows that a node asks for its first instant, and starts then.
func TestBoot(t *testing.T) {
	for _, c := range []struct {
		name   string
		action ike.StartAction
		starts bool
	}{{"start", ike.StartStart, true}, {"trap", ike.StartTrap, false}, {"none", ike.StartNone, false}} {
		n := gateway(t, 0, startAction(c.action))
		at, why, ok := n.Deadline()
		if at != 0 || why != "boot" || !ok {
			t.Errorf("%s: before the boot the deadline is %v for %q (%v)", c.name, at, why, ok)
		}
		if got := len(packets(n.Handle(0, Timeout{}))) > 0; got != c.starts {
			t.Errorf("%s: started %v", c.name, got)
		}
		if at, _, ok := n.Deadline(); ok != c.starts || (ok && at <= 0) {
			t.Errorf("%s: behind the boot the deadline is %v (%v)", c.name, at, ok)
		}
	}
	if _, _, ok := newNode(t, Config{}).Deadline(); !ok {
		t.Error("a plain host asks for no boot")
	}
}

// TestNoSuchInterface shows that inputs for interfaces that do not exist change
// nothing.
func TestNoSuchInterface(t *testing.T) {
	n := router(t)
	b := udp(t, "10.1.0.5:1", "10.1.0.1:2", nil)
	for _, i := range []int{-1, 2} {
		for _, in := range []Input{PacketIn{Interface: i, Bytes: b}, InterfaceChange{Interface: i, Up: true},
			AddressChange{Interface: i, Addresses: []netip.Prefix{prefix("10.0.0.1/8")}}, NeighborFailed{Interface: i, Bytes: b}} {
			if out := n.Handle(0, in); len(out) != 0 {
				t.Errorf("%T at %d: %v", in, i, out)
			}
		}
	}
}

// TestTablesAreBounded fills what grows with traffic.
func TestTablesAreBounded(t *testing.T) {
	n := tunnel(t, nil)[0]
	for i := range max(decisionsMax, idCountersMax) + 10 {
		dst := netip.AddrPortFrom(netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)}), uint16(i))
		n.Handle(time.Duration(i), DatagramOut{Src: port("198.51.100.1:9"), Dst: dst, MayFragment: true})
		if len(n.decisions) > decisionsMax || len(n.ids) > idCountersMax {
			t.Fatalf("%d decisions and %d counters after %d packets", len(n.decisions), len(n.ids), i)
		}
	}
}
