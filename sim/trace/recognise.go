package trace

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"github.com/dchest/siphash"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/ike/wire"
)

// IP protocol numbers (IANA).
const (
	protocolICMP   = uint8(header.ICMPv4ProtocolNumber)
	protocolTCP    = uint8(header.TCPProtocolNumber)
	protocolUDP    = uint8(header.UDPProtocolNumber)
	protocolESP    = 50
	protocolAH     = 51
	protocolICMPv6 = uint8(header.ICMPv6ProtocolNumber)
)

const (
	portIKE     = 500  // RFC 7296 §2
	portIKENATT = 4500 // RFC 7296 §2.23
	// portEphemeralMin is the first port that systems draw for clients (Linux; IANA's range begins later).
	portEphemeralMin = 32768
)

// recognise says what a datagram is. It counts nothing but SAs and conversations, so that a quotation in an
// ICMP error can be recognised too.
func (c *Classifier) recognise(d datagram) trait {
	switch d.protocol {
	case protocolESP:
		if len(d.payload) >= 8 {
			return c.esp("esp", d, d.payload)
		}
	case protocolAH:
		if len(d.payload) >= 12 {
			return c.esp("ah", d, d.payload[4:]) // RFC 4302 §2: the SPI follows next header, length, reserved
		}
	case protocolUDP:
		if len(d.payload) >= header.UDPMinimumSize {
			return c.udp(d, header.UDP(d.payload))
		}
	case protocolTCP:
		if len(d.payload) >= header.TCPMinimumSize || d.quoted && len(d.payload) >= 8 {
			return c.tcp(d, header.TCP(d.payload))
		}
	case protocolICMP:
		if len(d.payload) >= header.ICMPv4MinimumSize {
			return c.icmpv4(d, header.ICMPv4(d.payload))
		}
	case protocolICMPv6:
		if len(d.payload) >= header.ICMPv6MinimumSize {
			return c.icmpv6(d, header.ICMPv6(d.payload))
		}
	}
	return c.other(d, nil, d.payload)
}

// other is a datagram without ports, known by its content.
func (c *Classifier) other(d datagram, head, content []byte) trait {
	if d.quoted {
		content = nil // how much is quoted is the quoter's choice
	}
	conv, way := c.conversation(conversationKey{
		protocol: d.protocol,
		ports:    portsNone,
		a:        netip.AddrPortFrom(d.src, 0),
		b:        netip.AddrPortFrom(d.dst, 0),
	})
	return trait{flow: conv.flow[way], content: c.hash(head, content)}
}

// udp tells IKE and encapsulated ESP from the rest by the port, the destination's first.
func (c *Classifier) udp(d datagram, h header.UDP) trait {
	content := d.payload[header.UDPMinimumSize:]
	if !d.cut && int(h.Length()) >= header.UDPMinimumSize && int(h.Length()) < len(d.payload) {
		content = d.payload[header.UDPMinimumSize:h.Length()]
	}
	for _, port := range [...]uint16{h.DestinationPort(), h.SourcePort()} {
		switch port {
		case portIKE:
			if t, ok := c.ike(d, content); ok {
				return t
			}
		case portIKENATT:
			if len(content) < 8 {
				continue // a NAT-keepalive (RFC 3948 §2.3) is like any other datagram
			}
			if [wire.NonESPMarkerBytes]byte(content) != wire.NonESPMarker {
				return c.esp("esp", d, content)
			}
			if t, ok := c.ike(d, content[wire.NonESPMarkerBytes:]); ok {
				return t
			}
		}
	}
	conv, way := c.conversation(conversationKey{
		protocol: protocolUDP,
		ports:    portsEphemeral,
		a:        netip.AddrPortFrom(d.src, h.SourcePort()),
		b:        netip.AddrPortFrom(d.dst, h.DestinationPort()),
	})
	if d.quoted {
		content = nil
	}
	return trait{flow: conv.flow[way], content: c.hash(nil, content)}
}

// tcp is known by flags, data and the sequence numbers' distance from the first ones seen. Of a quotation only
// the first eight bytes are sure to be there, ports and sequence number.
func (c *Classifier) tcp(d datagram, h header.TCP) trait {
	conv, way := c.conversation(conversationKey{
		protocol: protocolTCP,
		ports:    portsEphemeral,
		a:        netip.AddrPortFrom(d.src, h.SourcePort()),
		b:        netip.AddrPortFrom(d.dst, h.DestinationPort()),
	})
	var head [9]byte
	binary.BigEndian.PutUint32(head[0:], conv.since(way, h.SequenceNumber()))
	if d.quoted {
		return trait{flow: conv.flow[way], content: c.hash(head[:4], nil)}
	}
	if h.Flags().Contains(header.TCPFlagAck) {
		binary.BigEndian.PutUint32(head[4:], conv.since(1-way, h.AckNumber()))
	}
	head[8] = byte(h.Flags())
	var content []byte
	if at := int(h.DataOffset()); at >= header.TCPMinimumSize && at <= len(d.payload) {
		content = d.payload[at:]
	}
	return trait{flow: conv.flow[way], content: c.hash(head[:], content)}
}

