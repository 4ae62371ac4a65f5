package daemon_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/node/daemon"
)

// proposals gives our node other IKE proposals.
func proposals(t *testing.T, text string) func(*ike.Config) {
	return func(c *ike.Config) {
		list, err := suite.ParseProposals(suite.ProtocolIKE, text)
		if err != nil {
			t.Fatal(err)
		}
		c.Connections[0].Proposals = list
	}
}

// scene is a tunnel between charon and our node that is not up yet.
type scene struct {
	*testing.T
	near, away *site
	charon     *daemon.Charon
	ours       *core
}

// tunnel makes one. edit changes charon's configuration, change ours.
func tunnel(t *testing.T, edit *strings.Replacer, change ...func(*ike.Config)) *scene {
	t.Helper()
	t.Parallel()
	strongswan := tree(t)
	s := &scene{T: t}
	s.near, s.away, s.ours = far(t, false, forIKE, forESP, change...)
	text := connections(s.near, s.away)
	if edit != nil {
		before := text
		if text = edit.Replace(text); text == before {
			t.Fatal("charon's configuration has nothing of what is to be changed")
		}
	}
	s.charon = s.near.charon(strongswan, text)
	return s
}

// byUs and byCharon initiate and wait for the child at both ends.
func (s *scene) byUs() {
	s.Helper()
	s.ours.order(ike.Initiate, "net")
	s.up()
}

func (s *scene) byCharon() {
	s.Helper()
	if err := s.charon.Initiate(deadline(s.T), "net"); err != nil {
		s.Fatal(err)
	}
	s.up()
}

// up waits for the child at both ends and sends pings both ways.
func (s *scene) up() {
	s.Helper()
	await(s.T, "the child is installed at both ends", func() bool {
		sas := list(s.T, s.charon)
		return len(sas) == 1 && len(sas[0].Children) == 1 && sas[0].Children[0].State == "INSTALLED" && len(s.ours.associations()) == 1
	})
	s.near.ping(s.away, 1)
	s.ours.ping(s.away, s.near, 1)
}

// alone waits until both ends have the IKE SA and no child.
func (s *scene) alone() {
	s.Helper()
	await(s.T, "the child is gone at both ends, the IKE SA is not", func() bool {
		sas := list(s.T, s.charon)
		return len(sas) == 1 && len(sas[0].Children) == 0 && len(s.ours.associations()) == 0
	})
}

// saw waits for an event of ours that says all of this.
func (s *scene) saw(kind node.EventKind, words ...string) {
	s.Helper()
	await(s.T, string(kind)+" "+strings.Join(words, ", "), func() bool {
	events:
		for _, e := range s.ours.seen() {
			if name, _, _ := strings.Cut(e, " "); name != string(kind) {
				continue
			}
			for _, w := range words {
				if !strings.Contains(e, w) {
					continue events
				}
			}
			return true
		}
		return false
	})
}

// refused lets charon initiate and wants it to hear a reason.
func (s *scene) refused(reason string) {
	s.Helper()
	err := s.charon.Initiate(deadline(s.T), "net")
	if err == nil || !strings.Contains(err.Error(), reason) {
		s.Errorf("charon's initiation: got %v, want %s", err, reason)
	}
}

func TestChildDeletedByCharon(t *testing.T) {
	s := tunnel(t, nil)
	s.byUs()
	if err := s.charon.TerminateChild(deadline(t), "net"); err != nil {
		t.Error(err)
	}
	s.alone()
	s.saw(node.EventKind(ike.RecordChildDeleted), "the peer deleted it")
	// Our node has no CREATE_CHILD_SA yet: it makes a new IKE SA instead and deletes the old one.
	s.byUs()
}

func TestChildDeletedByUs(t *testing.T) {
	s := tunnel(t, nil)
	s.byCharon()
	s.ours.order(ike.Terminate, "net")
	s.alone()
	// Charon would make the next child on this IKE SA, which our node refuses.
	s.refused("NO_ADDITIONAL_SAS")
	if err := s.charon.TerminateIKE(deadline(t), "site"); err != nil {
		t.Error(err)
	}
	s.byCharon()
}

// TestRekeyingIsRefused: CREATE_CHILD_SA, which our node does not speak yet, it refuses as RFC 7296 §4 has it. Charon
// then makes everything anew, so that what it was configured to rekey lives on.
func TestRekeyingIsRefused(t *testing.T) {
	s := tunnel(t, nil)
	s.byCharon()
	for _, what := range []string{"--child=net", "--ike=site"} {
		before := one(t, s.charon).SPIi
		if _, err := s.charon.Swanctl(deadline(t), "--rekey", what); err != nil {
			t.Error(err)
		}
		await(t, "charon has made a new IKE SA after "+what, func() bool {
			sas := list(t, s.charon)
			return len(sas) == 1 && sas[0].State == "ESTABLISHED" && sas[0].SPIi != before
		})
		s.up()
	}
	if n := strings.Count(s.charon.Log(), "N(NO_ADD_SAS)"); n != 2 {
		t.Errorf("our node refused %d times, want 2", n)
	}
}

