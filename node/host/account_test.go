//go:build linux

package host

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/node"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// blast sends datagrams that are no segments of anything, and hears of no errors.
func blast(t testing.TB, from ns.NetNS, to string, count int) {
	t.Helper()
	in(t, from, func() error {
		c, err := net.ListenPacket("udp", ":0")
		if err != nil {
			return err
		}
		defer c.Close()
		for i := range count {
			if _, err := c.WriteTo(make([]byte, 100+i%200), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to))); err != nil {
				return err
			}
		}
		return nil
	})
}

// called are the packets of an account but for what the kernel says of itself.
func (a *Account) called() uint64 { return a.Taken - a.Dropped[node.DropMulticast] }

// dropped are all packets of an account that went nowhere.
func (a *Account) dropped() (all uint64) {
	for _, n := range a.Dropped {
		all += n
	}
	return all
}

// settled waits until side 0's account has at least so many packets and nothing is on its
// way, and holds it: each packet is in one figure.
func (w *world) settled(least uint64) Account {
	w.t.Helper()
	var a Account
	for limit := time.Now().Add(patience); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		if a = w.host[0].Account(); a.called() >= least && a.Taken == a.Sent+a.Clear+a.Waiting+a.dropped() {
			return a
		}
	}
	w.t.Fatalf("of at least %d packets the account is %+v\n%s", least, a, w.dump())
	return a
}

// takenFromTUN is how many frames the kernel has handed to side 0's TUN device.
func (w *world) takenFromTUN() (packets uint64) {
	in(w.t, w.gateway[0], func() error {
		l, err := netlink.LinkByName(tunnelDefault)
		if err == nil {
			packets = l.Attrs().Statistics.TxPackets
		}
		return err
	})
	return packets
}

// steady is settled at an instant at which nothing comes, and says how many frames the
// device has given by then.
func (w *world) steady(least uint64) (Account, uint64) {
	for {
		before, frames := w.settled(least), w.takenFromTUN()
		time.Sleep(5 * time.Millisecond)
		if after := w.settled(least); after.Taken == before.Taken && w.takenFromTUN() == frames {
			return after, frames
		}
	}
}

// noRoom makes a device's queue take nothing, or with false as much as ever.
func (w *world) noRoom(n ns.NetNS, device string, on bool) {
	w.t.Helper()
	in(w.t, n, func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		request := nl.NewNetlinkRequest(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK)
		request.AddData(&nl.TcMsg{Family: unix.AF_UNSPEC, Ifindex: int32(l.Attrs().Index), Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT})
		request.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated("pfifo")))
		limit := uint32(1000)
		if on {
			limit = 0
		}
		request.AddData(nl.NewRtAttr(nl.TCA_OPTIONS, binary.NativeEndian.AppendUint32(nil, limit)))
		_, err = request.Execute(unix.NETLINK_ROUTE, 0)
		return err
	})
}

