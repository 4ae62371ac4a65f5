package decode

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// remark adds what a message does against its RFC. An empty one is none.
func (d *Decoder) remark(s string) {
	if s != "" && len(d.rec.Remarks) < remarksMax && !slices.Contains(d.rec.Remarks, s) {
		d.rec.Remarks = append(d.rec.Remarks, s)
	}
}

// remarks looks at the payloads of a message, or of its encrypted part, for what
// the RFCs forbid.
func (d *Decoder) remarks(h wire.Header, ps []wire.Payload) {
	var sa *wire.SA
	var ke *wire.KE
	var nonce *wire.Nonce
	for _, p := range ps {
		switch p := p.(type) {
		case *wire.SA:
			sa = p
			for _, proposal := range p.Proposals {
				d.proposalRemarks(proposal)
			}
		case *wire.Nonce:
			nonce = p
		case *wire.KE:
			ke = p
			if want := publicBytes(p.Group, h.IsResponse()); want > 0 && len(p.Data) != want {
				d.remark(fmt.Sprintf("the KE payload has %d octets, %s has %d (RFC 7296 §3.4)", len(p.Data), groupOf(p.Group), want))
			}
		}
	}
	if sa != nil && nonce != nil {
		d.remark(nonceRemark(sa.Proposals, len(nonce.Data)))
	}
	if sa == nil || ke == nil {
		return
	}
	for _, p := range sa.Proposals {
		for _, t := range p.Transforms {
			if t.Type == wire.TransformKE && t.ID == ke.Group {
				return
			}
		}
	}
	d.remark(fmt.Sprintf("the KE payload is for %s, which no proposal of the message has (RFC 7296 §3.4)", groupOf(ke.Group)))
}

// nonceRemark is what is wrong with a nonce of n octets beside proposals, empty for
// nothing: it has at least half the length of the keys of each pseudorandom function
// that they have (RFC 7296 §2.10). The parser refuses fewer than 16 octets, which are
// enough for those that are not listed.
func nonceRemark(proposals []wire.Proposal, n int) string {
	least, name := 0, ""
	for _, p := range proposals {
		for _, t := range p.Transforms {
			half := 0
			switch {
			case t.Type != wire.TransformPRF:
			case t.ID == suite.PRFHMACSHA384:
				half = 24
			case t.ID == suite.PRFHMACSHA512, t.ID == prfStreebog512:
				half = 32
			}
			if half > least {
				least, name = half, transformName(suite.Transform{Type: suite.TransformPRF, ID: t.ID})
			}
		}
	}
	if n >= least {
		return ""
	}
	return fmt.Sprintf("the nonce has %d octets, %s needs at least %d (RFC 7296 §2.10)", n, name, least)
}

// prfStreebog512 is PRF_HMAC_STREEBOG_512 (IANA; RFC 9385), with keys of 64 octets.
const prfStreebog512 = 9

func groupOf(id uint16) string {
	return transformName(suite.Transform{Type: suite.TransformKE, ID: id})
}

// inClear remarks on a message without an SK or SKF payload that must have one:
// all but IKE_SA_INIT and IKE_SESSION_RESUME are encrypted (RFC 7296 §1.2, RFC
// 5723 §4.3.3), except for the notifications of RFC 7296 §1.5 and §2.21.4, which
// are for a peer that has no such SA.
func (d *Decoder) inClear(h wire.Header, ps []wire.Payload) {
	if h.Exchange == wire.ExchangeIKESAInit || h.Exchange == wire.ExchangeIKESessionResume {
		return
	}
	allowed := false
	for _, p := range ps {
		switch p := p.(type) {
		case *wire.Encrypted, *wire.EncryptedFragment:
			return
		case *wire.Notify:
			switch p.Kind {
			case wire.InvalidIKESPI, wire.InvalidMajorVersion, wire.InvalidSPI:
				allowed = true
			case wire.QuickCrashDetection: // RFC 6290 §4.2 has it beside INVALID_IKE_SPI
			default:
				d.remark(clearText(h))
				return
			}
		default:
			d.remark(clearText(h))
			return
		}
	}
	if !allowed {
		d.remark(clearText(h))
	}
}

