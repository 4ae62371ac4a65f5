package wire

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"
)

// descriptionBytesMax bounds a description: a peer decides what a payload holds.
const descriptionBytesMax = 256

// Describe is a payload as a ladder diagram shows it, without secrets or long
// values: "N(NAT_DETECTION_SOURCE_IP)", "KE(x25519)", "TSi[10.1.0.0/16]",
// "D(ESP 1 SPI)". A text of more than 256 octets is cut and ends in "…".
func Describe(p Payload) string {
	const cut = "…"
	s := describe(p)
	if len(s) <= descriptionBytesMax {
		return s
	}
	end := descriptionBytesMax - len(cut)
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + cut
}

func describe(p Payload) string {
	switch p := p.(type) {
	case *SA:
		return fmt.Sprintf("SA(%s)", count(len(p.Proposals), "proposal"))
	case *KE:
		return fmt.Sprintf("KE(%s)", groupName(p.Group))
	case *ID:
		return fmt.Sprintf("%s(%s)", p.Kind, p)
	case *Cert:
		return fmt.Sprintf("CERT(%s)", p.Encoding)
	case *CertReq:
		return fmt.Sprintf("CERTREQ(%s)", p.Encoding)
	case *Auth:
		return fmt.Sprintf("AUTH(%s)", p.Method)
	case *Notify:
		return describeNotify(p)
	case *Delete:
		if p.Protocol == ProtocolIKE {
			return "D(IKE)"
		}
		return fmt.Sprintf("D(%s %s)", p.Protocol, count(len(p.SPIs), "SPI"))
	case *VendorID:
		if len(p.Data) > 0 && printable(p.Data) {
			return fmt.Sprintf("V(%s)", p.Data)
		}
		return fmt.Sprintf("V(%s)", count(len(p.Data), "octet"))
	case *TS:
		var parts []string
		for _, s := range p.Selectors {
			parts = append(parts, s.String())
		}
		return fmt.Sprintf("%s[%s]", p.Type(), strings.Join(parts, " "))
	case *Encrypted:
		return fmt.Sprintf("SK(%s)", count(len(p.Body), "octet"))
	case *EncryptedFragment:
		return fmt.Sprintf("SKF(%d/%d)", p.Number, p.Total)
	case *CP:
		var parts []string
		for _, a := range p.Attributes {
			parts = append(parts, a.Type.String())
		}
		return fmt.Sprintf("CP(%s)", strings.Join(append([]string{p.Kind.String()}, parts...), " "))
	case *EAP:
		return fmt.Sprintf("EAP(%s)", eapName(p.Code))
	case *Unknown:
		return fmt.Sprintf("payload %d(%s)", uint8(p.PayloadType), count(len(p.Data), "octet"))
	}
	return p.Type().String() // Nonce: "Ni,Nr", of which only the exchange knows the one
}

// describeNotify adds what the notification is about, where that is short.
func describeNotify(p *Notify) string {
	switch {
	case p.Kind == InvalidKEPayload && len(p.Data) == 2:
		return fmt.Sprintf("N(%s %s)", p.Kind, groupName(binary.BigEndian.Uint16(p.Data)))
	case p.Kind == UnsupportedCriticalPayload && len(p.Data) == 1:
		return fmt.Sprintf("N(%s %d)", p.Kind, p.Data[0])
	case len(p.SPI) > 0:
		return fmt.Sprintf("N(%s %s %x)", p.Kind, p.Protocol, p.SPI)
	}
	return fmt.Sprintf("N(%s)", p.Kind)
}

func eapName(code uint8) string {
	switch code {
	case EAPRequest:
		return "Request"
	case EAPResponse:
		return "Response"
	case EAPSuccess:
		return "Success"
	case EAPFailure:
		return "Failure"
	}
	return fmt.Sprintf("code %d", code)
}

// count is "1 octet", "2 octets".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
