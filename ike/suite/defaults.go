package suite

// DefaultIKE are the proposals of an IKE SA whose connection says "default" or
// nothing: modern AEADs first, then AES-CBC and AES-CTR with HMAC for peers
// without one, each with every implemented key exchange method of at least 128
// bits of strength, X25519 first, and modp2048 last. SHA-1 is not in them.
func DefaultIKE() []Proposal {
	ke := []Transform{
		{Type: TransformKE, ID: KEX25519},
		{Type: TransformKE, ID: KEECP256},
		{Type: TransformKE, ID: KEECP384},
		{Type: TransformKE, ID: KEECP521},
		{Type: TransformKE, ID: KEModp3072},
		{Type: TransformKE, ID: KEModp4096},
		{Type: TransformKE, ID: KEModp6144},
		{Type: TransformKE, ID: KEModp8192},
		{Type: TransformKE, ID: KEModp2048},
	}
	prf := []Transform{
		{Type: TransformPRF, ID: PRFHMACSHA384},
		{Type: TransformPRF, ID: PRFHMACSHA256},
		{Type: TransformPRF, ID: PRFHMACSHA512},
	}
	return []Proposal{
		join(ProtocolIKE, combinedModes(), prf, ke),
		join(ProtocolIKE, separateModes(), hmacs(), prf, ke),
	}
}

// DefaultESP are the proposals of a child that says "default" or nothing: as
// [DefaultIKE] without pseudorandom functions and without a key exchange of its
// own, 32-bit sequence numbers before 64-bit ones.
func DefaultESP() []Proposal {
	esn := []Transform{
		{Type: TransformESN, ID: ESNNo},
		{Type: TransformESN, ID: ESNYes},
	}
	return []Proposal{
		join(ProtocolESP, combinedModes(), esn),
		join(ProtocolESP, separateModes(), hmacs(), esn),
	}
}

func combinedModes() []Transform {
	return []Transform{
		{TransformENCR, EncrAESGCM16, 256},
		{TransformENCR, EncrAESGCM16, 128},
		{TransformENCR, EncrChaCha20Poly1305, 0},
	}
}

func separateModes() []Transform {
	return []Transform{
		{TransformENCR, EncrAESCBC, 256},
		{TransformENCR, EncrAESCBC, 128},
		{TransformENCR, EncrAESCTR, 256},
		{TransformENCR, EncrAESCTR, 128},
	}
}

func hmacs() []Transform {
	return []Transform{
		{Type: TransformINTEG, ID: IntegHMACSHA256_128},
		{Type: TransformINTEG, ID: IntegHMACSHA384_192},
		{Type: TransformINTEG, ID: IntegHMACSHA512_256},
	}
}

// join makes a proposal of lists, in fresh memory.
func join(p Protocol, lists ...[]Transform) Proposal {
	out := Proposal{Protocol: p}
	for _, l := range lists {
		out.Transforms = append(out.Transforms, l...)
	}
	return out
}
