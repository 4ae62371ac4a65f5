package daemon_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/node"
	"github.com/vishvananda/netlink"
)

// core is a node of ours at the far end of a TUN device: node.Node with everything it does by itself, IKE, ESP and
// the IP layer, so that what is found here is the core's and not a kernel's. The host at the near end is charon's.
type core struct {
	t       *testing.T
	tun     *os.File
	began   time.Time
	changed chan struct{} // the deadline may have changed
	cfg     node.Config
	over    sync.WaitGroup

	mu      sync.Mutex
	node    *node.Node
	events  []string
	lose    func(*node.PacketOut) bool // what does not reach charon; nil: everything does
	replies int                        // echo replies that came through the tunnel
	done    bool
}

// far makes a host for charon whose eth0 is a TUN device, and our node at the far end of it.
func far(t *testing.T, v6 bool, ikeProposals, espProposals string, change ...func(*ike.Config)) (near, away *site, c *core) {
	t.Helper()
	near, away = hosts(t, v6)
	prefixes, all := away.prefixes(), "0.0.0.0/0"
	if v6 {
		all = "::/0"
	}
	device := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, Mode: netlink.TUNTAP_MODE_TUN, NonPersist: true,
		Flags: netlink.TUNTAP_NO_PI, Queues: 1}
	near.in(func() error { return netlink.LinkAdd(device) })
	near.up()

	cfg := node.Config{
		Name: "core",
		Interfaces: []node.Interface{
			{Name: "eth0", Addresses: prefixes[:1], Up: true},
			{Name: "lan", Addresses: prefixes[1:], Up: true},
		},
		Routes: []node.Route{{Prefix: netip.MustParsePrefix(all), Via: near.outer}},
		IKE:    ours(t, away, near, ikeProposals, espProposals),
	}
	for _, f := range change {
		f(cfg.IKE)
	}
	c = &core{t: t, tun: device.Fds[0], cfg: cfg, began: time.Now(), changed: make(chan struct{}, 1)}
	c.restart()
	c.over.Go(c.receive)
	c.over.Go(c.wait)
	t.Cleanup(c.end)
	return near, away, c
}

// ours is the configuration of our node's end of the tunnel that connections describes.
func ours(t *testing.T, local, remote *site, ikeProposals, espProposals string) *ike.Config {
	t.Helper()
	forIKE, err := suite.ParseProposals(suite.ProtocolIKE, ikeProposals)
	if err != nil {
		t.Fatal(err)
	}
	forESP, err := suite.ParseProposals(suite.ProtocolESP, espProposals)
	if err != nil {
		t.Fatal(err)
	}
	selector := func(a netip.Addr) []wire.Selector {
		return []wire.Selector{wire.PrefixSelector(netip.PrefixFrom(a, a.BitLen()), 0, 0, 65535)}
	}
	return &ike.Config{
		Random: func(string) io.Reader { return rand.Reader },
		Connections: []ike.Connection{{
			Name:        "site",
			LocalAddrs:  []netip.Addr{local.outer},
			RemoteAddrs: []netip.Addr{remote.outer},
			Proposals:   forIKE,
			Local:       ike.Auth{ID: ike.AddrIdentity(local.outer)},
			Remote:      ike.Auth{ID: ike.AddrIdentity(remote.outer)},
			Retransmit:  ike.Retransmit{Timeout: patience},
			Children: []ike.Child{{
				Name: "net", LocalTS: selector(local.inner), RemoteTS: selector(remote.inner), ESPProposals: forESP,
			}},
		}},
		Secrets: []ike.Secret{{Name: "peer", Key: []byte("four tulips, one lamp")}},
	}
}

// restart makes the node anew, as after a crash: charon is told nothing.
func (c *core) restart() {
	c.t.Helper()
	n, err := node.New(c.cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.node = n
}

// receive gives the node what charon's host sends.
func (c *core) receive() {
	for {
		b := make([]byte, 2048)
		n, err := c.tun.Read(b)
		if err != nil {
			return // closed
		}
		if b[0]>>4 == 6 && b[24] == 0xff {
			continue // the kernel looks for IPv6 routers and the like by multicast, which no link of ours carries
		}
		c.handle(node.PacketIn{Interface: 0, Bytes: b[:n]})
	}
}

// wait gives the node its timeouts.
func (c *core) wait() {
	for {
		c.mu.Lock()
		at, _, ok := c.node.Deadline()
		c.mu.Unlock()
		var due <-chan time.Time
		if ok {
			due = time.After(at - time.Since(c.began))
		}
		select {
		case _, open := <-c.changed:
			if !open {
				return
			}
		case <-due:
			c.handle(node.Timeout{})
		}
	}
}

func (c *core) handle(in node.Input) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return
	}
	for _, out := range c.node.Handle(time.Since(c.began), in) {
		switch out := out.(type) {
		case *node.PacketOut:
			if out.Interface == 0 && (c.lose == nil || !c.lose(out)) {
				if _, err := c.tun.Write(out.Bytes); err != nil {
					c.t.Errorf("writing a packet: %v", err)
				}
			}
		case *node.Event:
			c.events = append(c.events, describe(out))
		case *node.Deliver:
			if out.Kind == node.DeliverEchoReply && out.Protected {
				c.replies++
			}
		}
	}
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// describe is an event as a line: its kind, and what matters of the rest.
func describe(e *node.Event) string {
	text := string(e.Kind)
	if e.Drop.Reason != "" {
		text += fmt.Sprintf(" %s %v", e.Drop.Reason, e.Drop.Packet)
	}
	if e.IKE != nil {
		text += fmt.Sprintf(" %v", e.IKE.Fields)
		if e.IKE.Exchange != nil {
			text += fmt.Sprintf(" %v %v", e.IKE.Exchange.Type, e.IKE.Exchange.Payloads)
		}
	}
	return text
}

