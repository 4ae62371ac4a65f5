package ike

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ikelab/ikelab/ike/wire"
)

// The fuzzer's input is a script of one-octet orders with their arguments. It works
// on two machines that share no network but the fuzzer: it decides what arrives
// where, changed how, and when. Octets that make no sense are skipped, so that every
// input is a run.
const (
	fuzzDeliver    = iota // packet, receiver: as it was sent
	fuzzFlip              // packet, receiver, offset, mask: with one octet changed
	fuzzCut               // packet, receiver, octets: shortened
	fuzzRaw               // receiver, length, octets: anything
	fuzzSealed            // receiver, first payload, length, octets: anything, in a valid SK payload
	fuzzCommand           // receiver, kind
	fuzzAdvance           // tenths of a second
	fuzzTimeout           // receiver
	fuzzESPSeen           // receiver, port
	fuzzLifetime          // receiver
	fuzzForgedInit        // receiver, notification, length, octets
	fuzzOrders
)

const fuzzOrdersMax = 200

// FuzzStep feeds two machines what a hostile network may: their own messages in any
// order, changed, cut and repeated, octets of any kind, and, as a peer that holds
// the keys, any payloads at all. Neither machine may panic, break one of the
// network's rules (testnet.problem), keep more than its bounds allow, or end with
// timers that never stop.
func FuzzStep(f *testing.F) {
	for _, seed := range fuzzSeeds() {
		f.Add(seed.input)
	}
	f.Fuzz(func(t *testing.T, input []byte) { runFuzz(t, input) })
}

// TestFuzzSeedsReach holds that the seeds get the machines into the states they are
// named for: a fuzzer that never gets past IKE_SA_INIT tests little.
func TestFuzzSeedsReach(t *testing.T) {
	for _, seed := range fuzzSeeds() {
		t.Run(seed.name, func(t *testing.T) {
			n := runFuzz(t, seed.input)
			for _, node := range n.nodes {
				for _, r := range node.records {
					if r.Kind == seed.reaches {
						return
					}
				}
			}
			t.Errorf("no record of kind %s", seed.reaches)
		})
	}
}

