//go:build linux

package host

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestIKEAnswersToWhereItIsAsked: a request from any port is answered to that port,
// from the address and port that it came to (RFC 7296 §2.11), of several too.
func TestIKEAnswersToWhereItIsAsked(t *testing.T) {
	w := newWorld(t)
	const second = "198.51.100.22"
	w.address(w.gateway[1], "wan", second+"/24")
	wan := &w.config[1].Node.Interfaces[1]
	wan.Addresses = append(wan.Addresses, prefix(second+"/24"))
	w.start(1)
	// A request of version 3 is answered in the clear with INVALID_MAJOR_VERSION.
	request := make([]byte, 200)
	copy(request, "initiate")
	request[17], request[18], request[19] = 0x30, 34, 0x08
	binary.BigEndian.PutUint32(request[24:], uint32(len(request)))
	for _, to := range []string{"198.51.100.2:500", second + ":500", "198.51.100.2:4500", second + ":4500"} {
		end := netip.MustParseAddrPort(to)
		octets := request
		if end.Port() == portNATT {
			octets = append(make([]byte, 4), request...)
		}
		in(t, w.gateway[0], func() error {
			c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 4321})
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := c.WriteToUDPAddrPort(octets, end); err != nil {
				return err
			}
			if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				return err
			}
			answer := make([]byte, 1500)
			size, from, err := c.ReadFromUDPAddrPort(answer)
			if err != nil {
				return fmt.Errorf("no answer from %s: %w", end, err)
			}
			if from != end || !bytes.Contains(answer[:size], []byte("initiate")) {
				t.Errorf("%s is asked, %s answers %x", end, from, answer[:size])
			}
			return nil
		})
	}
}