func clearText(h wire.Header) string {
	return fmt.Sprintf("%s in the clear: it has no SK payload (RFC 7296 §1.2)", h.Exchange)
}

// proposalRemarks looks at one proposal (RFC 7296 §3.3).
func (d *Decoder) proposalRemarks(p wire.Proposal) {
	prefix := fmt.Sprintf("proposal %d: ", p.Number)
	var aead, normal, integ string
	unknown := false // an encryption that may be an AEAD or not
	has := map[wire.TransformType]bool{}
	for _, t := range p.Transforms {
		name := transformName(suite.Transform{Type: suite.TransformType(t.Type), ID: t.ID, KeyBits: t.KeyBits})
		has[t.Type] = true
		switch t.Type {
		case wire.TransformENCR:
			if s := keyLengthRemark(t); s != "" {
				d.remark(prefix + name + " " + s)
			}
			switch {
			case t.ID == 0 || t.ID > encrAssignedMax:
				unknown = true
			case isAEAD(t.ID):
				aead = name
			default:
				normal = name
			}
		case wire.TransformINTEG:
			if t.ID != suite.IntegNone {
				integ = name
			}
		}
	}
	switch {
	case aead != "" && normal != "":
		d.remark(fmt.Sprintf("%s%s and %s need a proposal each (RFC 7296 §3.3)", prefix, aead, normal))
	case aead != "" && integ != "":
		d.remark(fmt.Sprintf("%s%s has an integrity check of its own, %s must not stand beside it (RFC 5282 §8)", prefix, aead, integ))
	}
	var lacks []string
	for _, t := range mandatory(p.Protocol, aead != "" || unknown) {
		if !has[t] {
			lacks = append(lacks, t.String())
		}
	}
	if len(lacks) > 0 {
		d.remark(fmt.Sprintf("%s%s lacks a transform of type %s (RFC 7296 §3.3.3)", prefix, p.Protocol, strings.Join(lacks, ", ")))
	}
}

// mandatory are the transform types that a protocol's proposals must have (RFC
// 7296 §3.3.3).
func mandatory(p wire.ProtocolID, aead bool) []wire.TransformType {
	switch {
	case p == wire.ProtocolIKE && aead:
		return []wire.TransformType{wire.TransformENCR, wire.TransformPRF, wire.TransformKE}
	case p == wire.ProtocolIKE:
		return []wire.TransformType{wire.TransformENCR, wire.TransformPRF, wire.TransformINTEG, wire.TransformKE}
	case p == wire.ProtocolESP:
		return []wire.TransformType{wire.TransformENCR, wire.TransformESN}
	case p == wire.ProtocolAH:
		return []wire.TransformType{wire.TransformINTEG, wire.TransformESN}
	}
	return nil
}

// encrAssignedMax is the highest encryption that IANA has assigned.
const encrAssignedMax = 35

// isAEAD reports whether an encryption checks integrity itself (IANA, transform
// type 1): AES-CCM and -GCM, Camellia-CCM, ChaCha20-Poly1305, MGM, and those with
// an implicit IV. GMAC (RFC 4543) is one of them in ESP.
func isAEAD(id uint16) bool {
	return id >= 14 && id <= 16 || id >= 18 && id <= 21 || id >= 25 && id <= encrAssignedMax
}

// keyLengthRemark is what is wrong with the Key Length attribute of an encryption,
// empty for nothing (RFC 7296 §3.3.5; RFC 3602 §2.3, RFC 3686 §5.3, RFC 4106 §8.4,
// RFC 4309 §8.4, RFC 5529 §3 for the lengths that there are).
func keyLengthRemark(t wire.Transform) string {
	switch id := t.ID; {
	case id == 12 || id == 13 || id >= 14 && id <= 16 || id >= 18 && id <= 21 || id >= 23 && id <= 27 || id == 29 || id == 30:
		switch t.KeyBits {
		case 128, 192, 256:
		case 0:
			return "has no key length, which it must have (RFC 7296 §3.3.5)"
		default:
			return fmt.Sprintf("has keys of %d bits; 128, 192 and 256 exist (RFC 7296 §3.3.5)", t.KeyBits)
		}
	case id >= 1 && id <= 3 || id == 5 || id == 8 || id == 9 || id == 11 || id == 28 || id == 31:
		if t.KeyBits != 0 {
			return "has a key length, and its keys are of one length (RFC 7296 §3.3.5)"
		}
	}
	return ""
}

