package ike

import (
	"encoding/hex"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

var update = flag.Bool("update", false, "rewrite the expected output of the scripts in testdata")

// TestScripts runs testdata/*.txt. A script is a list of commands, each with the
// ladder that it must produce between "----" and the next empty line. Lines that
// begin with "#" are for the reader. script.command and script.order list the commands.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d scripts found, 20 or more are expected (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, net: newTestnet()}
	got := s.run(string(text))
	for _, p := range s.net.problems {
		t.Errorf("%s: %s", file, p)
	}
	if got == string(text) {
		return
	}
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s (-file +run; if the run is right: go test ./ike -run TestScripts -update)\n%s", file, cmp.Diff(string(text), got))
}

// script is a running script.
type script struct {
	t   *testing.T
	net *testnet
}

// run executes a script and returns it with the output it produced.
func (s *script) run(text string) string {
	var out strings.Builder
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); {
		if lines[i] == "" || strings.HasPrefix(lines[i], "#") {
			out.WriteString(lines[i] + "\n")
			i++
			continue
		}
		var input []string
		for i < len(lines) && lines[i] != "" && lines[i] != "----" {
			input = append(input, lines[i])
			out.WriteString(lines[i] + "\n")
			i++
		}
		for i < len(lines) && lines[i] != "" {
			i++ // the expected output
		}
		s.net.log.Reset()
		for _, command := range commands(input) {
			if err := s.command(command[0], command[1:]); err != nil {
				s.net.printf("error: %v", err)
			}
		}
		out.WriteString("----\n" + s.net.log.String())
	}
	return out.String()
}

// commands groups lines: an indented one belongs to the command above it.
func commands(lines []string) (out [][]string) {
	for _, l := range lines {
		if strings.HasPrefix(l, " ") && len(out) > 0 {
			out[len(out)-1] = append(out[len(out)-1], strings.TrimSpace(l))
			continue
		}
		out = append(out, []string{l})
	}
	return out
}

func (s *script) command(line string, settings []string) error {
	words := strings.Fields(line)
	args := words[1:]
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	switch words[0] {
	case "machine":
		return s.machine(args, settings)
	case "pair":
		return s.pair(settings)
	case "nat":
		return s.nat(args)
	case "rebind":
		for _, nat := range s.net.nats {
			nat.out = map[uint16]uint16{}
		}
		return nil
	case "lose", "duplicate", "delay", "tamper":
		return s.rule(words[0], args)
	case "advance":
		d, err := time.ParseDuration(arg(0))
		if err != nil {
			return err
		}
		s.net.advance(d)
		return nil
	case "settle":
		s.net.settle()
		return nil
	case "replay":
		return s.replay(args)
	case "hex":
		return s.hex(args)
	case "forge":
		return s.forge(args)
	}
	node := s.net.node(arg(0))
	if node == nil {
		return fmt.Errorf("there is no machine %q", arg(0))
	}
	return s.order(node, words[0], args[1:])
}

// order gives a command to one machine.
func (s *script) order(node *testnode, verb string, args []string) error {
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	connection := func(i int) string {
		if arg(i) != "" {
			return arg(i)
		}
		return node.machine.connections[0].Name
	}
	switch verb {
	case "start":
		s.net.step(node, Start{})
	case "up":
		s.net.step(node, Command{Kind: Initiate, Connection: connection(0), Child: arg(1)})
	case "down":
		s.net.step(node, Command{Kind: Terminate, Connection: connection(0), Child: arg(1)})
	case "liveness":
		s.net.step(node, Command{Kind: Liveness, Connection: connection(0)})
	case "acquire":
		ev := Acquire{Connection: connection(99), Child: arg(0)}
		if len(args) > 2 {
			ev.Packet = TrafficKey{Source: netip.MustParseAddr(args[1]), Destination: netip.MustParseAddr(args[2])}
		}
		if len(args) > 4 {
			port, _ := strconv.Atoi(args[4])
			ev.Packet.Protocol, ev.Packet.SourcePort, ev.Packet.DestinationPort = 17, 40000, uint16(port)
		}
		s.net.step(node, ev)
	case "lifetime":
		for _, sa := range node.machine.sas {
			for _, c := range sa.children {
				s.net.step(node, Lifetime{SPI: c.spiIn, Hard: arg(0) != "soft", NotInstalled: arg(0) == "not-installed"})
				return nil
			}
		}
		return fmt.Errorf("%s has no CHILD_SA", node.name)
	case "esp":
		for _, sa := range node.machine.sas {
			for _, c := range sa.children {
				s.net.step(node, ESPSeen{SPI: c.spiIn, Remote: netip.MustParseAddrPort(arg(0))})
			}
		}
	case "espsent":
		for _, sa := range node.machine.sas {
			for _, c := range sa.children {
				s.net.step(node, ESPSent{SPI: c.spiIn, At: s.net.now})
			}
		}
	case "request":
		return s.request(node, args)
	case "state":
		s.net.printf("%8s  %-2s %s", s.net.now, node.name, s.net.state(node))
	case "deadline":
		at, why, ok := node.machine.Deadline()
		if !ok {
			s.net.printf("%8s  %-2s waits for nothing", s.net.now, node.name)
			return nil
		}
		s.net.printf("%8s  %-2s waits until %s: %s", s.net.now, node.name, at, why)
	default:
		return fmt.Errorf("there is no command %q", verb)
	}
	return nil
}

