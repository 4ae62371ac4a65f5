package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/ikelab/ikelab/node/daemon"
	"github.com/ikelab/ikelab/node/host/hosttest"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// tree is the unpacked strongSwan, and the test's turn on the host. Without it the test skips by name.
func tree(t *testing.T) daemon.Tree {
	t.Helper()
	hosttest.NotQuick(t)
	if os.Geteuid() != 0 {
		hosttest.Lacks(t, "root for network and mount namespaces", "run as root, or under unshare --map-root-user --mount --net")
	}
	tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("needs a TUN device: %v; cure: modprobe tun; chmod 666 /dev/net/tun", err)
	}
	_ = tun.Close()
	found, err := daemon.Find()
	if errors.Is(err, daemon.ErrAbsent) {
		t.Skipf("needs strongSwan: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	hosttest.Share(t)
	return found
}

// site is a network namespace with an interface eth0 and a protected address.
type site struct {
	t     *testing.T
	net   ns.NetNS
	outer netip.Addr // on eth0
	inner netip.Addr // on lo, behind the tunnel
}

// hosts makes two namespaces without a link between them: in IPv4 192.0.2.1 with 10.1.0.1 and 192.0.2.2 with
// 10.2.0.1, in IPv6 2001:db8::1 with 2001:db8:1::1 and 2001:db8::2 with 2001:db8:2::1.
func hosts(t *testing.T, v6 bool) (a, b *site) {
	t.Helper()
	both := make([]*site, 2)
	for i := range both {
		network, err := ns.TempNetNS()
		if err != nil {
			t.Skipf("needs network namespaces: %v; cure: run as root on Linux", err)
		}
		t.Cleanup(func() { _ = network.Close() })
		both[i] = &site{t: t, net: network}
		outer, inner := "192.0.2.%d", "10.%d.0.1"
		if v6 {
			outer, inner = "2001:db8::%d", "2001:db8:%d::1"
		}
		both[i].outer = netip.MustParseAddr(fmt.Sprintf(outer, i+1))
		both[i].inner = netip.MustParseAddr(fmt.Sprintf(inner, i+1))
	}
	return both[0], both[1]
}

// pair makes two hosts with a veth between them.
func pair(t *testing.T, v6 bool) (a, b *site) {
	t.Helper()
	a, b = hosts(t, v6)
	a.in(func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: "eth0"}, PeerName: "eth0",
			PeerNamespace: netlink.NsFd(b.net.Fd()),
		})
	})
	a.up()
	b.up()
	return a, b
}

// up gives the host its addresses and sets its interfaces up.
func (h *site) up() {
	h.t.Helper()
	h.in(func() error { return up("lo", h.prefixes()[1]) })
	h.in(func() error { return up("eth0", h.prefixes()[0]) })
	// The kernel makes an IPv6 address's own route a little later than the address.
	for _, own := range []netip.Addr{h.inner, h.outer} {
		await(h.t, fmt.Sprintf("%s is a local address", own), func() (local bool) {
			h.in(func() error {
				routes, err := netlink.RouteGet(own.AsSlice())
				local = err == nil && len(routes) == 1 && routes[0].Type == unix.RTN_LOCAL
				return nil
			})
			return local
		})
	}
}

// prefixes are the addresses of eth0 and lo with their networks.
func (h *site) prefixes() [2]netip.Prefix {
	bits := 24
	if h.outer.Is6() {
		bits = 64
	}
	return [2]netip.Prefix{netip.PrefixFrom(h.outer, bits), netip.PrefixFrom(h.inner, h.inner.BitLen())}
}

// in does something in the host's network namespace.
func (h *site) in(f func() error) {
	h.t.Helper()
	if err := h.net.Do(func(ns.NetNS) error { return f() }); err != nil {
		h.t.Fatal(err)
	}
}