// TestFuzzCorpus holds that the committed corpus has the seeds in it.
func TestFuzzCorpus(t *testing.T) {
	for _, seed := range fuzzSeeds() {
		file := filepath.Join("testdata", "fuzz", "FuzzStep", "seed-"+seed.name)
		want := fmt.Sprintf("go test fuzz v1\n[]byte(%q)\n", seed.input)
		if *update {
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(file)
		if err != nil || string(got) != want {
			t.Errorf("%s is not what fuzzSeeds makes: run this test with -update (%v)", file, err)
		}
	}
}

type fuzzSeed struct {
	name    string
	input   []byte
	reaches RecordKind
}

func fuzzSeeds() []fuzzSeed {
	up := []byte{fuzzCommand, 0, byte(Initiate), fuzzDeliver, 0, 1, fuzzDeliver, 1, 0, fuzzDeliver, 2, 1, fuzzDeliver, 3, 0}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	return []fuzzSeed{
		{"established", up, RecordChildInstalled},
		{"init-flipped", []byte{fuzzCommand, 0, byte(Initiate), fuzzFlip, 0, 1, 60, 1, fuzzDeliver, 1, 0, fuzzDeliver, 0, 1}, RecordIKEInit},
		{"auth-flipped", join(up[:9], []byte{fuzzFlip, 2, 1, 200, 1, fuzzCut, 2, 1, 80, fuzzDeliver, 2, 1}), RecordDropped},
		{"sealed-critical", join(up, []byte{fuzzSealed, 1, 200, 5, 0, 0x80, 0, 5, 1, fuzzDeliver, 4, 0}), RecordDropped},
		{"sealed-delete-ike", join(up, []byte{fuzzSealed, 1, 42, 8, 0, 0, 0, 8, 1, 0, 0, 0, fuzzDeliver, 4, 0}), RecordIKEDeleted},
		{"sealed-notify", join(up, []byte{fuzzSealed, 1, 41, 8, 0, 0, 0, 8, 0, 0, 0, 24}), RecordIKEDeleted},
		{"sealed-broken", join(up, []byte{fuzzSealed, 0, 33, 3, 1, 2, 3}), RecordIKEDeleted},
		{"delete-crossing", join(up, []byte{fuzzCommand, 0, byte(Terminate), fuzzCommand, 1, byte(Terminate), fuzzDeliver, 5, 0, fuzzDeliver, 4, 1, fuzzDeliver, 6, 0, fuzzDeliver, 7, 1}), RecordIKEDeleted},
		{"forged-cookie", []byte{fuzzCommand, 0, byte(Initiate), fuzzForgedInit, 0, 16390 - 16384, 2, 1, 2, fuzzDeliver, 1, 1}, RecordIKEInit},
		{"dead-peer", join(up, []byte{fuzzCommand, 0, byte(Liveness), fuzzAdvance, 255, fuzzAdvance, 255, fuzzAdvance, 255, fuzzAdvance, 255, fuzzAdvance, 255, fuzzAdvance, 255, fuzzAdvance, 255}), RecordIKEDeleted},
		{"raw", []byte{fuzzRaw, 1, 28, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 33, 0x20, 34, 8, 0, 0, 0, 0, 0, 0, 0, 28}, RecordDropped},
	}
}

func runFuzz(t *testing.T, input []byte) *testnet {
	n := newTestnet()
	n.quiet, n.deaf = true, true // only the fuzzer delivers
	settings := []string{"retransmit_timeout 1s", "retransmit_tries 2", "half_open_max 8", "half_open_timeout 20s", "dpd_delay 30s",
		"proposals aes256gcm16-prfsha384-x25519-ecp256 aes128-sha256-x25519"}
	for _, end := range [][3]string{{"a", "192.0.2.1", "198.51.100.1"}, {"b", "198.51.100.1", "192.0.2.1"}} {
		if _, err := addMachine(n, end[0], end[1], end[2], settings); err != nil {
			t.Fatal(err)
		}
	}
	z := &fuzzInput{rest: input}
	for i := 0; i < fuzzOrdersMax && len(z.rest) > 0; i++ {
		fuzzOrder(n, z)
		for _, p := range n.problems {
			t.Fatal(p)
		}
		for _, node := range n.nodes {
			checkBounds(t, node)
		}
	}
	n.advance(10 * time.Minute)
	for _, p := range n.problems {
		t.Fatal(p)
	}
	for _, node := range n.nodes {
		if at, why, ok := node.machine.Deadline(); ok || len(node.machine.sas) > 0 || len(node.machine.inboundSPIs) > 0 {
			t.Fatalf("%s has heard nothing for ten minutes and still has %s, %d SPIs, waits until %s for %s",
				node.name, n.state(node), len(node.machine.inboundSPIs), at, why)
		}
	}
	return n
}

// checkBounds holds what Limits and limits.go promise.
func checkBounds(t *testing.T, node *testnode) {
	m := node.machine
	halfOpen := 0
	for _, sa := range m.sas {
		if sa.state == stateHalfOpen {
			halfOpen++
		}
		if len(sa.tasks) > pendingTasksMax+1 || len(sa.children) > childSAsPerIKEMax || sa.init.restarts > initRestartsMax {
			t.Fatalf("%s: an IKE SA holds %d tasks, %d children, %d restarts", node.name, len(sa.tasks), len(sa.children), sa.init.restarts)
		}
		if sa.timer.at == never && sa.state != stateEstablished {
			t.Fatalf("%s: an IKE SA in state %d waits for nothing", node.name, sa.state)
		}
	}
	if halfOpen != m.halfOpen || halfOpen > m.cfg.Limits.HalfOpenMax {
		t.Fatalf("%s counts %d half-open IKE SAs, there are %d", node.name, m.halfOpen, halfOpen)
	}
	if len(m.byLocalSPI) != len(m.sas) {
		t.Fatalf("%s finds %d IKE SAs by SPI, there are %d", node.name, len(m.byLocalSPI), len(m.sas))
	}
	at, _, ok := m.Deadline()
	for _, sa := range m.sas {
		if next := sa.next().at; next != never && (!ok || next < at) {
			t.Fatalf("%s: Deadline says %s (%v), an IKE SA waits until %s", node.name, at, ok, next)
		}
	}
}

// fuzzInput hands out octets, zeros after the end.
type fuzzInput struct{ rest []byte }

func (z *fuzzInput) octet() byte {
	if len(z.rest) == 0 {
		return 0
	}
	b := z.rest[0]
	z.rest = z.rest[1:]
	return b
}

func (z *fuzzInput) octets() []byte {
	n := min(int(z.octet()), len(z.rest))
	b := z.rest[:n]
	z.rest = z.rest[n:]
	return b
}

func fuzzOrder(n *testnet, z *fuzzInput) {
	order := int(z.octet()) % fuzzOrders
	switch order {
	case fuzzDeliver, fuzzFlip, fuzzCut:
		fuzzPacket(n, z, order)
		return
	case fuzzAdvance:
		n.advance(time.Duration(z.octet()) * time.Second / 10)
		return
	}
	node := n.nodes[int(z.octet())%len(n.nodes)]
	switch order {
	case fuzzRaw:
		b := z.octets()
		n.deliver(&flight{local: netip.AddrPortFrom(node.addr, 500), remote: netip.MustParseAddrPort("192.0.2.99:500"), payload: b})
	case fuzzSealed:
		fuzzSeal(n, node, wire.PayloadType(z.octet()), z.octets())
	case fuzzCommand:
		n.step(node, Command{Kind: CommandKind(z.octet() % 5), Connection: "ike"})
	case fuzzTimeout:
		n.step(node, Timeout{})
	case fuzzESPSeen, fuzzLifetime:
		for _, sa := range node.machine.sas {
			if len(sa.children) == 0 {
				continue
			}
			spi := sa.children[0].spiIn
			if order == fuzzLifetime {
				n.step(node, Lifetime{SPI: spi, Hard: true})
			} else {
				n.step(node, ESPSeen{SPI: spi, Remote: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.98"), uint16(z.octet()))})
			}
			return
		}
	case fuzzForgedInit:
		fuzzForge(n, node, z)
	}
}

// fuzzPacket delivers a packet that was sent, perhaps changed.
func fuzzPacket(n *testnet, z *fuzzInput, order int) {
	number, to := int(z.octet()), int(z.octet())
	at, mask := 0, byte(0)
	if order == fuzzFlip {
		at, mask = int(z.octet()), z.octet()
	} else if order == fuzzCut {
		at = int(z.octet())
	}
	if number >= len(n.sent) {
		return
	}
	f := *n.sent[number]
	f.payload = bytes.Clone(f.first)
	f.local = netip.AddrPortFrom(n.nodes[to%len(n.nodes)].addr, f.local.Port())
	if order == fuzzFlip && at < len(f.payload) {
		f.payload[at] ^= mask
	}
	if order == fuzzCut && at < len(f.payload) {
		f.payload = f.payload[:at]
		if at >= wire.HeaderBytes {
			binary.BigEndian.PutUint32(f.payload[24:], uint32(at)) // past the length check, into the payloads
		}
	}
	n.deliver(&f)
}

// fuzzSeal delivers any payloads in an SK payload whose integrity check holds, as
// the peer could: the request that is due next. The peer's own counters do not move.
func fuzzSeal(n *testnet, node *testnode, first wire.PayloadType, text []byte) {
	for _, sa := range node.machine.sas {
		if !sa.up() && sa.state != stateHalfOpen {
			continue
		}
		exchange := wire.ExchangeInformational
		if sa.state == stateHalfOpen {
			exchange = wire.ExchangeIKEAuth
		}
		h := wire.Header{InitiatorSPI: sa.spiI, ResponderSPI: sa.spiR, Exchange: exchange, MessageID: sa.expect}
		if !sa.initiator {
			h.Flags |= wire.FlagInitiator
		}
		b, err := sealAny(sa, h, first, text)
		if err == nil {
			n.deliver(&flight{local: sa.local, remote: sa.remote, payload: b})
		}
		return
	}
}

// sealAny seals octets that need not be payloads, with the keys that the receiver
// opens with.
func sealAny(sa *ikeSA, h wire.Header, first wire.PayloadType, text []byte) ([]byte, error) {
	c := sa.keys.receive
	padding := (c.AlignBytes() - (len(text)+1)%c.AlignBytes()) % c.AlignBytes()
	text = append(bytes.Clone(text), make([]byte, padding+1)...)
	text[len(text)-1] = byte(padding)
	body := make([]byte, c.IVBytes()+len(text)+c.ICVBytes())
	b, err := (&wire.Message{Header: h, Payloads: []wire.Payload{&wire.Encrypted{First: first, Body: body}}}).Append(nil)
	if err != nil {
		return nil, err
	}
	offset := len(b) - len(body)
	rest := b[offset+c.IVBytes():]
	copy(rest, text)
	c.Seal(b[offset:offset+c.IVBytes()], rest[:len(text)], rest[len(text):], b[:offset], nil)
	return b, nil
}

// fuzzForge answers an outstanding IKE_SA_INIT request with any notification.
func fuzzForge(n *testnet, node *testnode, z *fuzzInput) {
	kind, data := wire.NotifyType(z.octet()), z.octets()
	if kind < 16 {
		kind += 16384 // the statuses
	}
	for _, sa := range node.machine.sas {
		if sa.state != stateInitSent {
			continue
		}
		h := wire.Header{InitiatorSPI: sa.spiI, Exchange: wire.ExchangeIKESAInit, Flags: wire.FlagResponse}
		b, err := (&wire.Message{Header: h, Payloads: []wire.Payload{&wire.Notify{Kind: kind, Data: data}}}).Append(nil)
		if err == nil {
			n.deliver(&flight{local: sa.local, remote: sa.remote, payload: b})
		}
		return
	}
}
