package decode

import (
	"encoding/binary"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// learn takes from a decrypted exchange who the ends are and which CHILD SAs
// they made.
func (d *Decoder) learn(sa *ikeSA, h wire.Header, ps []wire.Payload) {
	var proposals *wire.SA
	var nonce []byte
	exchanged := false // a key exchange of its own
	for _, p := range ps {
		switch p := p.(type) {
		case *wire.SA:
			proposals = p
		case *wire.Nonce:
			nonce = p.Data
		case *wire.KE:
			exchanged = true
		case *wire.ID:
			if p.Kind == wire.PayloadIDi && sa.idi == "" {
				sa.idi = identity(p)
			}
			if p.Kind == wire.PayloadIDr && h.IsResponse() && sa.idr == "" {
				sa.idr = identity(p)
			}
		case *wire.Delete:
			sa.deleted = sa.deleted || p.Protocol == wire.ProtocolIKE
		}
	}
	if proposals == nil || h.Exchange != wire.ExchangeIKEAuth && h.Exchange != wire.ExchangeCreateChildSA {
		return
	}
	key := childRequestKey{sa: sa.id, messageID: h.MessageID, initiator: h.FromInitiator() != h.IsResponse()}
	if h.Exchange == wire.ExchangeIKEAuth {
		// EAP and multiple authentication spread the exchange over many messages:
		// the first child has one request and one answer in it all the same.
		key.messageID = 0
		nonce = sa.ni
		if h.IsResponse() {
			nonce = sa.nr
		}
	}
	if !h.IsResponse() {
		d.ike.requests.put(key, childRequest{proposals: proposals.Proposals, nonce: nonce})
		return
	}
	request, ok := d.ike.requests.get(key)
	if !ok {
		return
	}
	d.remark(chosenFrom(proposals.Proposals, offersOf(request.proposals)))
	if len(proposals.Proposals) != 1 {
		return
	}
	chosen := proposals.Proposals[0]
	if chosen.Protocol == wire.ProtocolIKE {
		d.rekeyed(sa, h, request.proposals, chosen)
		return
	}
	if chosen.Protocol != wire.ProtocolESP && chosen.Protocol != wire.ProtocolAH {
		return
	}
	for _, offered := range request.proposals {
		if offered.Number != chosen.Number || offered.Protocol != chosen.Protocol {
			continue
		}
		c := childSA{protocol: chosen.Protocol, spiI: offered.SPI, spiR: chosen.SPI, chosen: negotiated(chosen)}
		if !sa.knows(c) {
			c.keys = d.derive(sa, &c, request.nonce, nonce, exchanged)
			sa.child(c)
		}
		return
	}
}

// rekeyed notes the IKE SA that an exchange made in place of its own (RFC 7296
// §1.3.2). Its keys need the exchanged secret.
func (d *Decoder) rekeyed(sa *ikeSA, h wire.Header, offered []wire.Proposal, chosen wire.Proposal) {
	for _, o := range offered {
		if o.Number != chosen.Number || o.Protocol != chosen.Protocol || len(o.SPI) != len(wire.SPI{}) || len(chosen.SPI) != len(wire.SPI{}) {
			continue
		}
		// Whoever asked for it is the new SA's initiator.
		made := d.sa(wire.Header{InitiatorSPI: wire.SPI(o.SPI), ResponderSPI: wire.SPI(chosen.SPI), Flags: h.Flags})
		initiator, responder := sa.initiator, sa.responder
		if h.FromInitiator() { // the original initiator answers: it was asked
			initiator, responder = responder, initiator
		}
		made.initiator, made.responder = initiator, responder
		made.chosen, made.rekeyed = negotiated(chosen), sa.id.i.String()+"-"+sa.id.r.String()
		return
	}
}

// derive makes the keys of a CHILD SA where SK_d is known and the SA has no key
// exchange of its own (RFC 7296 §2.17). It says where the keys are from, or why
// there are none.
func (d *Decoder) derive(sa *ikeSA, c *childSA, ni, nr []byte, exchanged bool) string {
	switch {
	case len(sa.skd) == 0:
		return "the table has no SK_d"
	case exchanged:
		return "PFS: they need the secret of a key exchange"
	case c.protocol != wire.ProtocolESP:
		return "AH is not checked"
	case ni == nil || nr == nil:
		return "a nonce of the exchange that made them is not in the capture"
	case len(c.spiI) != 4 || len(c.spiR) != 4:
		return "the SPIs have no 4 octets"
	}
	encr, _ := c.chosen.Find(suite.TransformENCR)
	integ, _ := c.chosen.Find(suite.TransformINTEG)
	esn, _ := c.chosen.Find(suite.TransformESN)
	encrBytes, integBytes, ok := suite.RecordedKeyBytes(encr, integ)
	if !ok {
		return "decoding does not know " + algorithms(encr, integ, 0)
	}
	if integBytes == 0 {
		integ = suite.Transform{}
	}
	seed := append(append(make([]byte, 0, len(ni)+len(nr)), ni...), nr...)
	for _, skd := range sa.skd {
		id, _ := prfOfKeyBytes(len(skd))
		prf, err := suite.NewPRF(id)
		if err != nil {
			return err.Error()
		}
		material, err := prf.Plus(skd, seed, 2*(encrBytes+integBytes))
		if err != nil {
			return err.Error()
		}
		// The initiator's keys come first, and its packets carry the SPI that the
		// responder chose.
		for _, spi := range [2][]byte{c.spiR, c.spiI} {
			opener, err := suite.NewOpener(suite.OpenerConfig{
				Encr: encr, EncrKey: material[:encrBytes], Integ: integ, IntegKey: material[encrBytes : encrBytes+integBytes],
			})
			if err != nil {
				return err.Error()
			}
			material = material[encrBytes+integBytes:]
			d.esp.derive(binary.BigEndian.Uint32(spi), &espKeys{
				opener: opener, algorithms: algorithms(encr, integ, 0),
				esn: esn.ID == suite.ESNYes, esnKnown: true, derived: true,
			})
		}
	}
	return "derived from SK_d"
}
