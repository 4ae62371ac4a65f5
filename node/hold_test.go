package node

import (
	"testing"
	"time"

	"github.com/ikelab/ikelab/ike"
)

// A responder installs its association before it sends the response that tells the
// peer of it. What waited at the responder must not overtake that response.
func TestHeldPacketsFollowTheResponse(t *testing.T) {
	n := site(t, [2]*Node{gateway(t, 0, startAction(ike.StartTrap)), gateway(t, 1, startAction(ike.StartTrap))})
	n.lose = func(from place, _ PacketOut) bool { return from == place{gwB, 1} }
	n.do(hostB, EchoOut{Dst: addr("10.1.0.9"), ID: 2, Payload: pattern(200), MayFragment: true}) // B's request is lost, its packet waits
	n.lose = nil
	n.do(hostA, EchoOut{Dst: addr("10.2.0.9"), ID: 1, Payload: pattern(200), MayFragment: true})
	for _, side := range []int{gwA, gwB} {
		for _, r := range n.reasons(side) {
			if r == DropESPNoAssociation {
				t.Errorf("gateway %d got ESP before it knew of the association", side)
			}
		}
	}
	n.run(time.Second)
	for _, host := range []int{hostA, hostB} {
		if got := n.deliveries(host); len(got) != 1 || got[0].Kind != DeliverEchoReply {
			t.Errorf("host %d got %d replies, want the one to its held request", host, len(got))
		}
	}
}

// A peer whose ESP came a moment ago is not asked for a sign of life: the delay counts
// from the last packet, although the machine hears of packets once a second.
func TestLivenessCountsFromTheLastPacket(t *testing.T) {
	dpd := func(c *Config) { c.IKE.Connections[0].DPDDelay = 10 * time.Second }
	n := negotiated(t, dpd, nil)
	n.run(4 * time.Second)
	for range 2 { // the second one lies within the second in which nothing is told
		if !n.ping(hostA, "10.2.0.9", 100) {
			t.Fatal("no reply")
		}
		n.run(n.now + 900*time.Millisecond)
	}
	last := n.now - 900*time.Millisecond
	n.run(30 * time.Second)
	asked := n.events(gwA, EventKind(ike.RecordLiveness))
	if len(asked) == 0 {
		t.Fatal("the peer was never asked")
	}
	for _, l := range n.log {
		if l.Output == Output(asked[0]) && l.at != last+10*time.Second {
			t.Errorf("the peer was asked at %v, want 10 s after the last packet at %v", l.at, last)
		}
	}
}

// What was sent through a tunnel in UDP is told to the machine, which then needs no NAT
// keepalive (RFC 3948 §4); what was sent without UDP holds no mapping open.
func TestESPSentIsTold(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		told   int
	}{{"in UDP", encap, 1}, {"bare", nil, 0}} {
		t.Run(c.name, func(t *testing.T) {
			n := negotiated(t, c.change, nil)
			if !n.ping(hostA, "10.2.0.9", 100) {
				t.Fatal("no reply")
			}
			gw, told := n.nodes[gwA], 0
			gw.tellESP()
			for _, ev := range gw.ikeEvents {
				if ev, is := ev.(ike.ESPSent); is {
					told++
					if ev.At != n.now || ev.SPI != gw.associations.all[0].spiIn {
						t.Errorf("told %+v at %v", ev, n.now)
					}
				}
			}
			if told != c.told {
				t.Errorf("told %d times, want %d", told, c.told)
			}
			gw.ikeEvents = nil
			if gw.tellESP(); len(gw.ikeEvents) != 0 {
				t.Errorf("told again: %v", gw.ikeEvents)
			}
		})
	}
}
