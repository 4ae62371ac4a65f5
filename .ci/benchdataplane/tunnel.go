//go:build linux

package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime/pprof"
	"time"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/node/host"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

const (
	tunnelOurs      = "ipsec0"
	tunnelWireGuard = "wg0"
	portWireGuard   = 51820
	// wireGuardMTU fits 1500 bytes over IPv4: 20 of IP, 8 of UDP, 16 of header and 16 of tag.
	wireGuardMTU = 1500 - 20 - 8 - 16 - 16
)

// Tunnel is the process that is one end of a tunnel of ours or of wireguard-go. Its methods are called by net/rpc.
type Tunnel struct {
	host    *host.Host
	device  *device.Device
	profile *os.File
}

// Ends are the two ends of a tunnel, as one of them sees them.
type Ends struct {
	Here, There           netip.Addr // of the veth
	HereInner, ThereInner netip.Addr
}

// Ours is an end of a tunnel of node/host.
type Ours struct {
	Ends
	Encap    bool
	Initiate bool
}

// Ours starts node/host, the way `ikelab` runs a node but without anybody who watches it.
func (t *Tunnel) Ours(o Ours, _ *None) error {
	forIKE, err := suite.ParseProposals(suite.ProtocolIKE, "aes256gcm16-prfsha384-x25519")
	if err != nil {
		return err
	}
	forESP, err := suite.ParseProposals(suite.ProtocolESP, "aes256gcm16")
	if err != nil {
		return err
	}
	selector := func(a netip.Addr) []wire.Selector {
		return []wire.Selector{wire.PrefixSelector(netip.PrefixFrom(a, a.BitLen()), 0, 0, 65535)}
	}
	network, err := ns.GetCurrentNS()
	if err != nil {
		return err
	}
	began := time.Now()
	h, err := host.Start(host.Config{
		Node: node.Config{
			Name: "end",
			Interfaces: []node.Interface{
				{Name: wan, Addresses: []netip.Prefix{netip.PrefixFrom(o.Here, outerBits)}, Up: true},
				{Name: "lo", Addresses: []netip.Prefix{netip.PrefixFrom(o.HereInner, 32)}, Up: true},
			},
			IKE: &ike.Config{
				Random: func(string) io.Reader { return rand.Reader },
				Connections: []ike.Connection{{
					Name: "bench", LocalAddrs: []netip.Addr{o.Here}, RemoteAddrs: []netip.Addr{o.There}, Proposals: forIKE,
					Local: ike.Auth{ID: ike.AddrIdentity(o.Here)}, Remote: ike.Auth{ID: ike.AddrIdentity(o.There)}, Encap: o.Encap,
					Children: []ike.Child{{Name: "net", LocalTS: selector(o.HereInner), RemoteTS: selector(o.ThereInner), ESPProposals: forESP}},
				}},
				Secrets: []ike.Secret{{Name: "peer", Key: []byte("nobody listens here")}},
			},
		},
		Namespace: network,
		Clock:     func() time.Duration { return time.Since(began) },
		Tunnel:    tunnelOurs,
	})
	if err != nil {
		return err
	}
	t.host = h
	h.Boot()
	if o.Initiate {
		h.Command(ike.Command{Kind: ike.Initiate, Connection: "bench", Child: "net"})
	}
	return nil
}

// Encapsulated says whether the tunnel of ours stands, and how.
func (t *Tunnel) Encapsulated(_ None, encap *bool) error {
	if err := t.host.Err(); err != nil {
		return err
	}
	all := t.host.Associations()
	if len(all) != 1 {
		return fmt.Errorf("there are %d associations", len(all))
	}
	*encap = all[0].Encap
	return nil
}

// WireGuard is an end of a tunnel of wireguard-go.
type WireGuard struct {
	Ends
	Private, Public []byte // this end's, the other's
}

// WireGuard starts wireguard-go. The device is up then, but nobody's yet.
func (t *Tunnel) WireGuard(w WireGuard, _ *None) error {
	d, err := tun.CreateTUN(tunnelWireGuard, wireGuardMTU)
	if err != nil {
		return err
	}
	t.device = device.NewDevice(d, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, ""))
	if err := t.device.IpcSet(fmt.Sprintf("private_key=%s\nlisten_port=%d\npublic_key=%s\nendpoint=%s\nallowed_ip=%s/32\n",
		hex.EncodeToString(w.Private), portWireGuard, hex.EncodeToString(w.Public), netip.AddrPortFrom(w.There, portWireGuard), w.ThereInner)); err != nil {
		return err
	}
	return t.device.Up()
}

// Profile begins a profile of the process's processor time.
func (t *Tunnel) Profile(file string, _ *None) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	t.profile = f
	return pprof.StartCPUProfile(f)
}

// Profiled ends it.
func (t *Tunnel) Profiled(None, *None) error {
	pprof.StopCPUProfile()
	return t.profile.Close()
}

// Close takes the tunnel down.
func (t *Tunnel) Close(None, *None) error {
	var err error
	if t.host != nil {
		err = errors.Join(t.host.Err(), t.host.Close())
	}
	if t.device != nil {
		t.device.Close()
	}
	return err
}
