package decode

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// Cuts of what a line tells of one payload.
const (
	proposalsShownMax = 8
	selectorsShownMax = 16
	attributesMax     = 16
	textOctetsMax     = 64
)

// notation is a payload in a list for programs: its type as RFC 7296 §3.2 writes
// it, "Nonce", and notifications with their names.
func notation(p wire.Payload) string {
	if n, ok := p.(*wire.Notify); ok {
		return "N(" + notifyName(n.Kind) + ")"
	}
	return payloadName(p.Type())
}

// describe is a payload with what is worth telling about it. All text of the
// network's is quoted.
func describe(h wire.Header, p wire.Payload) string {
	switch p := p.(type) {
	case *wire.SA:
		return "SA[" + proposals(p.Proposals) + "]"
	case *wire.ID:
		return fmt.Sprintf("%s(%s)", p.Kind, identity(p))
	case *wire.Nonce:
		if h.IsResponse() {
			return "Nr"
		}
		return "Ni"
	case *wire.Cert:
		return certificate(p)
	case *wire.CertReq:
		if n := len(p.Authority); n > 0 && n%20 == 0 && p.Encoding == wire.CertX509Signature {
			return fmt.Sprintf("CERTREQ(%s %s)", p.Encoding, count(n/20, "authority", "authorities"))
		}
		return fmt.Sprintf("CERTREQ(%s)", p.Encoding)
	case *wire.VendorID:
		return "V(" + text(p.Data) + ")"
	case *wire.Delete:
		return deletion(p)
	case *wire.TS:
		var parts []string
		for i, s := range p.Selectors {
			if i == selectorsShownMax {
				parts = append(parts, fmt.Sprintf("… %d more", len(p.Selectors)-i))
				break
			}
			parts = append(parts, s.String())
		}
		return fmt.Sprintf("%s[%s]", p.Type(), strings.Join(parts, " "))
	case *wire.CP:
		return configuration(p)
	case *wire.EAP:
		return eap(p)
	case *wire.Notify:
		return notification(p)
	}
	// What is left shows names and numbers alone.
	return wire.Describe(p)
}

// proposals lists the proposals of an SA payload: "IKE aes256gcm16-prfsha384-x25519".
func proposals(ps []wire.Proposal) string {
	var parts []string
	for i, p := range ps {
		if i == proposalsShownMax {
			parts = append(parts, fmt.Sprintf("… %d more", len(ps)-i))
			break
		}
		part := p.Protocol.String()
		if len(p.SPI) > 0 {
			part += " 0x" + hex.EncodeToString(p.SPI)
		}
		parts = append(parts, part+" "+proposalName(negotiated(p)))
	}
	return strings.Join(parts, " | ")
}

// proposalName joins a proposal's transforms as swanctl.conf does.
func proposalName(p suite.Proposal) string {
	var names []string
	for _, t := range p.Transforms {
		names = append(names, transformName(t))
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, "-")
}

// identity is an identity, quoted unless it is plain.
func identity(p *wire.ID) string {
	switch p.IDType {
	case wire.IDTypeFQDN, wire.IDTypeRFC822Addr:
		return text(p.Data)
	case wire.IDTypeKeyID:
		return "keyid:" + text(p.Data)
	}
	return safe(p.String())
}

// text is octets that are probably text: quoted unless plain, in hexadecimal
// digits unless printable.
func text(b []byte) string {
	tail := ""
	if len(b) > textOctetsMax {
		b, tail = b[:textOctetsMax], "…"
	}
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			return "0x" + hex.EncodeToString(b) + tail
		}
	}
	if len(b) == 0 {
		return `""`
	}
	return safe(string(b)) + tail
}

