package wire

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// octets draws a slice of at most n octets.
func octets(t *rapid.T, atLeast, atMost int) []byte {
	return rapid.SliceOfN(rapid.Byte(), atLeast, atMost).Draw(t, "octets")
}

// drawPayload draws any payload that may stand in the middle of a chain.
func drawPayload(t *rapid.T) Payload {
	u8 := func(name string) uint8 { return rapid.Uint8().Draw(t, name) }
	u16 := func(name string) uint16 { return rapid.Uint16().Draw(t, name) }
	switch rapid.SampledFrom([]PayloadType{
		PayloadSA, PayloadKE, PayloadIDi, PayloadCert, PayloadCertReq, PayloadAuth, PayloadNonce,
		PayloadNotify, PayloadDelete, PayloadVendorID, PayloadTSi, PayloadCP, PayloadEAP, PayloadNone,
	}).Draw(t, "payload") {
	case PayloadSA:
		return &SA{Proposals: rapid.SliceOfN(rapid.Custom(drawProposal), 1, 3).Draw(t, "proposals")}
	case PayloadKE:
		return &KE{Group: u16("group"), Data: octets(t, 0, 40)}
	case PayloadIDi:
		return &ID{
			Kind:   rapid.SampledFrom([]PayloadType{PayloadIDi, PayloadIDr}).Draw(t, "kind"),
			IDType: rapid.SampledFrom([]IDType{IDTypeKeyID, IDTypeFQDN, IDTypeDERASN1DN, 99}).Draw(t, "ID type"),
			Data:   octets(t, 1, 40),
		}
	case PayloadCert:
		return &Cert{Encoding: CertEncoding(u8("encoding")), Data: octets(t, 0, 40)}
	case PayloadCertReq:
		return &CertReq{Encoding: CertEncoding(u8("encoding")), Authority: octets(t, 0, 40)}
	case PayloadAuth:
		return &Auth{Method: AuthMethod(u8("method")), Data: octets(t, 0, 40)}
	case PayloadNonce:
		return &Nonce{Data: octets(t, nonceBytesMin, nonceBytesMax)}
	case PayloadNotify:
		return &Notify{Protocol: ProtocolID(u8("protocol")), SPI: octets(t, 0, 8), Kind: NotifyType(u16("kind")), Data: octets(t, 0, 40)}
	case PayloadDelete:
		spi := rapid.SliceOfN(rapid.Byte(), 4, 4)
		return &Delete{Protocol: ProtocolESP, SPISize: 4, SPIs: rapid.SliceOfN(spi, 0, 4).Draw(t, "SPIs")}
	case PayloadVendorID:
		return &VendorID{Data: octets(t, 0, 40)}
	case PayloadTSi:
		return &TS{Initiator: rapid.Bool().Draw(t, "initiator"), Selectors: rapid.SliceOfN(rapid.Custom(drawSelector), 1, 4).Draw(t, "selectors")}
	case PayloadCP:
		attribute := rapid.Custom(func(t *rapid.T) ConfigAttribute {
			return ConfigAttribute{Type: ConfigAttributeType(rapid.Uint16Range(0, 0x7fff).Draw(t, "type")), Value: octets(t, 0, 20)}
		})
		return &CP{Kind: ConfigType(u8("kind")), Attributes: rapid.SliceOfN(attribute, 0, 4).Draw(t, "attributes")}
	case PayloadEAP:
		return &EAP{Code: rapid.SampledFrom([]uint8{EAPRequest, EAPResponse, 5}).Draw(t, "code"), Identifier: u8("identifier"), Data: octets(t, 1, 40)}
	}
	return &Unknown{PayloadType: PayloadType(rapid.Uint8Range(54, 255).Draw(t, "type")), Data: octets(t, 0, 40)}
}

func drawProposal(t *rapid.T) Proposal {
	p := Proposal{Number: rapid.Uint8().Draw(t, "number")}
	switch p.Protocol = rapid.SampledFrom([]ProtocolID{ProtocolIKE, ProtocolESP, 9}).Draw(t, "protocol"); p.Protocol {
	case ProtocolESP:
		p.SPI = octets(t, 4, 4)
	case ProtocolIKE:
		p.SPI = octets(t, 8, 8)
	default:
		p.SPI = octets(t, 0, 255)
	}
	p.Transforms = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Transform {
		return Transform{
			Type: TransformType(rapid.Uint8().Draw(t, "type")), ID: rapid.Uint16().Draw(t, "ID"), KeyBits: rapid.Uint16().Draw(t, "key bits"),
			Attributes: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Attribute {
				a := Attribute{Type: rapid.Uint16Range(15, 0x7fff).Draw(t, "attribute"), Short: rapid.Bool().Draw(t, "short")}
				if a.Short {
					a.Value = octets(t, 2, 2)
				} else {
					a.Value = octets(t, 0, 20)
				}
				return a
			}), 0, 2).Draw(t, "attributes"),
		}
	}), 0, 4).Draw(t, "transforms")
	return p
}

func drawSelector(t *rapid.T) Selector {
	s := Selector{Type: rapid.SampledFrom([]TSType{TSIPv4AddrRange, TSIPv6AddrRange, TSSecLabel, 200}).Draw(t, "type"), IPProtocol: rapid.Uint8().Draw(t, "protocol")}
	n := s.addrBytes()
	if n == 0 {
		s.Data = octets(t, 0, 20)
		return s
	}
	s.Start, _ = netip.AddrFromSlice(octets(t, n, n))
	s.End, _ = netip.AddrFromSlice(octets(t, n, n))
	if s.End.Less(s.Start) {
		s.Start, s.End = s.End, s.Start
	}
	s.StartPort = rapid.Uint16().Draw(t, "start port")
	s.EndPort = rapid.Uint16Range(s.StartPort, 65535).Draw(t, "end port")
	if rapid.Bool().Draw(t, "opaque") {
		s.StartPort, s.EndPort = 65535, 0
	}
	return s
}

// Whatever payloads a machine puts together, its peer reads the same ones.
func TestAnyMessageRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &Message{
			Header: Header{
				InitiatorSPI: SPI(octets(t, 8, 8)), ResponderSPI: SPI(octets(t, 8, 8)), MajorVersion: 2,
				Exchange: ExchangeType(rapid.Uint8().Draw(t, "exchange")), Flags: Flags(rapid.Uint8().Draw(t, "flags")),
				MessageID: rapid.Uint32().Draw(t, "message ID"),
			},
			Payloads: rapid.SliceOfN(rapid.Custom(drawPayload), 0, 8).Draw(t, "payloads"),
		}
		b, err := m.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		want := *m
		want.Header.NextPayload, want.Header.Length = FirstType(m.Payloads), uint32(len(b))
		if diff := cmp.Diff(&want, got, equalPayloads); diff != "" {
			t.Fatalf("read back (-want +got):\n%s", diff)
		}
		for _, p := range got.Payloads {
			if Describe(p) == "" {
				t.Fatalf("%s has no text", p.Type())
			}
		}
	})
}
