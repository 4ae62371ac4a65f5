package daemon_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/node/daemon"
	"github.com/ikelab/ikelab/node/host"
	"github.com/ikelab/ikelab/node/host/hosttest"
)

// encounter is a tunnel between charon and a node of ours on the kernel.
type encounter struct {
	*testing.T
	theirs, ours *site
	charon       *daemon.Charon
	host         *host.Host

	mu     sync.Mutex
	events []string
}

// TestHostAndCharon: a node of ours on real sockets against charon, over a veth. Whoever begins, packets and a
// TCP connection cross the tunnel, and each end can take the child and then the IKE SA down.
func TestHostAndCharon(t *testing.T) {
	for _, c := range []struct {
		name                 string
		byCharon, endsCharon bool // else by us
		v6                   bool
	}{
		{"we begin, we end", false, false, false},
		{"we begin, charon ends, IPv6", false, true, true},
		{"charon begins, we end, IPv6", true, false, true},
		{"charon begins, charon ends", true, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := meet(t, c.v6)
			ctx := deadline(t)
			if c.byCharon {
				if err := r.charon.Initiate(ctx, "net"); err != nil {
					t.Fatal(err)
				}
			} else {
				r.order(ike.Initiate, "net")
			}
			await(t, "the child is installed at both ends", func() bool {
				sas := list(t, r.charon)
				return len(sas) == 1 && len(sas[0].Children) == 1 && sas[0].Children[0].State == "INSTALLED" && len(r.host.Associations()) == 1
			})

			r.theirs.ping(r.ours, 3)
			r.ours.ping(r.theirs, 3)
			const size = 10 << 20
			r.transfer(r.theirs, r.ours, size)
			r.transfer(r.ours, r.theirs, size)
			// What both ends counted went through the tunnel and not past it.
			a, sa := r.host.Associations()[0], one(t, r.charon)
			if a.Counters.BytesIn < size || a.Counters.BytesOut < size {
				t.Errorf("our association carried %d octets in and %d out of %d each way", a.Counters.BytesIn, a.Counters.BytesOut, size)
			}
			if child := sa.Children[0]; child.BytesIn < size || child.BytesOut < size || child.SPIIn != a.SPIOut || child.SPIOut != a.SPIIn {
				t.Errorf("charon's child is %+v, our association %+v", child, a)
			}
			if sa.Initiator != c.byCharon {
				t.Errorf("charon initiated: %v", sa.Initiator)
			}

			complaints(t, r.seen())
			const dropped = string(node.EventPolicyDrop) + " " + string(node.DropNoAssociation)
			if c.endsCharon {
				if err := r.charon.TerminateChild(ctx, "net"); err != nil {
					t.Error(err)
				}
			} else {
				r.order(ike.Terminate, "net")
			}
			await(t, "the child is gone at both ends, the IKE SA is not", func() bool {
				sas := list(t, r.charon)
				return len(sas) == 1 && len(sas[0].Children) == 0 && len(r.host.Associations()) == 0
			})
			if out, err := r.ours.run("ping", "-n", "-c", "1", "-W", "0.2", "-I", r.ours.inner.String(), r.theirs.inner.String()); err == nil {
				t.Errorf("a ping came through without the child:\n%s", out)
			}
			await(t, dropped, func() bool { return r.saw(dropped) })

			if c.endsCharon {
				if err := r.charon.TerminateIKE(ctx, "site"); err != nil {
					t.Error(err)
				}
			} else {
				r.order(ike.Terminate, "")
			}
			await(t, "the IKE SA is gone at both ends", func() bool {
				return len(list(t, r.charon)) == 0 && r.saw(string(ike.RecordIKEDeleted))
			})
			// What was to be protected and could not be was dropped, as it must be.
			complaints(t, slices.DeleteFunc(r.seen(), func(e string) bool { return strings.HasPrefix(e, dropped) }))
		})
	}
}