// publicBytes is the length of a KE payload's data for a method (RFC 7296 §3.4 for
// MODP, padded to the prime; RFC 5903, RFC 6954, RFC 8031 for curves; FIPS 203 for
// ML-KEM, whose answer is a ciphertext); 0 if it is not known.
func publicBytes(group uint16, response bool) int {
	switch group {
	case 1:
		return 96
	case 2, 22:
		return 128
	case 5:
		return 192
	case 14, 23, 24:
		return 256
	case 15:
		return 384
	case 16:
		return 512
	case 17:
		return 768
	case 18:
		return 1024
	case 19, 28:
		return 64
	case 20, 29:
		return 96
	case 21:
		return 132
	case 25:
		return 48
	case 26, 27:
		return 56
	case 30:
		return 128
	case 31:
		return 32
	case 32:
		return 56
	case 35:
		return choose(response, 768, 800)
	case 36:
		return choose(response, 1088, 1184)
	case 37:
		return choose(response, 1568, 1568)
	}
	return 0
}

func choose(response bool, answered, asked int) int {
	if response {
		return answered
	}
	return asked
}

// chosenFrom is what is wrong with an answer to proposals: it must be one of them,
// with one transform of each type (RFC 7296 §2.7, §3.3.6). Several lists of
// proposals are several requests, any of which may be the one that is answered.
func chosenFrom(answer []wire.Proposal, requests ...[]offer) string {
	if len(answer) != 1 {
		return fmt.Sprintf("the response has %d proposals, it must have one (RFC 7296 §2.7)", len(answer))
	}
	chosen := negotiated(answer[0])
	number := answer[0].Number
	reason := ""
	for _, offers := range slices.Backward(requests) {
		wrong := notOffered(number, chosen, offers)
		if wrong == "" {
			return ""
		}
		if reason == "" {
			reason = wrong
		}
	}
	return reason
}

// notOffered is why a proposal is none of those that were offered.
func notOffered(number uint8, chosen suite.Proposal, offers []offer) string {
	for _, o := range offers {
		if o.number != number || o.Protocol != chosen.Protocol {
			continue
		}
		count := map[suite.TransformType]int{}
		var foreign []string
		for _, t := range chosen.Transforms {
			count[t.Type]++
			if !slices.Contains(o.Transforms, t) && !(t == suite.Transform{Type: suite.TransformINTEG, ID: suite.IntegNone}) {
				foreign = append(foreign, transformName(t))
			}
		}
		if len(foreign) > 0 {
			return fmt.Sprintf("the response chose %s, which the request did not offer (RFC 7296 §2.7)", strings.Join(foreign, ", "))
		}
		optional := func(t suite.TransformType) bool {
			return slices.ContainsFunc(o.Transforms, func(x suite.Transform) bool { return x.Type == t && x.ID == 0 && t != suite.TransformESN })
		}
		for _, t := range o.Transforms {
			switch n := count[t.Type]; {
			case n == 0 && !optional(t.Type):
				return fmt.Sprintf("the response chose no transform of type %s (RFC 7296 §3.3.6)", wire.TransformType(t.Type))
			case n > 1:
				return fmt.Sprintf("the response chose %d transforms of type %s, it must choose one (RFC 7296 §3.3.6)", n, wire.TransformType(t.Type))
			}
		}
		return ""
	}
	return fmt.Sprintf("the response chose proposal %d for %s, which the request did not offer (RFC 7296 §2.7)", number, wire.ProtocolID(chosen.Protocol))
}