// up sets an interface up, with an address that is usable at once.
func up(name string, address netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	addr, err := netlink.ParseAddr(address.String())
	if err != nil {
		return err
	}
	if address.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("%s %s: %w", name, address, err)
	}
	return netlink.LinkSetUp(link)
}

// run runs a command in the host's network namespace. Where there is no such program the test is skipped.
func (h *site) run(name string, args ...string) (string, error) {
	h.t.Helper()
	path := hosttest.Program(h.t, name)
	var out []byte
	err := h.net.Do(func(ns.NetNS) error {
		var err error
		out, err = exec.Command(path, args...).CombinedOutput()
		return err
	})
	return string(out), err
}

// ping sends pings from one protected address to the other and wants an answer to each. One at a time: once ping has
// had an answer, it waits for the last one no longer than twice what the slowest took.
func (h *site) ping(to *site, count int) {
	h.t.Helper()
	for range count {
		h.pingBytes(to, 56)
	}
}

// pingBytes is one ping with so much data.
func (h *site) pingBytes(to *site, size int) {
	h.t.Helper()
	out, err := h.run("ping", "-n", "-c", "1", "-W", fmt.Sprint(hosttest.Patience.Seconds()), "-s", strconv.Itoa(size), "-I", h.inner.String(), to.inner.String())
	if err != nil || !strings.Contains(out, "1 received") {
		h.t.Fatalf("ping: %v\n%s", err, out)
	}
}

// charon starts a daemon on the host, which ends with the test. It is killed: charon 5.9.8 that gets a SIGTERM while a
// peer begins an IKE SA may wait for it forever.
func (h *site) charon(tree daemon.Tree, connections string) *daemon.Charon {
	h.t.Helper()
	c, err := daemon.Start(deadline(h.t), daemon.Config{
		Tree: tree, Namespace: h.net, Dir: h.t.TempDir(), Connections: connections, Settings: settings,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if err := c.Kill(); err != nil {
			h.t.Error(err)
		}
		if h.t.Failed() {
			h.t.Logf("log of charon at %s:\n%s", h.outer, c.Log())
		}
	})
	return c
}

// patience is our node's retransmission timeout. No link here loses anything, so that it repeats a request only where
// something is wrong, or the machine too busy for words.
const patience = time.Minute

// settings lets charon repeat its requests soon. It loses an answer that comes before it has put the new IKE SA into
// its table, and our node answers faster than any that is in another building.
const settings = `
  retransmit_timeout = 0.2
  retransmit_base = 1.4
  retransmit_tries = 15`

// Algorithms of a tunnel for which they do not matter.
const (
	forIKE = "aes256gcm16-prfsha384-x25519"
	forESP = "aes256gcm16"
)

// connections is a swanctl.conf for one end of the tunnel between two hosts.
func connections(local, remote *site) string {
	return connectionsWith(local, remote, forIKE, forESP)
}

func connectionsWith(local, remote *site, ikeProposals, espProposals string) string {
	return strings.NewReplacer(
		"IKE_PROPOSALS", ikeProposals, "ESP_PROPOSALS", espProposals,
		"LOCAL_TS", local.inner.String(), "REMOTE_TS", remote.inner.String(),
		"LOCAL", local.outer.String(), "REMOTE", remote.outer.String(),
	).Replace(`
connections {
  site {
    version = 2
    local_addrs = LOCAL
    remote_addrs = REMOTE
    proposals = IKE_PROPOSALS
    local {
      auth = psk
      id = LOCAL
    }
    remote {
      auth = psk
      id = REMOTE
    }
    children {
      net {
        local_ts = LOCAL_TS
        remote_ts = REMOTE_TS
        esp_proposals = ESP_PROPOSALS
      }
    }
  }
}
secrets {
  ike-peer {
    id-local = LOCAL
    id-remote = REMOTE
    secret = "four tulips, one lamp"
  }
}
`)
}

// deadline is a limit for things that hang, far from what they take.
func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), hosttest.Patience)
	t.Cleanup(cancel)
	return ctx
}
