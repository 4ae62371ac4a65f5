package node

import (
	"bytes"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/ikelab/ikelab/ike"
)

// FuzzHandle lets any packet arrive at both interfaces of a gateway with a tunnel,
// first as it is and then with its addresses, lengths and checksums put right, so
// that it gets past the first checks. Nothing may panic, and whatever leaves must
// be a packet that fits its link.
func FuzzHandle(f *testing.F) {
	both := tunnel(f, nil)
	sealed := packets(both[0].Handle(0, PacketIn{Interface: 0, Bytes: udp(f, "10.1.0.9:1", "10.2.0.9:7", pattern(40))}))[0].Bytes
	for _, seed := range [][]byte{
		sealed,
		udp(f, "198.51.100.1:500", "198.51.100.2:500", make([]byte, 28)),
		udp(f, "198.51.100.1:4500", "198.51.100.2:4500", make([]byte, 32)),
		udp(f, "198.51.100.1:4500", "198.51.100.2:4500", sealed[20:]),
		udp(f, "198.51.100.1:4500", "198.51.100.2:4500", []byte{0xff}),
		udp(f, "10.2.0.9:1", "10.1.0.9:2", pattern(1400), df),
		udp(f, "10.2.0.9:1", "10.1.0.9:2", pattern(1480)),
		udp(f, "[2001:db8:2::9]:1", "[2001:db8:1::9]:2", pattern(1400)),
		echo(f, "10.2.0.9", "10.2.0.1", 1, 2, pattern(20)),
		echo(f, "2001:db8:2::9", "2001:db8:2::1", 1, 2, pattern(20), ttl(1)),
		build(f, ip("203.0.113.9", "198.51.100.2", layers.IPProtocolICMPv4),
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: 600}, &rawLayer{sealed[:48]}),
		build(f, ip("10.2.0.9", "10.2.0.1", layers.IPProtocolUDP, fragmentOf(3, 0, true)), &rawLayer{pattern(64)}),
		append(bytes.Clone(udp(f, "[2001:db8:2::9]:1", "[2001:db8:2::1]:2", nil)[:40]), 17, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4),
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, b []byte, repair bool) {
		if len(b) > 0xffff {
			t.Skip()
		}
		n := gateway(t, 1, startAction(ike.StartTrap), wanMTU(1300))
		if err := n.install(keyed(t, 1, 1)); err != nil {
			t.Fatal(err)
		}
		now := time.Duration(0)
		for iface := range 2 {
			for range 2 {
				in := bytes.Clone(b)
				if repair {
					repaired(in, iface)
				}
				for _, o := range n.Handle(now, PacketIn{Interface: iface, Bytes: in}) {
					p, ok := o.(*PacketOut)
					if !ok {
						continue
					}
					var q packet
					if reason := parse(p.Bytes, &q); reason != "" {
						t.Errorf("sent a packet that is %s: %x", reason, p.Bytes)
					}
					if len(q.bytes) != len(p.Bytes) || len(p.Bytes) > n.interfaces[p.Interface].mtu {
						t.Errorf("sent %d bytes that say %d by a link of %d", len(p.Bytes), len(q.bytes), n.interfaces[p.Interface].mtu)
					}
					if p.Origin == OriginForwarded && p.Interface == 1 && q.key.Src.Is4() && prefix("10.2.0.0/24").Contains(q.key.Src) && prefix("10.1.0.0/24").Contains(q.key.Dst) {
						t.Errorf("sent in clear: %v", q.key)
					}
				}
			}
		}
		for range 8 {
			at, _, ok := n.Deadline()
			if !ok {
				break
			}
			now = max(now, at)
			n.Handle(now, Timeout{})
		}
	})
}

// repaired puts right what a router checks first.
func repaired(b []byte, iface int) {
	if len(b) >= 20 && b[0]>>4 == 4 {
		b[0] = 0x45
		b[2], b[3] = byte(len(b)>>8), byte(len(b))
		copy(b[12:], [][]byte{{10, 2, 0, 9}, {198, 51, 100, 1}}[iface])
		var p packet
		p.bytes = b
		p.refreshChecksum(b)
	}
	if len(b) >= 40 && b[0]>>4 == 6 {
		b[4], b[5] = byte((len(b)-40)>>8), byte(len(b)-40)
		copy(b[8:], addr([]string{"2001:db8:2::9", "2001:db8:ff::1"}[iface]).AsSlice())
	}
}
