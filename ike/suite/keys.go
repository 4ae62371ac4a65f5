package suite

import "fmt"

// keyPad is the constant of the shared key's padding, without a terminator
// (RFC 7296 §2.15).
const keyPad = "Key Pad for IKEv2"

// IKEKeys are the seven keys of an IKE SA (RFC 7296 §2.14), in its names: D for
// SK_d, Ai for SK_ai and so on. Ai and Ar are empty with an AEAD; Ei and Er
// include the salt where the algorithm has one.
type IKEKeys struct {
	D, Ai, Ar, Ei, Er, Pi, Pr []byte
}

// DeriveIKE is the key schedule of a new IKE SA (RFC 7296 §2.14). chosen holds
// one transform of each type; ni and nr are the nonces' data, shared is g^ir as
// [KeyExchange] gives it. It fails when chosen lacks a PRF or an encryption
// transform or names one that is not implemented.
func DeriveIKE(chosen Proposal, ni, nr, shared []byte, spii, spir [8]byte) (skeyseed []byte, keys IKEKeys, err error) {
	prf, err := prfOf(chosen)
	if err != nil {
		return nil, IKEKeys{}, err
	}
	skeyseed = prf.Sum(nil, concat(ni, nr), shared)
	keys, err = ExpandIKE(chosen, skeyseed, ni, nr, spii, spir)
	if err != nil {
		return nil, IKEKeys{}, err
	}
	return skeyseed, keys, nil
}

// RekeySKEYSEED is SKEYSEED of an IKE SA that replaces another (RFC 7296
// §2.18): prf(SK_d of the old, g^ir | Ni | Nr), with the *old* SA's prf. Nonces
// and shared secret are those of the rekeying exchange; [ExpandIKE] makes the
// new SA's keys of it.
func RekeySKEYSEED(old PRF, oldSKd, shared, ni, nr []byte) []byte {
	return old.Sum(nil, oldSKd, shared, ni, nr)
}

// ExpandIKE makes the keys of an IKE SA of its SKEYSEED (RFC 7296 §2.14, §2.18)
// with the SPIs of that SA. It fails as [DeriveIKE] does.
func ExpandIKE(chosen Proposal, skeyseed, ni, nr []byte, spii, spir [8]byte) (IKEKeys, error) {
	prf, err := prfOf(chosen)
	if err != nil {
		return IKEKeys{}, err
	}
	encrBytes, integBytes, err := keyBytes(chosen)
	if err != nil {
		return IKEKeys{}, err
	}
	n := prf.KeyBytes()
	material, err := prf.Plus(skeyseed, concat(ni, nr, spii[:], spir[:]), 3*n+2*integBytes+2*encrBytes)
	if err != nil {
		return IKEKeys{}, err
	}
	c := cutter(material)
	return IKEKeys{
		D:  c.next(n),
		Ai: c.next(integBytes), Ar: c.next(integBytes),
		Ei: c.next(encrBytes), Er: c.next(encrBytes),
		Pi: c.next(n), Pr: c.next(n),
	}, nil
}

// ChildKeys are the keys of a pair of CHILD_SAs (RFC 7296 §2.17). The names say
// who sends under them: EncrI and IntegI protect what the initiator of the
// exchange that made the child sends. Integrity keys are empty with an AEAD,
// encryption keys with AH; encryption keys include the salt where there is one.
type ChildKeys struct {
	EncrI, IntegI, EncrR, IntegR []byte
}

// DeriveChild is the key schedule of a CHILD_SA (RFC 7296 §2.17): prf and skd
// are the IKE SA's, ni and nr the nonces of the exchange that made the child,
// shared the secret of its own key exchange, empty when it had none. It fails
// when chosen names an algorithm that is not implemented.
func DeriveChild(prf PRF, skd []byte, chosen Proposal, ni, nr, shared []byte) (ChildKeys, error) {
	encrBytes, integBytes, err := keyBytes(chosen)
	if err != nil {
		return ChildKeys{}, err
	}
	material, err := prf.Plus(skd, concat(shared, ni, nr), 2*encrBytes+2*integBytes)
	if err != nil {
		return ChildKeys{}, err
	}
	c := cutter(material)
	return ChildKeys{
		EncrI: c.next(encrBytes), IntegI: c.next(integBytes),
		EncrR: c.next(encrBytes), IntegR: c.next(integBytes),
	}, nil
}

// AuthPSK is the data of an AUTH payload made with a shared key (RFC 7296
// §2.15): prf(prf(psk, "Key Pad for IKEv2"), octets). The EAP methods that give
// a key use it with their MSK in place of psk (RFC 7296 §2.16).
func AuthPSK(prf PRF, psk, signedOctets []byte) []byte {
	return prf.Sum(nil, prf.Sum(nil, psk, []byte(keyPad)), signedOctets)
}

// SignedOctets is what a peer signs or MACs in its AUTH payload (RFC 7296
// §2.15): its own IKE_SA_INIT message whole, the other's nonce data, and
// prf(SK_p, idBody), where skp is SK_pi for the initiator and SK_pr for the
// responder, and idBody is its ID payload less the generic header.
func SignedOctets(prf PRF, message, peerNonce, skp, idBody []byte) []byte {
	out := make([]byte, 0, len(message)+len(peerNonce)+prf.SumBytes())
	out = append(out, message...)
	out = append(out, peerNonce...)
	return prf.Sum(out, skp, idBody)
}

// prfOf is the pseudorandom function that a chosen proposal names.
func prfOf(chosen Proposal) (PRF, error) {
	t, ok := chosen.Find(TransformPRF)
	if !ok {
		return nil, fmt.Errorf("suite: the chosen proposal %q has no pseudorandom function", chosen)
	}
	return NewPRF(t.ID)
}

// keyBytes are the lengths of one direction's keys in octets.
func keyBytes(chosen Proposal) (encr, integ int, err error) {
	t, ok := chosen.Find(TransformENCR)
	if !ok && chosen.Protocol != ProtocolAH {
		return 0, 0, fmt.Errorf("suite: the chosen proposal %q has no encryption", chosen)
	}
	if ok {
		if encr, err = EncrKeyBytes(t); err != nil {
			return 0, 0, err
		}
	}
	if t.AEAD() {
		return encr, 0, nil
	}
	if t, ok = chosen.Find(TransformINTEG); !ok {
		return 0, 0, fmt.Errorf("suite: the chosen proposal %q has no integrity", chosen)
	}
	if integ, err = IntegKeyBytes(t); err != nil {
		return 0, 0, err
	}
	return encr, integ, nil
}

// cutter hands out consecutive pieces of key material, each with its own end so
// that appending to one cannot reach into the next.
type cutter []byte

func (c *cutter) next(n int) []byte {
	piece := (*c)[:n:n]
	*c = (*c)[n:]
	return piece
}

// concat joins octet strings in fresh memory.
func concat(parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	out := make([]byte, 0, n)
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}
