package suite

import "strings"

// Proposal is one proposal of an SA payload (RFC 7296 §3.3): one protocol and
// the transforms offered for it. Several transforms of one type are
// alternatives, in order of preference. SPI and proposal number belong to the
// message and stay with the caller.
type Proposal struct {
	Protocol   Protocol
	Transforms []Transform
}

// String joins the transforms' keywords with dashes, as swanctl.conf writes a
// proposal: "aes256gcm16-prfsha384-x25519".
func (p Proposal) String() string {
	names := make([]string, len(p.Transforms))
	for i, t := range p.Transforms {
		names[i] = t.String()
	}
	return strings.Join(names, "-")
}

// Find is the first transform of type t, which in a chosen proposal is the
// chosen one. It is false when p has none of that type.
func (p Proposal) Find(t TransformType) (Transform, bool) {
	for _, x := range p.Transforms {
		if x.Type == t {
			return x, true
		}
	}
	return Transform{}, false
}

// Without is p less its transforms of type t, in fresh memory. IKE_AUTH offers
// and judges the first child Without(TransformKE): that child takes its keys
// from the IKE SA's exchange (RFC 7296 §1.2).
func (p Proposal) Without(t TransformType) Proposal {
	out := Proposal{Protocol: p.Protocol, Transforms: make([]Transform, 0, len(p.Transforms))}
	for _, x := range p.Transforms {
		if x.Type != t {
			out.Transforms = append(out.Transforms, x)
		}
	}
	return out
}

// Clone is p with its own list of transforms.
func (p Proposal) Clone() Proposal {
	return Proposal{Protocol: p.Protocol, Transforms: append([]Transform(nil), p.Transforms...)}
}