// TestHostMeetsCharonAgain: when charon dies without a word and comes back, its INITIAL_CONTACT replaces our SA.
func TestHostMeetsCharonAgain(t *testing.T) {
	r := meet(t, false)
	r.order(ike.Initiate, "net")
	await(t, "the child is installed", func() bool { return len(r.host.Associations()) == 1 })
	before := r.host.Associations()[0].SPIIn
	r.theirs.ping(r.ours, 1)
	if err := r.charon.Kill(); err != nil {
		t.Fatal(err)
	}
	r.charon = r.theirs.charon(tree(t), connections(r.theirs, r.ours))
	if err := r.charon.Initiate(deadline(t), "net"); err != nil {
		t.Fatal(err)
	}
	await(t, "the new child has replaced the old one", func() bool {
		as := r.host.Associations()
		return len(as) == 1 && as[0].SPIIn != before
	})
	r.theirs.ping(r.ours, 2)
	r.ours.ping(r.theirs, 2)
}

// meet makes both ends, and no tunnel yet.
func meet(t *testing.T, v6 bool) *encounter {
	t.Helper()
	t.Parallel()
	strongswan := tree(t)
	r := &encounter{T: t}
	r.theirs, r.ours = pair(t, v6)
	prefixes := r.ours.prefixes()
	began := time.Now()
	h, err := host.Start(host.Config{
		Node: node.Config{
			Name: "ours",
			Interfaces: []node.Interface{
				{Name: "eth0", Addresses: prefixes[:1], Up: true},
				{Name: "lo", Addresses: prefixes[1:], Up: true},
			},
			IKE: ours(t, r.ours, r.theirs, forIKE, forESP),
		},
		Namespace: r.ours.net,
		Clock:     func() time.Duration { return time.Since(began) },
		Observe:   r.observe,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.host = h
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			r.mu.Lock()
			defer r.mu.Unlock()
			t.Logf("what our node saw:\n%s", strings.Join(r.events, "\n"))
		}
	})
	h.Boot()
	r.charon = r.theirs.charon(strongswan, connections(r.theirs, r.ours))
	return r
}

func (r *encounter) observe(out node.Output) {
	if e, ok := out.(*node.Event); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, describe(e))
	}
}

func (r *encounter) seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// saw reports whether an event of ours says this.
func (r *encounter) saw(what string) bool {
	return slices.ContainsFunc(r.seen(), func(e string) bool { return strings.Contains(e, what) })
}

func (r *encounter) order(kind ike.CommandKind, child string) {
	r.host.Command(ike.Command{Kind: kind, Connection: "site", Child: child})
}

// transfer sends so many octets over TCP from one protected address to the other.
func (r *encounter) transfer(from, to *site, size int) {
	r.Helper()
	var listener net.Listener
	to.in(func() (err error) {
		listener, err = net.Listen("tcp", netip.AddrPortFrom(to.inner, 0).String())
		return err
	})
	defer func() { _ = listener.Close() }()
	limit := time.Now().Add(hosttest.Patience)

	sum := make(chan [sha256.Size]byte, 1)
	go func() {
		defer close(sum)
		c, err := listener.Accept()
		if err != nil {
			return // the sender says what is wrong
		}
		defer func() { _ = c.Close() }()
		h := sha256.New()
		if err := errors.Join(c.SetDeadline(limit), copyAll(h, c)); err != nil {
			r.Errorf("receiving at %s: %v", to.inner, err)
			return
		}
		sum <- [sha256.Size]byte(h.Sum(nil))
	}()

	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i * i >> 7)
	}
	began := time.Now()
	err := from.net.Do(func(ns.NetNS) error {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.inner.AsSlice()}, Timeout: hosttest.Patience}
		c, err := dialer.Dial("tcp", listener.Addr().String())
		if err != nil {
			return err
		}
		return errors.Join(c.SetDeadline(limit), copyAll(c, bytes.NewReader(data)), c.Close())
	})
	if err != nil {
		r.Fatalf("sending from %s to %s: %v", from.inner, to.inner, err)
	}
	if got, ok := <-sum; ok && got != sha256.Sum256(data) {
		r.Errorf("the octets that came to %s are not those that were sent", to.inner)
	}
	r.Logf("%d octets from %s to %s in %v", size, from.inner, to.inner, time.Since(began).Round(time.Millisecond))
}

func copyAll(to io.Writer, from io.Reader) error {
	if _, err := io.Copy(to, from); err != nil {
		return fmt.Errorf("copying: %w", err)
	}
	return nil
}
