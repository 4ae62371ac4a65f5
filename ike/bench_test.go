package ike

import (
	"bytes"
	"io"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// BenchmarkHandshake measures whole handshakes, both ends (IKE_SA_INIT and IKE_AUTH
// with X25519, a pre-shared key and AES-GCM, up to installed CHILD_SA keys), against
// the cryptography in them alone: the same operations on the same lengths, called
// directly. Both run in turn within every iteration, so that whatever else the
// machine does falls on both.
//
//	handshakes/s  whole handshakes per second of one core, both ends
//	ratio         time of a handshake over time of its cryptography
func BenchmarkHandshake(b *testing.B) {
	var whole, crypto time.Duration
	h, c := newHandshakes(b), newCryptoOnly(b)
	for b.Loop() {
		start := time.Now()
		h.run(b)
		middle := time.Now()
		c.run(b)
		whole += middle.Sub(start)
		crypto += time.Since(middle)
	}
	b.ReportMetric(float64(b.N)/whole.Seconds(), "handshakes/s")
	b.ReportMetric(float64(b.N)/crypto.Seconds(), "crypto/s")
	b.ReportMetric(whole.Seconds()/crypto.Seconds(), "ratio")
	b.ReportMetric(0, "ns/op") // of no use: it is the sum of both
}

// TestHandshakeCryptoIsAll holds that what the benchmark compares with is the
// cryptography of a handshake: the sizes of its messages and the derived keys are
// those of a real one.
func TestHandshakeCryptoIsAll(t *testing.T) {
	h, c := newHandshakes(t), newCryptoOnly(t)
	h.run(t)
	c.run(t)
	if h.authRequest != len(c.authRequest) || h.authResponse != len(c.authResponse) {
		t.Errorf("IKE_AUTH has %d and %d octets, the benchmark seals %d and %d", h.authRequest, h.authResponse, len(c.authRequest), len(c.authResponse))
	}
	if h.initRequest != len(c.initRequest) || h.initResponse != len(c.initResponse) {
		t.Errorf("IKE_SA_INIT has %d and %d octets, the benchmark authenticates %d and %d", h.initRequest, h.initResponse, len(c.initRequest), len(c.initResponse))
	}
}

// handshakes brings up a connection again and again.
type handshakes struct {
	a, b                                                 *Machine
	addrA, addrB                                         netip.AddrPort
	initRequest, initResponse, authRequest, authResponse int
	now                                                  time.Duration
}

func newHandshakes(tb testing.TB) *handshakes {
	h := &handshakes{addrA: netip.MustParseAddrPort("192.0.2.1:500"), addrB: netip.MustParseAddrPort("198.51.100.1:500")}
	for _, end := range []struct {
		name, peer string
		addr       netip.AddrPort
		to         **Machine
	}{{"a", "198.51.100.1", h.addrA, &h.a}, {"b", "192.0.2.1", h.addrB, &h.b}} {
		cfg, err := testConfig(end.name, end.peer, []string{"local_addrs " + end.addr.Addr().String()})
		if err != nil {
			tb.Fatal(err)
		}
		cfg.Random = func(label string) io.Reader { return testStream(end.name + label) }
		if *end.to, err = New(cfg); err != nil {
			tb.Fatal(err)
		}
	}
	return h
}

func (h *handshakes) run(tb testing.TB) {
	request := h.one(tb, h.a.Step(h.now, Command{Kind: Initiate, Connection: "ike"}))
	h.initRequest = len(request)
	response := h.one(tb, h.b.Step(h.now, Datagram{Local: h.addrB, Remote: h.addrA, Payload: request}))
	h.initResponse = len(response)
	request = h.one(tb, h.a.Step(h.now, Datagram{Local: h.addrA, Remote: h.addrB, Payload: response}))
	h.authRequest = len(request)
	response = h.one(tb, h.b.Step(h.now, Datagram{Local: h.addrB, Remote: h.addrA, Payload: request}))
	h.authResponse = len(response)
	actions := h.a.Step(h.now, Datagram{Local: h.addrA, Remote: h.addrB, Payload: response})
	installed := false
	for _, x := range actions {
		_, is := x.(InstallChild)
		installed = installed || is
	}
	if !installed {
		tb.Fatal("the handshake did not install a CHILD_SA")
	}
	// Forget both IKE SAs without an exchange, which is not part of a handshake.
	for _, m := range []*Machine{h.a, h.b} {
		m.Step(h.now, Timeout{})
		for _, sa := range slices.Clone(m.sas) {
			for _, child := range slices.Clone(sa.children) {
				m.freeSPI(child)
			}
			m.remove(sa)
		}
		m.settle()
	}
}

// one is the only datagram among actions.
func (h *handshakes) one(tb testing.TB, actions []Action) []byte {
	var out []byte
	for _, x := range actions {
		if s, is := x.(Send); is {
			out = s.Payload
		}
	}
	if out == nil {
		tb.Fatal("a step of the handshake sent nothing")
	}
	return out
}

// cryptoOnly does what a handshake computes, and nothing else.
type cryptoOnly struct {
	ke                                                   suite.KeyExchange
	prf                                                  suite.PRF
	ike, esp                                             suite.Proposal
	psk, idI, idR, ni, nr                                []byte
	initRequest, initResponse, authRequest, authResponse []byte
}

func newCryptoOnly(tb testing.TB) *cryptoOnly {
	ke, err := suite.NewKeyExchange(suite.KEX25519)
	if err != nil {
		tb.Fatal(err)
	}
	prf, err := suite.NewPRF(suite.PRFHMACSHA384)
	if err != nil {
		tb.Fatal(err)
	}
	ike, err := suite.ParseProposal(suite.ProtocolIKE, "aes256gcm16-prfsha384-x25519")
	if err != nil {
		tb.Fatal(err)
	}
	esp, err := suite.ParseProposal(suite.ProtocolESP, "aes256gcm16-noesn")
	if err != nil {
		tb.Fatal(err)
	}
	const initBytes, authRequestBytes, authResponseBytes = 200, 239, 214 // TestHandshakeCryptoIsAll
	return &cryptoOnly{
		ke: ke, prf: prf, ike: ike, esp: esp,
		psk: []byte("squeamish ossifrage"), idI: []byte("\x02\x00\x00\x00a.example"), idR: []byte("\x02\x00\x00\x00b.example"),
		ni: bytes.Repeat([]byte{1}, nonceBytes), nr: bytes.Repeat([]byte{2}, nonceBytes),
		initRequest: make([]byte, initBytes), initResponse: make([]byte, initBytes),
		authRequest: make([]byte, authRequestBytes), authResponse: make([]byte, authResponseBytes),
	}
}

func (c *cryptoOnly) run(tb testing.TB) {
	check := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	// Key exchange, both ends.
	publicI, private, err := c.ke.Initiate(testStream("i"))
	check(err)
	publicR, sharedR, err := c.ke.Respond(testStream("r"), publicI)
	check(err)
	sharedI, err := private.Finish(publicR)
	check(err)
	// NAT detection: four hashes made, four compared.
	end := netip.MustParseAddrPort("192.0.2.1:500")
	for range 8 {
		natHash(wire.SPI{1}, wire.SPI{2}, end)
	}
	var crypters [2][2]suite.Crypter
	var keys [2]suite.IKEKeys
	for i, shared := range [][]byte{sharedI, sharedR} {
		_, k, err := suite.DeriveIKE(c.ike, c.ni, c.nr, shared, wire.SPI{1}, wire.SPI{2})
		check(err)
		keys[i] = k
		encr, _ := c.ike.Find(suite.TransformENCR)
		crypters[i][0], err = suite.NewCrypter(encr, suite.Transform{}, k.Ei, nil)
		check(err)
		crypters[i][1], err = suite.NewCrypter(encr, suite.Transform{}, k.Er, nil)
		check(err)
	}
	// AUTH of both, made by one end and verified by the other.
	for _, k := range keys {
		suite.AuthPSK(c.prf, c.psk, suite.SignedOctets(c.prf, c.initRequest, c.nr, k.Pi, c.idI))
		suite.AuthPSK(c.prf, c.psk, suite.SignedOctets(c.prf, c.initResponse, c.ni, k.Pr, c.idR))
	}
	// Both IKE_AUTH messages, sealed and opened.
	for direction, message := range [][]byte{c.authRequest, c.authResponse} {
		const aadBytes = wire.HeaderBytes + 4
		x := crypters[direction][direction]
		aad, iv, text := message[:aadBytes], message[aadBytes:aadBytes+x.IVBytes()], message[aadBytes+x.IVBytes():len(message)-x.ICVBytes()]
		icv := message[len(message)-x.ICVBytes():]
		x.Seal(iv, text, icv, aad, nil)
		check(crypters[1-direction][direction].Open(iv, text, icv, aad, nil))
	}
	for _, k := range keys {
		_, err := suite.DeriveChild(c.prf, k.D, c.esp, c.ni, c.nr, nil)
		check(err)
	}
}
