package ike

import (
	"bytes"
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ikelab/ikelab/ike/wire"
)

// testnet joins machines by a network in virtual time. It is what scripts and
// models drive, and it holds what must be true in every one of them: see check.
type testnet struct {
	now      time.Duration
	delay    time.Duration
	nodes    []*testnode
	nats     []*testnat
	flights  []*flight // on their way, ordered by arrival, then number
	sent     []*flight // every packet ever sent
	rules    []*rule
	log      strings.Builder
	problems []string
	watch    func(node *testnode, actions []Action)              // sees every step's actions first
	quiet    bool                                                // write no log
	deaf     bool                                                // nothing arrives by itself
	lie      func(e *Exchange, ps []wire.Payload) []wire.Payload // changes what is sent, nil for not this one
	garble   func(text []byte) []byte                            // changes the plaintext of what lie has changed
	children map[string]ChildSA                                  // by holder and inbound SPI, installed now
	spis     map[string]string                                   // every inbound SPI ever given out
	boots    map[string]int
	ivs      map[string]bool // of protected messages, by sender and IKE SA
}

type testnode struct {
	name    string
	addr    netip.Addr
	machine *Machine
	labels  map[string]bool
	// octets with addresses that have not authenticated themselves
	heard, told map[netip.Addr]int
	proven      map[netip.Addr]bool
	records     []Record
	keys        map[uint64]*testkeys // by the machine's number of the IKE SA
}

// testkeys are an IKE SA's keys at one end.
type testkeys struct {
	name        string
	keys        [][]byte
	established bool
}

// flight is a datagram on its way.
type flight struct {
	number        int
	from          *testnode
	to            string
	local, remote netip.AddrPort // as the receiver will see them: its own end, then the sender's
	marker        bool
	payload       []byte
	at            time.Duration
	info          *Exchange
	first         []byte
}

// rule says what happens to the next packets from one machine to another.
type rule struct {
	from, to, what string
	count          int
	delay          time.Duration
}

func newTestnet() *testnet {
	return &testnet{
		delay: 10 * time.Millisecond, children: map[string]ChildSA{},
		spis: map[string]string{}, boots: map[string]int{}, ivs: map[string]bool{},
	}
}