func (c *Classifier) icmpv4(d datagram, h header.ICMPv4) trait {
	head := []byte{byte(h.Type()), byte(h.Code())}
	switch h.Type() {
	case header.ICMPv4Echo, header.ICMPv4EchoReply, header.ICMPv4Timestamp, header.ICMPv4TimestampReply,
		header.ICMPv4InfoRequest, header.ICMPv4InfoReply:
		return c.echo(d, h.Ident(), head, d.payload[6:]) // from the sequence number on
	case header.ICMPv4DstUnreachable, header.ICMPv4SrcQuench, header.ICMPv4Redirect,
		header.ICMPv4TimeExceeded, header.ICMPv4ParamProblem:
		return c.icmpError(d, append(head, d.payload[4:8]...), d.payload[header.ICMPv4MinimumSize:])
	}
	return c.other(d, head, d.payload[4:])
}

func (c *Classifier) icmpv6(d datagram, h header.ICMPv6) trait {
	head := []byte{byte(h.Type()), byte(h.Code())}
	switch {
	case h.Type() == header.ICMPv6EchoRequest || h.Type() == header.ICMPv6EchoReply:
		return c.echo(d, h.Ident(), head, d.payload[6:])
	case h.Type() < 128: // RFC 4443 §2.1
		return c.icmpError(d, append(head, d.payload[4:8]...), d.payload[header.ICMPv6MinimumSize:])
	}
	return c.other(d, head, d.payload[4:])
}

// echo is a query or answer with an identifier.
func (c *Classifier) echo(d datagram, ident uint16, head, content []byte) trait {
	conv, way := c.conversation(conversationKey{
		protocol: d.protocol,
		ports:    portsIdentifier,
		a:        netip.AddrPortFrom(d.src, ident),
		b:        netip.AddrPortFrom(d.dst, ident),
	})
	if d.quoted {
		content = content[:min(2, len(content))] // the sequence number
	}
	return trait{flow: conv.flow[way], content: c.hash(head, content)}
}

// icmpError is known by what it says and by what the packet is that it quotes.
func (c *Classifier) icmpError(d datagram, head, quotation []byte) trait {
	q, ok := parseQuotedIP(quotation)
	if d.quoted || !ok || q.offset > 0 {
		return c.other(d, head, nil) // no error answers an error (RFC 1122 §3.2.2)
	}
	t := c.recognise(q)
	head = binary.BigEndian.AppendUint64(head, t.ordinal)
	head = binary.BigEndian.AppendUint64(head, t.content)
	return c.other(d, head, []byte(t.flow))
}

// ports says what the port fields of a conversationKey hold.
type ports uint8

const (
	portsNone       ports = iota
	portsEphemeral        // ports, of which the ephemeral ones are drawn at random
	portsIdentifier       // an ICMP identifier, drawn at random
)

// conversationKey is a conversation as the packets show it. Its two ends are in order.
type conversationKey struct {
	protocol uint8
	ports    ports
	a, b     netip.AddrPort
}

// conversation is what is remembered of one.
type conversation struct {
	flow  [2]string // from a to b, from b to a
	first [2]uint32 // the first TCP sequence number in either direction
	begun [2]bool
}

// since returns a TCP sequence number's distance from the first one of its direction, be it seen there or
// acknowledged by the other side.
func (conv *conversation) since(way int, sequence uint32) uint32 {
	if !conv.begun[way] {
		conv.begun[way], conv.first[way] = true, sequence
	}
	return sequence - conv.first[way]
}

// conversation finds the conversation that a packet belongs to and tells its direction: 0 if it goes from the
// lesser end to the greater.
func (c *Classifier) conversation(key conversationKey) (conv *conversation, way int) {
	if key.b.Compare(key.a) < 0 {
		key.a, key.b = key.b, key.a
		way = 1
	}
	if conv, ok := c.conversations.get(key); ok {
		return conv, way
	}
	end := func(p netip.AddrPort) (text string, random bool) {
		text = p.Addr().String()
		switch {
		case key.ports == portsEphemeral && p.Port() >= portEphemeralMin:
			return text + " port *", true
		case key.ports == portsEphemeral:
			return text + " port " + strconv.Itoa(int(p.Port())), false
		}
		return text, key.ports == portsIdentifier
	}
	a, randomA := end(key.a)
	b, randomB := end(key.b)
	protocol := "protocol " + strconv.Itoa(int(key.protocol))
	number := ""
	if randomA || randomB {
		number = " #" + strconv.FormatUint(c.number(protocol, a, b), 10)
	}
	conv = &conversation{flow: [2]string{
		protocol + " " + a + ">" + b + number,
		protocol + " " + b + ">" + a + number,
	}}
	c.conversations.put(key, conv)
	return conv, way
}

// hash returns a number for some bytes, never 0. SipHash stands here for any good hash; its key is no secret.
func (c *Classifier) hash(head, content []byte) uint64 {
	if c.noting {
		return 1
	}
	c.scratch = append(c.scratch[:0], byte(len(head)))
	c.scratch = append(c.scratch, head...)
	c.scratch = append(c.scratch, content...)
	return max(1, siphash.Hash(0x696b656c61620001, 0x636f6e74656e7400, c.scratch))
}