// TestAccount holds the account of what is led into a tunnel: each packet leaves, waits,
// or is dropped with a name, whatever the kernel does not take; and the names are those
// of events too.
func TestAccount(t *testing.T) {
	t.Parallel()
	const count = 300
	for name, options := range map[string][]option{
		"in UDP":       {encap()},
		"bare":         nil,
		"in UDP, IPv6": {encap(), overIPv6()},
		"bare, IPv6":   {overIPv6()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options...)
			w.up()
			w.ping(w.inside[0], "10.2.0.2", 3)
			w.transfer(w.inside[0], w.inside[1], "2001:db8:2::2", 1<<20)
			before := w.settled(3 + 1<<20/1500)
			if before.Sent < 3+1<<20/1500 || before.Clear > 0 {
				t.Errorf("behind a transfer: %+v", before)
			}
			peer := prefix("198.51.100.2/32")
			if w.config[0].Node.IKE.Connections[0].LocalAddrs[0].Is6() {
				peer = prefix("2001:db8:ff::2/128")
			}
			route := func(kind int) func(on bool) {
				return func(on bool) {
					in(t, w.gateway[0], func() error {
						r := &netlink.Route{Dst: ipNet(peer), Type: kind, Priority: 7}
						if on {
							return netlink.RouteAdd(r)
						}
						return netlink.RouteDel(r)
					})
				}
			}
			for _, c := range []struct {
				what   string
				change func(on bool)
				reason node.DropReason
			}{
				{"nothing wrong", func(bool) {}, ""},
				{"a queue without room", func(on bool) { w.noRoom(w.gateway[0], "wan", on) }, node.DropSendQueueFull},
				{"a route that prohibits", route(unix.RTN_PROHIBIT), node.DropFiltered},
				{"a route to nowhere", route(unix.RTN_UNREACHABLE), node.DropHostUnreachable},
			} {
				before, framesBefore := w.steady(0)
				c.change(true)
				blast(t, w.inside[0], "10.2.0.2:9", count)
				blast(t, w.inside[0], "[2001:db8:2::2]:9", count)
				after, frames := w.steady(before.called() + 2*count)
				c.change(false)
				if taken := after.Taken - before.Taken; taken != frames-framesBefore {
					t.Errorf("%s: %d packets in the account, of %d that the device has given", c.what, taken, frames-framesBefore)
				}
				if c.reason == "" {
					if after.Sent-before.Sent < 2*count {
						t.Errorf("%s: %+v behind %+v", c.what, after, before)
					}
					continue
				}
				if lost := after.Dropped[c.reason] - before.Dropped[c.reason]; lost < 2*count-10 { // one may tell of another's trouble
					t.Errorf("%s: %d packets are %s, want %d: %+v", c.what, lost, c.reason, 2*count, after)
				}
				if events := w.seen[0].count(node.EventPacketDropped, c.reason); uint64(events) != after.Dropped[c.reason] {
					t.Errorf("%s: %d events say so, of %d", c.what, events, after.Dropped[c.reason])
				}
			}
		})
	}
}

// TestAccountOfWaiting: packets that wait are in the account, and so are those that no
// policy has and those for which there is no room or no hope.
func TestAccountOfWaiting(t *testing.T) {
	t.Parallel()
	only := ts("10.1.0.0/24")
	far := ts("10.2.0.0/24")
	for i := range only {
		only[i].IPProtocol, far[i].IPProtocol = unix.IPPROTO_UDP, unix.IPPROTO_UDP
		far[i].StartPort, far[i].EndPort = 9, 9
	}
	w := newWorld(t, startAction(ike.StartTrap), selectors(only, far), connection(func(_ int, c *ike.Connection) {
		c.Retransmit = ike.Retransmit{Timeout: patience, BaseMilli: 1000, Tries: 1}
	}))
	w.start(0)
	const count = 100
	blast(t, w.inside[0], "10.2.0.2:9", count)
	a := w.settled(count)
	if a.Waiting != holdPacketsPerPolicyMax || a.Dropped[node.DropHoldFull] != count-holdPacketsPerPolicyMax {
		t.Errorf("without a peer: %+v", a)
	}
	blast(t, w.inside[0], "10.2.0.2:10", count)
	if b := w.settled(a.called() + count); b.Clear != count {
		t.Errorf("to a port that no policy has: %+v", b)
	}
}

// TestOverflows: datagrams that come faster than they are taken are counted.
func TestOverflows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h, err := Start(w.config[0]) // and nobody reads before Boot
	if err != nil {
		t.Fatal(err)
	}
	w.host[0] = h
	in(t, w.gateway[1], func() error {
		c, err := net.DialTimeout("udp", "198.51.100.1:4500", patience)
		if err != nil {
			return err
		}
		defer c.Close()
		b := make([]byte, 1400)
		for len(h.Overflows()) == 0 {
			for range 1000 {
				if _, err := c.Write(b); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if all := h.Overflows(); len(all) != 1 || all["UDP 198.51.100.1:4500"] == 0 {
		t.Errorf("overflows: %v", all)
	}
	before := h.Overflows()["UDP 198.51.100.1:4500"]
	h.Boot()
	w.removeAddress(w.gateway[0], "wan", "198.51.100.1/24")
	for limit := time.Now().Add(patience); time.Now().Before(limit) && len(h.Addresses()[1]) == 2; time.Sleep(5 * time.Millisecond) {
	}
	if all := h.Overflows(); all["UDP 198.51.100.1:4500"] < before {
		t.Errorf("behind the end of the socket: %v, before %d", all, before)
	}
}
