package ike

import "net/netip"

// testnat hides an inside address behind an outside one, with new ports.
type testnat struct {
	inside, outside netip.Addr
	next            uint16
	out             map[uint16]uint16 // inside port -> outside port
}

// translate passes a datagram through the NATs between its ends.
func (n *testnet) translate(f *flight) {
	for _, nat := range n.nats {
		if f.remote.Addr() == nat.inside {
			port, ok := nat.out[f.remote.Port()]
			if !ok {
				nat.next++
				port = nat.next
				nat.out[f.remote.Port()] = port
			}
			f.remote = netip.AddrPortFrom(nat.outside, port)
		}
		if f.local.Addr() == nat.outside {
			to := netip.AddrPort{}
			for in, out := range nat.out {
				if out == f.local.Port() {
					to = netip.AddrPortFrom(nat.inside, in)
				}
			}
			f.local = to // invalid when there is no mapping: lost
		}
	}
}