// complaints reports what must not happen between two ends that understand each other.
func complaints(t *testing.T, events []string) {
	t.Helper()
	for _, e := range events {
		switch kind, _, _ := strings.Cut(e, " "); node.EventKind(kind) {
		case node.EventKind(ike.RecordDropped):
			if strings.Contains(e, "{reason an old") {
				continue // charon has repeated a request that was answered meanwhile
			}
			t.Error(e)
		case node.EventKind(ike.RecordRetransmit), node.EventPacketDropped, node.EventPolicyDrop, node.EventInstallFailed:
			t.Error(e)
		}
	}
}

func (c *core) end() {
	c.mu.Lock()
	c.done = true
	c.mu.Unlock()
	_ = c.tun.Close()
	close(c.changed)
	c.over.Wait()
	if c.t.Failed() {
		c.t.Logf("what our node saw:\n%s", strings.Join(c.seen(), "\n"))
	}
}

// seen are the node's events so far.
func (c *core) seen() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.events)
}

// count is how often an event of a kind happened.
func (c *core) count(kind node.EventKind) int {
	n := 0
	for _, e := range c.seen() {
		if name, _, _ := strings.Cut(e, " "); name == string(kind) {
			n++
		}
	}
	return n
}

func (c *core) associations() []node.Association {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.node.Associations()
}

// ping sends echo requests from our node's protected address and waits for the replies.
func (c *core) ping(from, to *site, count int) {
	c.t.Helper()
	for n := range count {
		c.pingBytes(from, to, 100+100*n)
	}
}

// pingBytes is one ping with so much data.
func (c *core) pingBytes(from, to *site, size int) {
	c.t.Helper()
	replies := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.replies
	}
	before := replies()
	c.handle(node.EchoOut{Src: from.inner, Dst: to.inner, ID: 7, Sequence: uint16(before), Payload: make([]byte, size), MayFragment: true})
	await(c.t, fmt.Sprintf("a reply from %s to our node", to.inner), func() bool { return replies() > before })
}

// order gives our node an operator's command.
func (c *core) order(kind ike.CommandKind, child string) {
	c.handle(node.Command{IKE: ike.Command{Kind: kind, Connection: "site", Child: child}})
}

// TestCoreAndCharon: IKE, key derivation and ESP of ours are charon's, for every algorithm both have, whoever begins.
func TestCoreAndCharon(t *testing.T) {
	strongswan := tree(t)
	for _, c := range []struct {
		name, ike, esp string
		v6             bool
	}{
		{name: "defaults", ike: forIKE, esp: forESP},
		{name: "IPv6", ike: forIKE, esp: forESP, v6: true},
		{name: "CBC and HMAC", ike: "aes128-sha256-modp2048", esp: "aes128-sha256"},
		{name: "SHA-1", ike: "aes256-sha1-modp3072", esp: "aes256-sha1"},
		{name: "SHA-384", ike: "aes192-sha384-ecp384", esp: "aes192-sha384"},
		{name: "SHA-512", ike: "aes256-sha512-ecp521", esp: "aes256-sha512"},
		{name: "counter mode", ike: "aes128ctr-sha256-ecp256", esp: "aes128ctr-sha256"},
		{name: "ChaCha20", ike: "chacha20poly1305-prfsha256-x25519", esp: "chacha20poly1305"},
		{name: "short ICVs", ike: "aes128gcm8-prfsha512-x25519", esp: "aes192gcm12"},
		{name: "child's key exchange left out", ike: forIKE, esp: "aes128gcm16-ecp256"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			near, away, ours := far(t, c.v6, c.ike, c.esp)
			charon := near.charon(strongswan, connectionsWith(near, away, c.ike, c.esp))
			ctx := deadline(t)

			ours.order(ike.Initiate, "net")
			sa := one(t, charon)
			if sa.Initiator || len(sa.Children) != 1 {
				t.Fatalf("charon lists %+v", sa)
			}
			ours.ping(away, near, 3)
			near.ping(away, 3)
			if got := ours.associations(); len(got) != 1 || !got[0].Encap || got[0].Counters.PacketsIn != 6 || got[0].Counters.PacketsOut != 6 {
				t.Errorf("our associations after 6 pings: %+v", got)
			}
			ours.order(ike.Terminate, "")
			await(t, "our node's delete ends charon's SA", func() bool { return len(list(t, charon)) == 0 })

			if err := charon.Initiate(ctx, "net"); err != nil {
				t.Fatal(err)
			}
			near.ping(away, 3)
			ours.ping(away, near, 3)
			if err := charon.TerminateIKE(ctx, "site"); err != nil {
				t.Error(err)
			}
			await(t, "charon's delete ends our association", func() bool { return len(ours.associations()) == 0 })
			complaints(t, ours.seen())
		})
	}
}
