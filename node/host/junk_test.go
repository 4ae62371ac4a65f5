//go:build linux

package host

import (
	"net"
	"testing"

	"github.com/ikelab/ikelab/node"
)

// TestJunkAtPorts: what comes to a port of IKE and is neither IKE nor ESP is a packet
// that goes nowhere, at either port, and never IKE.
func TestJunkAtPorts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(0)
	for _, to := range []struct {
		address string
		payload []byte
		reason  node.DropReason
	}{
		{"198.51.100.1:500", make([]byte, 64), node.DropIKEMalformed},
		{"198.51.100.1:500", []byte("junk"), node.DropIKEMalformed},
		{"198.51.100.1:500", nil, node.DropIKEMalformed},
		{"198.51.100.1:4500", make([]byte, 68), node.DropIKEMalformed},
		{"198.51.100.1:4500", nil, node.DropESPMalformed},
		{"198.51.100.1:4500", []byte("junk that is long enough"), node.DropESPNoAssociation},
		{"[2001:db8:ff::1]:500", make([]byte, 64), node.DropIKEMalformed},
		{"[2001:db8:ff::1]:4500", make([]byte, 68), node.DropIKEMalformed},
	} {
		before := w.seen[0].count(node.EventPacketDropped, to.reason)
		in(t, w.gateway[1], func() error {
			c, err := net.Dial("udp", to.address)
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Write(to.payload)
			return err
		})
		w.seen[0].wait(t, before+1, node.EventPacketDropped, to.reason)
	}
	if n := w.seen[0].count("message-dropped", ""); n > 0 {
		t.Errorf("%d of it were taken for IKE", n)
	}
}
