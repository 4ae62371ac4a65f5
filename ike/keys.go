package ike

import (
	"fmt"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// saKeys are an IKE SA's keys (RFC 7296 §2.14) and what is made of them.
type saKeys struct {
	suite.IKEKeys
	prf     suite.PRF
	send    *skSender
	receive suite.Crypter
}

// deriveKeys makes the keys of an IKE SA from the shared secret and records them.
func (m *Machine) deriveKeys(sa *ikeSA, shared []byte) error {
	_, keys, err := suite.DeriveIKE(sa.proposal, sa.init.nonceI, sa.init.nonceR, shared, sa.spiI, sa.spiR)
	if err != nil {
		return err
	}
	prf, _ := sa.proposal.Find(suite.TransformPRF)
	encr, _ := sa.proposal.Find(suite.TransformENCR)
	integ, _ := sa.proposal.Find(suite.TransformINTEG)
	sa.keys.IKEKeys = keys
	if sa.keys.prf, err = suite.NewPRF(prf.ID); err != nil {
		return err
	}
	fromI, err := suite.NewCrypter(encr, integ, keys.Ei, keys.Ai)
	if err != nil {
		return err
	}
	fromR, err := suite.NewCrypter(encr, integ, keys.Er, keys.Ar)
	if err != nil {
		return err
	}
	sa.keys.send, sa.keys.receive = &skSender{crypter: fromI}, fromR
	if !sa.initiator {
		sa.keys.send, sa.keys.receive = &skSender{crypter: fromR}, fromI
	}
	if sa.keys.send.crypter.IVBytes() != 8 {
		sa.keys.send.ivs = m.stream(sa, "sk", "iv")
	}
	m.record(sa, Record{Kind: RecordKeys, Keys: &Keys{
		SPIi: sa.spiI, SPIr: sa.spiR, SKei: keys.Ei, SKer: keys.Er, SKai: keys.Ai, SKar: keys.Ar, SKd: keys.D, Encr: encr, Integ: integ,
	}})
	return nil
}

// deriveChild makes the keys of the CHILD_SA that IKE_AUTH set up (RFC 7296 §2.17):
// from SK_d and the nonces of IKE_SA_INIT, without a key exchange of its own.
func (m *Machine) deriveChild(sa *ikeSA, chosen suite.Proposal, ordinal uint64) (in, out ChildKeys, err error) {
	k, err := suite.DeriveChild(sa.keys.prf, sa.keys.D, chosen, sa.init.nonceI, sa.init.nonceR, nil)
	if err != nil {
		return in, out, err
	}
	in, out = ChildKeys{Encr: k.EncrR, Integ: k.IntegR}, ChildKeys{Encr: k.EncrI, Integ: k.IntegI}
	if !sa.initiator {
		in, out = out, in
	}
	if t, _ := chosen.Find(suite.TransformENCR); t.ID == suite.EncrAESCBC {
		out.IV = m.draw(sa, fmt.Sprintf("child/%d", ordinal), "esp-iv", childIVKeyBytes)
	}
	return in, out, nil
}

// signedOctets is what an end authenticates (RFC 7296 §2.15): its own IKE_SA_INIT
// message as it was on the wire, the other end's nonce, and its ID payload, as it was
// on the wire too, under SK_p.
func (sa *ikeSA) signedOctets(byInitiator bool, id *wire.ID) []byte {
	body := id.Body()
	if byInitiator {
		return suite.SignedOctets(sa.keys.prf, sa.init.request, sa.init.nonceR, sa.keys.Pi, body)
	}
	return suite.SignedOctets(sa.keys.prf, sa.init.response, sa.init.nonceI, sa.keys.Pr, body)
}

// randomSPI draws an IKE SPI that no SA here has.
func (m *Machine) randomSPI(label string) (spi wire.SPI, ok bool) {
	r := m.cfg.Random(label + "/init/spi")
	for range spiDrawsMax {
		copy(spi[:], readFull(r, len(spi)))
		if _, taken := m.byLocalSPI[spi]; !taken && !spi.IsZero() {
			return spi, true
		}
	}
	return wire.SPI{}, false
}