// request makes a machine send a protected request with payloads it would not send
// by itself: N(TYPE), D(IKE), D(ESP spi), critical(type), broken.
func (s *script) request(node *testnode, args []string) error {
	exchange := map[string]wire.ExchangeType{
		"INFORMATIONAL": wire.ExchangeInformational, "CREATE_CHILD_SA": wire.ExchangeCreateChildSA, "IKE_AUTH": wire.ExchangeIKEAuth,
	}[args[0]]
	var ps []wire.Payload
	for _, a := range args[1:] {
		switch {
		case strings.HasPrefix(a, "N("):
			for kind := range wire.NotifyType(49) {
				if kind.String() == strings.Trim(a[2:], ")") {
					ps = append(ps, &wire.Notify{Kind: kind})
				}
			}
		case a == "D(IKE)":
			ps = append(ps, &wire.Delete{Protocol: wire.ProtocolIKE})
		case strings.HasPrefix(a, "D(ESP:"):
			spi, err := strconv.ParseUint(strings.Trim(a[6:], ")"), 16, 32)
			if err != nil {
				return err
			}
			ps = append(ps, deleteESP(uint32(spi)))
		case strings.HasPrefix(a, "critical("):
			kind, err := strconv.Atoi(strings.Trim(a[9:], ")"))
			if err != nil {
				return err
			}
			ps = append(ps, &wire.Unknown{PayloadType: wire.PayloadType(kind), Critical: true, Data: []byte{1}})
		case a == "broken":
			ps = append(ps, &wire.Unknown{PayloadType: 200, Data: []byte{1}})
		default:
			return fmt.Errorf("there is no payload %q", a)
		}
	}
	m := node.machine
	for _, sa := range m.sas {
		if sa.up() && sa.out == nil {
			// Straight into the machine: no event makes it do this.
			m.now, m.actions = s.net.now, nil
			m.request(sa, exchange, ps, task{})
			m.settle()
			for _, a := range m.actions {
				if send, ok := a.(Send); ok {
					s.net.send(node, send)
				}
			}
			return nil
		}
	}
	return fmt.Errorf("%s has no established IKE SA with a free window", node.name)
}

// rule is "lose a->b [next N | all]", "delay a->b 3s", and so on.
func (s *script) rule(what string, args []string) error {
	from, to, ok := strings.Cut(args[0], "->")
	if !ok {
		return fmt.Errorf("%q: a direction such as a->b is needed", args[0])
	}
	r := &rule{from: from, to: to, what: what, count: 1}
	for _, a := range args[1:] {
		if d, err := time.ParseDuration(a); err == nil {
			r.delay = d
		} else if a == "all" {
			r.count = -1
		} else if a == "none" {
			s.net.rules = nil
			return nil
		} else if c, err := strconv.Atoi(a); err == nil {
			r.count = c
		}
	}
	s.net.rules = append(s.net.rules, r)
	return nil
}

// replay sends a packet of the ladder again: "replay 3 [from ADDR:PORT] [set OFFSET=HEX] [cut N]".
func (s *script) replay(args []string) error {
	number, err := strconv.Atoi(args[0])
	if err != nil || number < 1 || number > len(s.net.sent) {
		return fmt.Errorf("there is no packet #%s", args[0])
	}
	f := *s.net.sent[number-1]
	f.payload = []byte(string(f.first))
	for i := 1; i+1 < len(args); i += 2 {
		switch args[i] {
		case "from":
			f.remote = netip.MustParseAddrPort(args[i+1])
		case "cut":
			n, _ := strconv.Atoi(args[i+1])
			f.payload = f.payload[:n]
		case "set":
			at, value, _ := strings.Cut(args[i+1], "=")
			offset, _ := strconv.Atoi(at)
			b, err := hex.DecodeString(value)
			if err != nil {
				return err
			}
			copy(f.payload[offset:], b)
		}
	}
	s.net.printf("%8s  replay of #%d, %d octets, from %s", s.net.now, number, len(f.payload), f.remote)
	s.net.deliver(&f)
	return nil
}