// certificate is a CERT payload with the certificate's subject.
func certificate(p *wire.Cert) string {
	if p.Encoding == wire.CertX509Signature {
		if c, err := x509.ParseCertificate(p.Data); err == nil {
			subject := &wire.ID{IDType: wire.IDTypeDERASN1DN, Data: c.RawSubject}
			return fmt.Sprintf("CERT(%s %s)", p.Encoding, safe(subject.String()))
		}
		return fmt.Sprintf("CERT(%s, %s that are no certificate)", p.Encoding, count(len(p.Data), "octet", "octets"))
	}
	return fmt.Sprintf("CERT(%s, %s)", p.Encoding, count(len(p.Data), "octet", "octets"))
}

// deletion names the SPIs that are deleted.
func deletion(p *wire.Delete) string {
	parts := []string{p.Protocol.String()}
	for i, spi := range p.SPIs {
		if i == attributesMax {
			parts = append(parts, fmt.Sprintf("… %d more", len(p.SPIs)-i))
			break
		}
		parts = append(parts, "0x"+hex.EncodeToString(spi))
	}
	return "D(" + strings.Join(parts, " ") + ")"
}

// configuration shows attributes with their values.
func configuration(p *wire.CP) string {
	parts := []string{p.Kind.String()}
	for i, a := range p.Attributes {
		if i == attributesMax {
			parts = append(parts, fmt.Sprintf("… %d more", len(p.Attributes)-i))
			break
		}
		part := a.Type.String()
		if value := attribute(a); value != "" {
			part += "=" + value
		}
		parts = append(parts, part)
	}
	return "CP(" + strings.Join(parts, " ") + ")"
}

func attribute(a wire.ConfigAttribute) string {
	if len(a.Value) == 0 {
		return ""
	}
	switch a.Type {
	case wire.ConfigInternalIP4Address, wire.ConfigInternalIP4Netmask, wire.ConfigInternalIP4DNS, wire.ConfigInternalIP4NBNS,
		wire.ConfigInternalIP4DHCP, wire.ConfigInternalIP6DNS, wire.ConfigInternalIP6DHCP, wire.ConfigPCSCFIP4Address, wire.ConfigPCSCFIP6Address:
		if addr, ok := netip.AddrFromSlice(a.Value); ok {
			return addr.String()
		}
	case wire.ConfigInternalIP6Address, wire.ConfigInternalIP6Subnet, wire.ConfigInternalIP6Prefix:
		if len(a.Value) == 17 {
			return netip.PrefixFrom(netip.AddrFrom16([16]byte(a.Value)), min(int(a.Value[16]), 128)).String()
		}
	case wire.ConfigInternalIP4Subnet:
		if len(a.Value) == 8 {
			return netip.AddrFrom4([4]byte(a.Value)).String() + "/" + netip.AddrFrom4([4]byte(a.Value[4:])).String()
		}
	case wire.ConfigApplicationVersion, wire.ConfigInternalDNSDomain:
		return text(a.Value)
	}
	return "0x" + hex.EncodeToString(a.Value[:min(len(a.Value), textOctetsMax)])
}

// eapTypes are the EAP methods that are met with IKEv2 (IANA, EAP registry).
var eapTypes = map[byte]string{
	1: "Identity", 2: "Notification", 3: "Nak", 4: "MD5-Challenge", 6: "GTC", 13: "TLS", 18: "SIM", 21: "TTLS",
	23: "AKA", 25: "PEAP", 26: "MSCHAPv2", 50: "AKA'", 52: "PWD", 55: "TEAP",
}

func eap(p *wire.EAP) string {
	name := strings.TrimSuffix(strings.TrimPrefix(wire.Describe(p), "EAP("), ")")
	if len(p.Data) > 0 {
		method, ok := eapTypes[p.Data[0]]
		if !ok {
			method = fmt.Sprintf("type %d", p.Data[0])
		}
		name += " " + method
		if p.Data[0] == 1 && p.Code == wire.EAPResponse {
			name += " " + text(p.Data[1:])
		}
	}
	return "EAP(" + name + ")"
}

// count is a number with its noun.
func count(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
