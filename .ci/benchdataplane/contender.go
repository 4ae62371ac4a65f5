//go:build linux

package main

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ikelab/ikelab/node/daemon"
)

// Names of the contenders, in the order of the table.
const (
	nameVeth      = "veth"
	nameOursUDP   = "ours, in UDP"
	nameOursBare  = "ours, bare ESP"
	nameWireGuard = "wireguard-go"
	nameLibipsec  = "charon, libipsec"
)

var names = []string{nameVeth, nameOursUDP, nameOursBare, nameWireGuard, nameLibipsec}

const (
	// standTimeout is how long a tunnel may take until it carries something.
	standTimeout = 30 * time.Second
)

// contender is a data plane at work.
type contender struct {
	name  string
	world *world
	// mtu is the inner one, in bytes.
	mtu int
	// pids are the tunnel's processes; ends those of them that are this program.
	pids  []int
	ends  []*process
	close func() error
}

// start makes a contender and waits until it passes packets both ways. The error wraps daemon.ErrAbsent where the
// contender is not on this machine.
func start(ctx context.Context, name string) (*contender, error) {
	w, err := newWorld(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c := &contender{name: name, world: w}
	c.close = w.close
	if err = c.tunnel(ctx); err == nil {
		err = c.stands(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), c.close())
	}
	return c, nil
}

// tunnel starts what is between the inner addresses.
func (c *contender) tunnel(ctx context.Context) error {
	switch c.name {
	case nameVeth:
		return c.veth()
	case nameOursUDP:
		return c.ours(ctx, true)
	case nameOursBare:
		return c.ours(ctx, false)
	case nameWireGuard:
		return c.wireGuard(ctx)
	case nameLibipsec:
		return c.libipsec(ctx)
	}
	return fmt.Errorf("no such contender; there are: %s", strings.Join(names, "; "))
}

func (c *contender) veth() error {
	for side := range 2 {
		if err := c.world.lead(side, wan, outer[1-side]); err != nil {
			return err
		}
	}
	mtu, err := c.world.mtu(wan)
	c.mtu = mtu
	return err
}

// processes starts an end of a tunnel per side.
func (c *contender) processes() error {
	under := c.close
	c.close = func() error {
		var problems []error
		for _, e := range c.ends {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			problems = append(problems, e.call(ctx, "Close", None{}, nil), e.close())
			cancel()
		}
		return errors.Join(append(problems, under())...)
	}
	for side := range 2 {
		p, err := startProcess(c.world.network[side], "tunnel")
		if err != nil {
			return err
		}
		c.ends, c.pids = append(c.ends, p), append(c.pids, p.pid())
	}
	return nil
}

func (c *contender) ours(ctx context.Context, encap bool) error {
	if err := c.processes(); err != nil {
		return err
	}
	// The responder first, so that no request is lost.
	for _, side := range []int{1, 0} {
		if err := c.ends[side].call(ctx, "Ours", Ours{Ends: ends(side), Encap: encap, Initiate: side == 0}, nil); err != nil {
			return err
		}
	}
	for side := range 2 {
		err := eventually(ctx, func() error {
			is := false
			if err := c.ends[side].call(ctx, "Encapsulated", None{}, &is); err != nil {
				return err
			}
			if is != encap {
				return fmt.Errorf("the tunnel's encapsulation in UDP is %v", is)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	mtu, err := c.world.mtu(tunnelOurs)
	c.mtu = mtu
	return err
}

func (c *contender) wireGuard(ctx context.Context) error {
	if err := c.processes(); err != nil {
		return err
	}
	var keys [2]*ecdh.PrivateKey
	for side := range keys {
		k, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		keys[side] = k
	}
	for side := range 2 {
		w := WireGuard{Ends: ends(side), Private: keys[side].Bytes(), Public: keys[1-side].PublicKey().Bytes()}
		if err := c.ends[side].call(ctx, "WireGuard", w, nil); err != nil {
			return err
		}
		if err := c.world.lead(side, tunnelWireGuard, netip.Addr{}); err != nil {
			return err
		}
	}
	mtu, err := c.world.mtu(tunnelWireGuard)
	c.mtu = mtu
	return err
}

func (c *contender) libipsec(ctx context.Context) error {
	tree, err := daemon.Find()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ikelab-bench-")
	if err != nil {
		return err
	}
	under := c.close
	c.close = func() error { return errors.Join(under(), os.RemoveAll(dir)) }
	var first *daemon.Charon
	for side := range 2 {
		own := filepath.Join(dir, fmt.Sprint(side))
		if err := os.Mkdir(own, 0o700); err != nil {
			return err
		}
		d, err := daemon.Start(ctx, daemon.Config{Tree: tree, Namespace: c.world.network[side], Dir: own, Connections: connections(ends(side))})
		if err != nil {
			return err
		}
		below := c.close
		c.close = func() error { return errors.Join(d.Close(), below()) }
		c.pids = append(c.pids, d.PID())
		if side == 0 {
			first = d
		}
	}
	if err := first.Initiate(ctx, "net"); err != nil {
		return err
	}
	mtu, err := c.world.mtu("ipsec")
	c.mtu = mtu
	return err
}

// connections is charon's side of the same tunnel (swanctl.conf(5)).
func connections(e Ends) string {
	return strings.NewReplacer("HERE_TS", e.HereInner.String(), "THERE_TS", e.ThereInner.String(), "HERE", e.Here.String(), "THERE", e.There.String()).Replace(`
connections {
  bench {
    version = 2
    local_addrs = HERE
    remote_addrs = THERE
    proposals = aes256gcm16-prfsha384-x25519
    local {
      auth = psk
      id = HERE
    }
    remote {
      auth = psk
      id = THERE
    }
    children {
      net {
        local_ts = HERE_TS
        remote_ts = THERE_TS
        esp_proposals = aes256gcm16
      }
    }
  }
}
secrets {
  ike-peer {
    secret = "nobody listens here"
  }
}
`)
}

// stands waits until packets come through, both ways.
func (c *contender) stands(ctx context.Context) error {
	for side := range 2 {
		err := eventually(ctx, func() error {
			var trips []time.Duration
			if err := c.world.traffic[side].call(ctx, "Ping", Ping{Path: path(side), Count: 1}, &trips); err != nil {
				return err
			}
			if len(trips) == 0 {
				return errors.New("no packet comes through")
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// path is from side's inner address to the other one.
func path(side int) Path { return Path{From: inner[side], To: inner[1-side]} }

// eventually repeats f until it succeeds.
func eventually(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, standTimeout)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w, within %v", err, standTimeout)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