// forge answers IKE_SA_INIT packet N in the responder's name, without being it:
// "forge a 1 INVALID_KE_PAYLOAD 000e".
func (s *script) forge(args []string) error {
	node := s.net.node(args[0])
	number, err := strconv.Atoi(args[1])
	if err != nil || number < 1 || number > len(s.net.sent) {
		return fmt.Errorf("there is no packet #%s", args[1])
	}
	f := s.net.sent[number-1]
	h, err := wire.ParseHeader(f.first)
	if err != nil {
		return err
	}
	h.Flags = wire.FlagResponse
	n := &wire.Notify{}
	for kind := range wire.NotifyType(16400) {
		if kind.String() == args[2] {
			n.Kind = kind
		}
	}
	if len(args) > 3 {
		if n.Data, err = hex.DecodeString(args[3]); err != nil {
			return err
		}
	}
	b, err := (&wire.Message{Header: h, Payloads: []wire.Payload{n}}).Append(nil)
	if err != nil {
		return err
	}
	s.net.printf("%8s  forged for %s: %s", s.net.now, node.name, wire.Describe(n))
	s.net.deliver(&flight{local: f.remote, remote: f.local, payload: b})
	return nil
}

// hex delivers octets: "hex b from 192.0.2.9:500 0011…".
func (s *script) hex(args []string) error {
	node := s.net.node(args[0])
	b, err := hex.DecodeString(strings.Join(args[3:], ""))
	if err != nil {
		return err
	}
	remote := netip.MustParseAddrPort(args[2])
	s.net.printf("%8s  %d octets from %s", s.net.now, len(b), remote)
	s.net.deliver(&flight{local: netip.AddrPortFrom(node.addr, 500), remote: remote, payload: b})
	return nil
}

// nat is "nat 192.0.2.1 behind 203.0.113.1".
func (s *script) nat(args []string) error {
	s.net.nats = append(s.net.nats, &testnat{
		inside: netip.MustParseAddr(args[0]), outside: netip.MustParseAddr(args[2]), next: 40000, out: map[uint16]uint16{},
	})
	return nil
}

// pair makes machines a and b that fit each other; settings such as
// "a.dpd_delay 10s" change one of them, "proposals …" both.
func (s *script) pair(settings []string) error {
	for _, end := range [][3]string{{"a", "192.0.2.1", "198.51.100.1"}, {"b", "198.51.100.1", "192.0.2.1"}} {
		var own []string
		for _, line := range settings {
			prefix, rest, dotted := strings.Cut(line, ".")
			switch {
			case !dotted || len(prefix) != 1:
				own = append(own, line)
			case prefix == end[0]:
				own = append(own, rest)
			}
		}
		if err := s.machine([]string{end[0], end[1], end[2]}, own); err != nil {
			return err
		}
	}
	return nil
}

// machine is "machine NAME ADDRESS PEER" with settings in swanctl's words.
func (s *script) machine(args, settings []string) error {
	name, peer := args[0], "any"
	addr, err := netip.ParseAddr(args[1])
	if err != nil {
		return err
	}
	if len(args) > 2 {
		peer = args[2]
	}
	cfg, err := testConfig(name, peer, settings)
	if err != nil {
		return err
	}
	_, err = s.net.add(name, addr, cfg)
	return err
}

// testConfig is a configuration with one connection "ike" and one child "net":
// a has 10.1.0.0/16, everyone else 10.2.0.0/16, and the other one is a's, or b's, peer.
func testConfig(name, peer string, settings []string) (Config, error) {
	c := Connection{Name: "ike", Children: []Child{{Name: "net"}}}
	own, other, local, remote := name+".example", "b.example", "10.1.0.0/16", "10.2.0.0/16"
	if name != "a" {
		other, local, remote = "a.example", remote, local
	}
	cfg := Config{Secrets: []Secret{{Name: "psk", Key: []byte("squeamish ossifrage")}}}
	base := []string{
		"proposals aes256gcm16-prfsha384-x25519", "esp_proposals aes256gcm16", "local_id " + own, "remote_id " + other,
		"local_ts " + local, "remote_ts " + remote, "remote_addrs " + peer,
	}
	for _, line := range append(base, settings...) {
		if err := set(&cfg, &c, line); err != nil {
			return cfg, fmt.Errorf("%q: %w", line, err)
		}
	}
	cfg.Connections = append(cfg.Connections, c)
	return cfg, nil
}

