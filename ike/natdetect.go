package ike

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"net/netip"

	"github.com/ikelab/ikelab/ike/wire"
)

// natState is who is behind a NAT, as IKE_SA_INIT found out.
type natState struct {
	supported bool // both sent NAT_DETECTION notifications
	local     bool // the peer saw this end under another address
	remote    bool // this end sees the peer under another address
	forced    bool // Connection.Encap
}

// encap reports whether ESP is encapsulated in UDP (RFC 7296 §2.23).
func (n natState) encap() bool { return n.supported && (n.local || n.remote || n.forced) }

// natHash is the data of NAT_DETECTION_SOURCE_IP and NAT_DETECTION_DESTINATION_IP:
// SHA-1 of the SPIs as in the header, the address and the port (RFC 7296 §2.23).
func natHash(spiI, spiR wire.SPI, end netip.AddrPort) []byte {
	b := make([]byte, 0, 8+8+16+2)
	b = append(b, spiI[:]...)
	b = append(b, spiR[:]...)
	b = append(b, end.Addr().Unmap().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, end.Port())
	sum := sha1.Sum(b)
	return sum[:]
}

// natPayloads are both notifications of a message from local to remote. With
// force, the source is hashed as address and port zero: no receiver can see that,
// so it must conclude that there is a NAT in front of the sender.
func natPayloads(spiI, spiR wire.SPI, local, remote netip.AddrPort, force bool) []wire.Payload {
	source := local
	if force {
		source = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
		if local.Addr().Unmap().Is6() {
			source = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
		}
	}
	return []wire.Payload{
		&wire.Notify{Kind: wire.NATDetectionSourceIP, Data: natHash(spiI, spiR, source)},
		&wire.Notify{Kind: wire.NATDetectionDestinationIP, Data: natHash(spiI, spiR, remote)},
	}
}

// detectNAT compares the notifications of a message with the addresses it was
// received with. A sender with several addresses may send several source hashes.
func detectNAT(ps []wire.Payload, spiI, spiR wire.SPI, local, remote netip.AddrPort) natState {
	wantSource, wantDestination := natHash(spiI, spiR, remote), natHash(spiI, spiR, local)
	sources, sourceMatches, destinations, destinationMatches := 0, false, 0, false
	for _, p := range ps {
		n, ok := p.(*wire.Notify)
		if !ok {
			continue
		}
		switch n.Kind {
		case wire.NATDetectionSourceIP:
			if sources++; sources <= natSourceHashesMax {
				sourceMatches = sourceMatches || bytes.Equal(n.Data, wantSource)
			}
		case wire.NATDetectionDestinationIP:
			destinations++
			destinationMatches = destinationMatches || bytes.Equal(n.Data, wantDestination)
		}
	}
	if sources == 0 || destinations == 0 {
		return natState{}
	}
	return natState{supported: true, local: !destinationMatches, remote: !sourceMatches}
}