// testStream is a deterministic stream: AES-CTR keyed by the hash of the label.
func testStream(label string) io.Reader {
	key := sha256.Sum256([]byte(label))
	block, err := aes.NewCipher(key[:16])
	if err != nil {
		panic(err)
	}
	return cipher.StreamReader{S: cipher.NewCTR(block, key[16:]), R: zeros{}}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func (n *testnet) problem(format string, args ...any) {
	n.problems = append(n.problems, fmt.Sprintf("%s: ", n.now)+fmt.Sprintf(format, args...))
}

// add makes a node of a configuration; its Random is set here.
func (n *testnet) add(name string, addr netip.Addr, cfg Config) (*testnode, error) {
	node := &testnode{
		name: name, addr: addr, keys: map[uint64]*testkeys{}, labels: map[string]bool{}, heard: map[netip.Addr]int{}, told: map[netip.Addr]int{}, proven: map[netip.Addr]bool{},
	}
	cfg.Node = name
	n.boots[name]++ // a restarted machine must not repeat its predecessor's streams
	boot := n.boots[name]
	cfg.Random = func(label string) io.Reader {
		if node.labels[label] {
			n.problem("%s asks twice for the stream %q", name, label)
		}
		node.labels[label] = true
		return testStream(fmt.Sprintf("%s/%d/%s", name, boot, label))
	}
	if cfg.SourceAddr == nil {
		cfg.SourceAddr = func(netip.Addr) netip.Addr { return addr }
	}
	m, err := New(cfg)
	if err != nil {
		return nil, err
	}
	node.machine = m
	n.nodes = slices.DeleteFunc(n.nodes, func(o *testnode) bool { return o.name == name })
	n.forget(name)
	n.nodes = append(n.nodes, node)
	return node, nil
}

// forget drops what a restarted machine had.
func (n *testnet) forget(name string) {
	for k := range n.children {
		if strings.HasPrefix(k, name+" ") {
			delete(n.children, k)
		}
	}
}

func (n *testnet) node(name string) *testnode {
	for _, node := range n.nodes {
		if node.name == name {
			return node
		}
	}
	return nil
}

func (n *testnet) owner(addr netip.Addr) *testnode {
	for _, node := range n.nodes {
		if node.addr == addr {
			return node
		}
	}
	return nil
}

func (n *testnet) printf(format string, args ...any) {
	if !n.quiet {
		fmt.Fprintf(&n.log, format+"\n", args...)
	}
}

// step hands one event to a machine and carries out its actions.
func (n *testnet) step(node *testnode, ev Event) {
	actions := node.machine.Step(n.now, ev)
	if n.watch != nil {
		n.watch(node, actions)
	}
	for _, a := range actions {
		switch a := a.(type) {
		case Send:
			n.send(node, a)
		case InstallChild:
			n.install(node, a.SA)
		case DeleteChild:
			n.uninstall(node, a)
		case TrapRests:
			n.printf("%8s  %-2s %s rests until %s", n.now, node.name, cmp.Or(a.Child, "every trap of "+a.Connection), a.Until)
		case MoveChild:
			n.printf("%8s  %-2s moves %s %08x to %s", n.now, node.name, a.Child, a.SPIIn, a.Remote)
		case Record:
			n.record(node, a)
		}
	}
}

func (n *testnet) record(node *testnode, r Record) {
	node.records = append(node.records, r)
	switch r.Kind {
	case RecordReceived:
		if r.Exchange.Protected && !r.Exchange.Response {
			node.proven[r.Remote.Addr()] = true // it has what was answered to IKE_SA_INIT
		}
		return
	case RecordSent:
		return
	case RecordKeys:
		n.learnKeys(node, r.IKE, r.Keys)
		return
	case RecordIKEEstablished:
		n.compareKeys(node, r.IKE)
		node.proven[r.Remote.Addr()] = true
	}
	name := ""
	if r.IKE != 0 {
		name = fmt.Sprintf("[%d]", r.IKE)
	}
	if r.Connection != "" && len(node.machine.connections) > 1 {
		name += " (" + r.Connection + ")"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%8s  %-2s %s%s", n.now, node.name, r.Kind, name)
	for _, f := range r.Fields {
		if strings.ContainsAny(f.Value, " ,") {
			fmt.Fprintf(&b, " %s=%q", f.Key, f.Value)
		} else {
			fmt.Fprintf(&b, " %s=%s", f.Key, f.Value)
		}
	}
	n.printf("%s", b.String())
}

// learnKeys holds that no two IKE SAs have the same keys.
func (n *testnet) learnKeys(node *testnode, id uint64, k *Keys) {
	name := k.SPIi.String() + k.SPIr.String()
	mine := [][]byte{k.SKei, k.SKer, k.SKai, k.SKar}
	for _, other := range n.nodes {
		for _, theirs := range other.keys {
			if theirs.name != name && bytes.Equal(theirs.keys[0], mine[0]) {
				n.problem("%s has the keys of IKE SA %s for IKE SA %s", node.name, theirs.name, name)
			}
		}
	}
	node.keys[id] = &testkeys{name: name, keys: mine}
}

// compareKeys holds that both ends of an established IKE SA have the same keys.
// Before, they may differ: IKE_SA_INIT is not protected.
func (n *testnet) compareKeys(node *testnode, id uint64) {
	mine := node.keys[id]
	mine.established = true
	for _, other := range n.nodes {
		for _, theirs := range other.keys {
			if theirs.name == mine.name && theirs.established && !slices.EqualFunc(theirs.keys, mine.keys, bytes.Equal) {
				n.problem("%s has other keys than its peer for IKE SA %s", node.name, mine.name)
			}
		}
	}
}

func (n *testnet) install(node *testnode, sa ChildSA) {
	key := fmt.Sprintf("%s %08x", node.name, sa.SPIIn)
	if was, ok := n.spis[key]; ok {
		n.problem("%s uses the inbound SPI %08x again: %s", node.name, sa.SPIIn, was)
	}
	n.spis[key] = sa.Child
	n.children[key] = sa
	for k, other := range n.children {
		if !strings.HasPrefix(k, node.name+" ") && other.SPIIn == sa.SPIOut && other.SPIOut == sa.SPIIn {
			if !bytes.Equal(other.In.Encr, sa.Out.Encr) || !bytes.Equal(other.Out.Encr, sa.In.Encr) ||
				!bytes.Equal(other.In.Integ, sa.Out.Integ) || !bytes.Equal(other.Out.Integ, sa.In.Integ) {
				n.problem("%s and its peer have different keys for CHILD_SA %08x", node.name, sa.SPIIn)
			}
			if other.Proposal.String() != sa.Proposal.String() || other.ESN != sa.ESN || other.Encap != sa.Encap ||
				describeSelectors(other.LocalTS) != describeSelectors(sa.RemoteTS) || describeSelectors(other.RemoteTS) != describeSelectors(sa.LocalTS) {
				n.problem("%s and its peer disagree about CHILD_SA %08x", node.name, sa.SPIIn)
			}
		}
	}
	if bytes.Equal(sa.In.Encr, sa.Out.Encr) {
		n.problem("%s has one key for both directions of CHILD_SA %08x", node.name, sa.SPIIn)
	}
	ends := ""
	if sa.Encap {
		ends = fmt.Sprintf(" in UDP %s to %s", sa.Local, sa.Remote)
	}
	n.printf("%8s  %-2s installs %s%s", n.now, node.name, sa.Child, ends)
}

func (n *testnet) uninstall(node *testnode, d DeleteChild) {
	if d.SPIIn == 0 {
		n.printf("%8s  %-2s removes %s, outbound only", n.now, node.name, d.Child)
		return
	}
	key := fmt.Sprintf("%s %08x", node.name, d.SPIIn)
	if _, ok := n.children[key]; !ok {
		n.problem("%s removes a CHILD_SA that is not installed: %08x", node.name, d.SPIIn)
	}
	delete(n.children, key)
	n.printf("%8s  %-2s removes %s", n.now, node.name, d.Child)
}

// send puts a datagram on its way.
func (n *testnet) send(node *testnode, s Send) {
	if s.Keepalive {
		n.printf("%8s  %s -> %s keepalive", n.now, node.name, n.receiver(s.Remote))
		return
	}
	f := &flight{
		number: len(n.sent) + 1, from: node, local: s.Remote, remote: s.Local, marker: s.NonESPMarker,
		payload: bytes.Clone(s.Payload), at: n.now + n.delay, info: s.Exchange, first: s.Payload,
	}
	if s.NonESPMarker != (s.Local.Port() == 4500) {
		n.problem("%s sends from port %d with marker %v", node.name, s.Local.Port(), s.NonESPMarker)
	}
	if n.lie != nil {
		n.falsify(node, f)
	}
	n.translate(f)
	to := n.owner(f.local.Addr())
	f.to = n.receiver(s.Remote)
	n.checkRepeated(node, f)
	n.checkAmplification(node, s)
	n.checkIV(node, s)
	n.sent = append(n.sent, f)
	note := n.apply(f)
	if to == nil {
		note += " (nobody there)"
	}
	n.printf("%8s  %s -> %s %s%s", n.now, node.name, f.to, ladder(f), note)
}

// checkIV holds that no two messages are sealed with one IV: to repeat one under an
// AEAD's key gives the key away (RFC 5282 §3.1).
func (n *testnet) checkIV(node *testnode, s Send) {
	const ivOffset, ivBytes = 28 + 4, 8 // behind the headers of message and payload; the shortest IV
	if !s.Exchange.Protected || s.Exchange.Transmission > 0 {
		return
	}
	key := fmt.Sprintf("%s %s %s %x", node.name, s.Exchange.SPIi, s.Exchange.SPIr, s.Payload[ivOffset:ivOffset+ivBytes])
	if n.ivs[key] {
		n.problem("%s uses an IV twice: %s", node.name, key)
	}
	n.ivs[key] = true
}

// falsify lets the sender of a message say something else, under its own keys.
func (n *testnet) falsify(node *testnode, f *flight) {
	msg, err := wire.Parse(f.payload)
	peer := n.owner(f.local.Addr())
	if err != nil || peer == nil {
		return
	}
	ps := msg.Payloads
	back := msg.Header
	back.Flags ^= wire.FlagInitiator // by which the sender would find its own SA
	sa := node.machine.find(back)
	if f.info.Protected {
		other := peer.machine.find(msg.Header)
		if sa == nil || other == nil {
			return
		}
		o, err := peer.machine.open(other, f.payload, msg)
		if err != nil {
			return
		}
		if ps, err = o.parse(); err != nil {
			return
		}
	}
	if ps = n.lie(f.info, ps); ps == nil {
		return
	}
	var b []byte
	if f.info.Protected {
		var text []byte
		if text, err = wire.AppendPayloads(nil, ps); err == nil && n.garble != nil {
			text = n.garble(text)
		}
		if err == nil {
			b, err = sa.keys.send.sealText(msg.Header, wire.FirstType(ps), text)
		}
	} else {
		b, err = (&wire.Message{Header: msg.Header, Payloads: ps}).Append(nil)
	}
	if err != nil {
		n.problem("cannot lie: %v", err)
		return
	}
	f.payload, f.first = b, bytes.Clone(b)
}

func (n *testnet) receiver(addr netip.AddrPort) string {
	for _, nat := range n.nats {
		if nat.outside == addr.Addr() {
			if node := n.owner(nat.inside); node != nil {
				return node.name
			}
		}
	}
	if node := n.owner(addr.Addr()); node != nil {
		return node.name
	}
	return addr.Addr().String()
}

// ladder is one line of a ladder: what the message is.
func ladder(f *flight) string {
	e := f.info
	if e == nil {
		return fmt.Sprintf("#%d", f.number)
	}
	kind := "request"
	if e.Response {
		kind = "response"
	}
	again := ""
	if e.Transmission > 0 {
		again = fmt.Sprintf(" again (%d)", e.Transmission)
	}
	payloads := strings.Join(e.Payloads, " ")
	if e.Protected {
		payloads = strings.TrimSpace("SK{" + payloads + "}")
	}
	port := ""
	if f.marker {
		port = " :4500"
	}
	return fmt.Sprintf("#%d%s %s %s %d%s  %s", f.number, port, e.Type, kind, e.MessageID, again, payloads)
}

// apply carries out the first rule that fits and says so.
func (n *testnet) apply(f *flight) string {
	for i, r := range n.rules {
		if r.from != f.from.name || (r.to != f.to && r.to != "*") {
			continue
		}
		if r.count--; r.count == 0 {
			n.rules = slices.Delete(n.rules, i, i+1)
		}
		switch r.what {
		case "lose":
			return " (lost)"
		case "duplicate":
			n.fly(f)
			twin := *f
			twin.at += r.delay
			n.fly(&twin)
			return " (duplicated)"
		case "delay":
			f.at += r.delay
			n.fly(f)
			return fmt.Sprintf(" (delayed by %s)", r.delay)
		case "tamper":
			f.payload[len(f.payload)-1] ^= 1
			n.fly(f)
			return " (tampered with)"
		}
	}
	n.fly(f)
	return ""
}

func (n *testnet) fly(f *flight) {
	if n.deaf {
		return
	}
	i := len(n.flights)
	for i > 0 && n.flights[i-1].at > f.at {
		i--
	}
	n.flights = slices.Insert(n.flights, i, f)
}

// arrive delivers the next datagram.
func (n *testnet) arrive() {
	f := n.flights[0]
	n.flights = n.flights[1:]
	n.now = max(n.now, f.at)
	n.deliver(f)
}

func (n *testnet) deliver(f *flight) {
	to := n.owner(f.local.Addr())
	if to == nil {
		return
	}
	to.heard[f.remote.Addr()] += len(f.payload)
	n.step(to, Datagram{Local: f.local, Remote: f.remote, Payload: bytes.Clone(f.payload)})
}

// next is when something happens by itself.
func (n *testnet) next() (at time.Duration, run func(), ok bool) {
	for _, node := range n.nodes {
		if t, _, has := node.machine.Deadline(); has && (!ok || t < at) {
			at, ok = t, true
			run = func() { n.now = max(n.now, t); n.step(node, Timeout{}) }
		}
	}
	if len(n.flights) > 0 && (!ok || n.flights[0].at <= at) {
		return n.flights[0].at, n.arrive, true
	}
	return at, run, ok
}

// advance lets time pass.
func (n *testnet) advance(d time.Duration) {
	end := n.now + d
	for range 1_000_000 {
		at, run, ok := n.next()
		if !ok || at > end {
			n.now = end
			return
		}
		run()
	}
	n.problem("a million events in %s: something does not end", d)
}

// settle lets every datagram arrive, and what is sent in answer.
func (n *testnet) settle() {
	for range 100_000 {
		if len(n.flights) == 0 {
			return
		}
		_, run, _ := n.next()
		run()
	}
	n.problem("the exchange does not end")
}

// checkRepeated holds that what is sent again is what was sent before.
func (n *testnet) checkRepeated(node *testnode, f *flight) {
	if f.info == nil || f.info.Transmission == 0 {
		return
	}
	for _, old := range slices.Backward(n.sent) {
		if old.from == node && old.info != nil && old.info.SPIi == f.info.SPIi && old.info.SPIr == f.info.SPIr && old.info.Response == f.info.Response &&
			old.info.Initiator == f.info.Initiator && old.info.MessageID == f.info.MessageID && old.info.Type == f.info.Type {
			if !bytes.Equal(old.first, f.first) {
				n.problem("%s repeats %s with other octets", node.name, ladder(f))
			}
			return
		}
	}
	n.problem("%s repeats %s, which it never sent", node.name, ladder(f))
}

// checkAmplification holds that a responder sends an unproven address no more than
// it received from it.
func (n *testnet) checkAmplification(node *testnode, s Send) {
	a := s.Remote.Addr()
	if s.Exchange == nil || !s.Exchange.Response || node.proven[a] {
		return
	}
	node.told[a] += len(s.Payload)
	if node.told[a] > node.heard[a] {
		n.problem("%s sent %d octets to %s, which sent %d and is not authenticated", node.name, node.told[a], a, node.heard[a])
	}
}

// state is what a node has now, in one line.
func (n *testnet) state(node *testnode) string {
	var parts []string
	for _, sa := range node.machine.sas {
		name := [...]string{"IKE_SA_INIT sent", "IKE_AUTH sent", "half-open", "established", "deleting", "closed"}[sa.state]
		var kids []string
		for _, c := range sa.children {
			kids = append(kids, c.child)
		}
		parts = append(parts, fmt.Sprintf("%s[%d] %s {%s}", sa.conn.Name, sa.id, name, strings.Join(kids, " ")))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}