// set applies one setting.
func set(cfg *Config, c *Connection, line string) (err error) {
	key, value, _ := strings.Cut(line, " ")
	child := &c.Children[len(c.Children)-1]
	duration := func(to *time.Duration) { *to, err = time.ParseDuration(value) }
	number := func(to *int) { *to, err = strconv.Atoi(value) }
	selectors := func(to *[]wire.Selector) {
		*to = nil
		for _, p := range strings.Fields(value) {
			if p != "dynamic" {
				*to = append(*to, parseSelector(p))
			}
		}
	}
	addrs := func(to *[]netip.Addr) {
		*to = nil
		for _, a := range strings.Fields(value) {
			if a != "any" {
				*to = append(*to, netip.MustParseAddr(a))
			}
		}
	}
	switch key {
	case "proposals":
		c.Proposals, err = proposals(suite.ProtocolIKE, value)
	case "esp_proposals":
		child.ESPProposals, err = proposals(suite.ProtocolESP, value)
	case "local_id":
		c.Local.ID, err = ParseIdentity(value)
	case "remote_id":
		c.Remote.ID, err = ParseIdentity(value)
	case "local_ts":
		selectors(&child.LocalTS)
	case "remote_ts":
		selectors(&child.RemoteTS)
	case "local_addrs":
		addrs(&c.LocalAddrs)
	case "remote_addrs":
		addrs(&c.RemoteAddrs)
	case "port":
		port, e := strconv.Atoi(value)
		c.LocalPort, c.RemotePort, err = uint16(port), uint16(port), e
	case "encap":
		c.Encap = value == "yes"
	case "start_action":
		child.StartAction = map[string]StartAction{"start": StartStart, "trap": StartTrap}[value]
	case "child":
		more := *child
		more.Name = value
		c.Children = append(c.Children, more)
	case "connection":
		cfg.Connections = append(cfg.Connections, *c)
		c.Name = value
		c.Children = []Child{*child}
	case "dpd_delay":
		duration(&c.DPDDelay)
	case "keep_alive":
		duration(&c.KeepAlive)
	case "keyingtries":
		number(&c.KeyingTries)
	case "retransmit_timeout":
		duration(&c.Retransmit.Timeout)
	case "retransmit_limit":
		duration(&c.Retransmit.Limit)
	case "retransmit_base":
		number(&c.Retransmit.BaseMilli)
	case "retransmit_tries":
		number(&c.Retransmit.Tries)
	case "half_open_max":
		number(&cfg.Limits.HalfOpenMax)
	case "half_open_timeout":
		duration(&cfg.Limits.HalfOpenTimeout)
	case "unprotected_max":
		number(&cfg.Limits.UnprotectedRepliesPerSecondMax)
	case "secret":
		words := strings.Fields(value)
		secret := Secret{Name: words[0], Key: []byte(words[0])}
		for _, id := range words[1:] {
			parsed, e := ParseIdentity(id)
			if e != nil {
				return e
			}
			secret.IDs = append(secret.IDs, parsed)
		}
		cfg.Secrets = append(cfg.Secrets, secret)
	case "no-secrets":
		cfg.Secrets = nil
	default:
		err = fmt.Errorf("there is no such setting")
	}
	return err
}

func proposals(p suite.Protocol, text string) (out []suite.Proposal, err error) {
	for _, one := range strings.Fields(text) {
		prop, err := suite.ParseProposal(p, one)
		if err != nil {
			return nil, err
		}
		out = append(out, prop)
	}
	return out, nil
}

// parseSelector reads 10.0.0.0/8, 10.0.0.0/8[udp/53] and 10.0.0.1-10.0.0.9.
func parseSelector(text string) wire.Selector {
	text, rest, _ := strings.Cut(text, "[")
	var protocol uint8
	from, to := uint16(0), uint16(65535)
	if name, port, hasPort := strings.Cut(strings.TrimSuffix(rest, "]"), "/"); name != "" {
		protocol = map[string]uint8{"icmp": 1, "tcp": 6, "udp": 17}[name]
		if hasPort && port == "opaque" {
			from, to = 65535, 0
		} else if hasPort {
			low, high, isRange := strings.Cut(port, "-")
			n, _ := strconv.Atoi(low)
			from, to = uint16(n), uint16(n)
			if isRange {
				n, _ = strconv.Atoi(high)
				to = uint16(n)
			}
		}
	}
	if low, high, isRange := strings.Cut(text, "-"); isRange {
		s := wire.PrefixSelector(netip.PrefixFrom(netip.MustParseAddr(low), 32), protocol, from, to)
		s.End = netip.MustParseAddr(high)
		return s
	}
	s := wire.PrefixSelector(netip.MustParsePrefix(text), protocol, 0, 65535)
	s.StartPort, s.EndPort = from, to
	return s
}