func TestWrongSecret(t *testing.T) {
	s := tunnel(t, strings.NewReplacer("four tulips", "four roses"))
	s.refused("AUTHENTICATION_FAILED")
	s.ours.order(ike.Initiate, "net")
	s.saw(node.EventKind(ike.RecordIKEFailed), "AUTHENTICATION_FAILED")
}

func TestNoProposalInCommon(t *testing.T) {
	s := tunnel(t, strings.NewReplacer("proposals = "+forIKE, "proposals = aes128-sha256-ecp256"))
	s.refused("NO_PROPOSAL_CHOSEN")
	s.ours.order(ike.Initiate, "net")
	// It is unprotected, so that it is believed only when nothing better comes for a while.
	s.saw(node.EventKind(ike.RecordReceived), "NO_PROPOSAL_CHOSEN")
}

func TestNoSelectorsInCommon(t *testing.T) {
	s := tunnel(t, strings.NewReplacer("local_ts = 10.1.0.1", "local_ts = 10.9.0.1"))
	s.refused("TS_UNACCEPTABLE")
	s.ours.order(ike.Initiate, "net")
	s.saw(node.EventKind(ike.RecordReceived), "IKE_AUTH", "N(TS_UNACCEPTABLE)")
	await(t, "our node has noted both refusals, its own and charon's", func() bool {
		return s.ours.count(node.EventKind(ike.RecordChildFailed)) == 2
	})
}

func TestSelectorsAreNarrowed(t *testing.T) {
	s := tunnel(t, strings.NewReplacer("local_ts = 10.1.0.1", "local_ts = 10.1.0.0/16", "remote_ts = 10.2.0.1", "remote_ts = 10.2.0.0/24"))
	s.byUs()
	s.ours.order(ike.Terminate, "")
	await(t, "nothing is left", func() bool { return len(list(t, s.charon)) == 0 })
	s.byCharon()
	if c := one(t, s.charon).Children[0]; strings.Join(c.LocalTS, " ") != "10.1.0.1/32" || strings.Join(c.RemoteTS, " ") != "10.2.0.1/32" {
		t.Errorf("our node narrowed charon's selectors to %v and %v", c.LocalTS, c.RemoteTS)
	}
}

// TestWrongGuessOfTheGroup: INVALID_KE_PAYLOAD leads to the group that the other end has.
func TestWrongGuessOfTheGroup(t *testing.T) {
	s := tunnel(t, strings.NewReplacer(forIKE, "aes256gcm16-prfsha384-ecp384-x25519"), proposals(t, "aes256gcm16-prfsha384-ecp256-x25519"))
	s.byUs()
	s.saw(node.EventKind(ike.RecordReceived), "INVALID_KE_PAYLOAD")
	s.ours.order(ike.Terminate, "")
	await(t, "nothing is left", func() bool { return len(list(t, s.charon)) == 0 })
	s.byCharon()
	if !strings.Contains(s.charon.Log(), "N(INVAL_KE)") {
		t.Error("charon guessed our group although its own is another")
	}
}

func TestNames(t *testing.T) {
	for _, id := range []string{"gw-a.example.org", "a@example.org", "keyid:gate A"} {
		t.Run(id, func(t *testing.T) {
			s := tunnel(t, strings.NewReplacer("id = 192.0.2.1", "id = "+id, "id-local = 192.0.2.1", "id-local = "+id),
				func(c *ike.Config) {
					peer, err := ike.ParseIdentity(id)
					if err != nil {
						t.Fatal(err)
					}
					c.Connections[0].Remote.ID = peer
				})
			s.byUs()
			s.ours.order(ike.Terminate, "")
			await(t, "nothing is left", func() bool { return len(list(t, s.charon)) == 0 })
			s.byCharon()
		})
	}
}

// TestRestarts: after a crash at either end the next tunnel replaces what the other end still has.
func TestRestarts(t *testing.T) {
	s := tunnel(t, nil)
	s.byUs()
	s.ours.restart()
	s.byUs()
	s.ours.restart()
	s.byCharonAgain()
	if err := s.charon.Kill(); err != nil {
		t.Fatal(err)
	}
	s.charon = s.near.charon(tree(t), connections(s.near, s.away))
	s.byCharon()
}

// byCharonAgain lets charon notice that our node has forgotten the SA, and initiate anew.
func (s *scene) byCharonAgain() {
	s.Helper()
	if _, err := s.charon.Swanctl(deadline(s.T), "--terminate", "--ike", "site", "--force", "--timeout", "-1"); err != nil {
		s.Error(err)
	}
	await(s.T, "charon has given the SA up", func() bool { return len(list(s.T, s.charon)) == 0 })
	s.byCharon()
}

