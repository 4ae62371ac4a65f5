package esp

// KeepaliveOctet is the whole payload of a NAT-keepalive (RFC 3948 §2.3).
const KeepaliveOctet byte = 0xff

// nonESPMarkerBytes is where IKE has zeros and ESP its SPI (RFC 3948 §2.2).
const nonESPMarkerBytes = 4

// IsNonESP reports whether the payload of a UDP datagram on port 4500 begins
// with the non-ESP marker: an IKE message follows it (RFC 3948 §2.2).
func IsNonESP(payload []byte) bool {
	return len(payload) >= nonESPMarkerBytes && getUint32(payload) == 0
}

// IsKeepalive reports whether the payload of a UDP datagram on port 4500 is a
// NAT-keepalive, which a receiver ignores (RFC 3948 §2.3).
func IsKeepalive(payload []byte) bool {
	return len(payload) == 1 && payload[0] == KeepaliveOctet
}