// TestLiveness: each end answers the other's question.
func TestLiveness(t *testing.T) {
	s := tunnel(t, strings.NewReplacer("version = 2", "version = 2\n dpd_delay = 1s"))
	s.byUs()
	s.ours.order(ike.Liveness, "")
	s.saw(node.EventKind(ike.RecordLiveness), "alive")
	await(t, "charon has asked and been answered", func() bool {
		_, after, asked := strings.Cut(s.charon.Log(), "sending DPD request")
		return asked && strings.Contains(after, "parsed INFORMATIONAL response")
	})
	s.up()
}

// TestCharonBeginsOnPort4500: the responder takes the non-ESP marker from the first message on.
func TestCharonBeginsOnPort4500(t *testing.T) {
	s := tunnel(t, strings.NewReplacer("version = 2", "version = 2\n local_port = 4500\n remote_port = 4500"))
	s.byCharon()
}

func TestWeBeginOnPort4500(t *testing.T) {
	s := tunnel(t, nil, func(c *ike.Config) { c.Connections[0].RemotePort = 4500 })
	s.byUs()
}

// TestCharonAsksForACookie: with one IKE SA half-open, charon makes sure that the next initiator is where it says.
func TestCharonAsksForACookie(t *testing.T) {
	s := tunnel(t, nil)
	if err := s.charon.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	s.charon, err = daemon.Start(deadline(t), daemon.Config{
		Tree: tree(t), Namespace: s.near.net, Dir: t.TempDir(), Connections: connections(s.near, s.away),
		Settings: "cookie_threshold = 1",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.charon.Close() })

	// IKE_AUTH is lost until our node has been told to begin anew.
	s.ours.losing(func(p *node.PacketOut) bool { return p.Exchange != nil && p.Exchange.Type == wire.ExchangeIKEAuth })
	s.ours.order(ike.Initiate, "net")
	s.saw(node.EventKind(ike.RecordSent), "IKE_AUTH")
	s.ours.restart()
	s.ours.losing(nil)
	s.ours.order(ike.Initiate, "net")
	s.saw(node.EventKind(ike.RecordReceived), "COOKIE")
	await(t, "the child is installed", func() bool { return len(s.ours.associations()) == 1 })
	s.near.ping(s.away, 1)
}

// losing decides from now on what does not reach charon.
func (c *core) losing(f func(*node.PacketOut) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lose = f
}

// TestTrap: the first packet of ours waits for the tunnel that it calls for.
func TestTrap(t *testing.T) {
	s := tunnel(t, nil, func(c *ike.Config) { c.Connections[0].Children[0].StartAction = ike.StartTrap })
	s.ours.ping(s.away, s.near, 2)
	s.up()
}

// TestFragments: a packet that is longer than any link carries goes through the tunnel in pieces, and back.
func TestFragments(t *testing.T) {
	s := tunnel(t, nil)
	s.byUs()
	s.near.pingBytes(s.away, 4000)
	s.ours.pingBytes(s.away, s.near, 4000)
}

// TestBothBegin: both ends begin before either has heard of the other, and a tunnel that works is left.
func TestBothBegin(t *testing.T) {
	s := tunnel(t, nil)
	var held [][]byte // our request, until charon's is here
	s.ours.losing(func(p *node.PacketOut) bool {
		if p.Exchange == nil || p.Exchange.Response || p.Exchange.Type != wire.ExchangeIKESAInit {
			return false
		}
		held = append(held, bytes.Clone(p.Bytes))
		return true
	})
	s.ours.order(ike.Initiate, "net")
	done := make(chan error, 1)
	go func() { done <- s.charon.Initiate(deadline(t), "net") }()
	s.saw(node.EventKind(ike.RecordReceived), "IKE_SA_INIT")
	s.ours.losing(nil)
	for _, b := range held {
		if _, err := s.ours.tun.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	await(t, "our own request has been answered with a tunnel", func() bool { return s.ours.count(node.EventKind(ike.RecordChildInstalled)) == 2 })
	// Charon believes INITIAL_CONTACT to the letter: it would end the IKE SA that it began, without a word.
	for _, e := range s.ours.seen() {
		if strings.HasPrefix(e, string(ike.RecordSent)) && strings.Contains(e, "INITIAL_CONTACT") {
			t.Errorf("our node claims that there is no other IKE SA: %s", e)
		}
	}
	// Of the two IKE SAs our node deletes its own if that has the lowest nonce (RFC 7296 §2.8.1); charon keeps its own
	// in any case.
	await(t, "both ends have the same tunnels, and none is being deleted", func() bool {
		deletes := 0
		for _, e := range s.ours.seen() {
			if strings.HasPrefix(e, string(ike.RecordSent)) && strings.Contains(e, "D(IKE)") {
				deletes++
			}
		}
		if deletes != s.ours.count(node.EventKind(ike.RecordIKEDeleted)) {
			return false
		}
		sas := list(t, s.charon)
		return len(sas) > 0 && len(sas) == len(s.ours.associations())
	})
	s.near.ping(s.away, 2)
	s.ours.ping(s.away, s.near, 2)
}
