//go:build linux

package host

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/node/host/offload"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	tunCloneDevice = "/dev/net/tun"
	// tunQueuePackets is how many packets may wait for the host: as many as a
	// flow of small ones sends while the host is busy with a batch or two.
	tunQueuePackets = 4096

	// tunMTUMin is what IPv6 needs, without which a device has none of it.
	tunMTUMin = 1280
	// overheadMaxBytes is the most that any association adds: IPv6, UDP, ESP with
	// the longest IV and ICV, and padding.
	overheadMaxBytes = 40 + 8 + 8 + 16 + 17 + 32
)

// tunDevice is the protected side. golang.zx2c4.com/wireguard/tun reads one frame at
// a time and copies it twice, which costs a third of the packet rate; here are
// batches of frames, and segments that are written where they lie.
type tunDevice struct {
	file   *os.File
	raw    syscall.RawConn
	waiter *waiter
	index  int
	// udp says that the kernel takes UDP in segments.
	udp bool
	mtu int
	// closed tells workers that the device did not fail.
	closed atomic.Bool
}

func (t *tunDevice) close() {
	t.closed.Store(true)
	if t.waiter != nil {
		t.waiter.close()
	}
	_ = t.file.Close()
}

// openTUN makes the TUN device. The lock is held.
func (h *Host) openTUN() (*tunDevice, error) {
	name := h.cfg.Tunnel
	t := &tunDevice{}
	err := h.namespace.Do(func(ns.NetNS) error {
		fd, err := unix.Open(tunCloneDevice, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s does not exist; load the module: modprobe tun", tunCloneDevice)
		}
		if err != nil {
			return err
		}
		if err := t.configure(fd, name); err != nil {
			_ = unix.Close(fd)
			return err
		}
		// First the file, then the mode: Go's poller must not get it (waiter).
		t.file = os.NewFile(uintptr(fd), tunCloneDevice)
		if err := unix.SetNonblock(fd, true); err != nil {
			return err
		}
		if t.waiter, err = newWaiter(fd); err != nil {
			return err
		}
		forward := "0"
		if h.cfg.Node.Forward {
			forward = "1"
		}
		return setSysctls(name, map[string]string{
			"ipv4/conf/*/rp_filter": "0", "ipv4/conf/*/send_redirects": "0", "ipv4/conf/*/forwarding": forward,
			"ipv6/conf/*/forwarding": forward, "ipv6/conf/*/accept_ra": "0", "ipv6/conf/*/addr_gen_mode": "1", "ipv6/conf/*/accept_dad": "0",
		})
	})
	if err == nil {
		t.raw, err = t.file.SyscallConn()
	}
	if err == nil {
		err = h.raiseTUN(t)
	}
	if err != nil {
		if t.file != nil {
			t.close()
		}
		return nil, fmt.Errorf("the tunnel device %q: %w", name, err)
	}
	return t, nil
}

// configure attaches the descriptor to a new device.
func (t *tunDevice) configure(fd int, name string) error {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return fmt.Errorf("creating it: %w; it takes CAP_NET_ADMIN, and a name that is free", err)
	}
	t.udp, err = offload.Ask(fd)
	return err
}

// raiseTUN takes the device up.
func (h *Host) raiseTUN(t *tunDevice) error {
	link, err := h.kernel.LinkByName(h.cfg.Tunnel)
	if err != nil {
		return err
	}
	t.index = link.Attrs().Index
	t.mtu = max(tunMTUMin, h.leastMTU()-overheadMaxBytes)
	return errors.Join(
		h.kernel.LinkSetMTU(link, t.mtu),
		h.kernel.LinkSetTxQLen(link, tunQueuePackets),
		h.kernel.LinkSetUp(link),
		h.addNeighbours(t),
	)
}

// leastMTU is the smallest MTU of the node's interfaces.
func (h *Host) leastMTU() int {
	least := 0
	for i := range h.interfaces {
		if m := h.interfaces[i].mtu; least == 0 || m < least {
			least = m
		}
	}
	if least == 0 {
		return mtuDefaultBytes
	}
	return least
}

// fitTUN gives the device the MTU that fits inside every association's path; before
// there is one, inside that of the worst. Longer packets then are the kernel's
// affair: it cuts them, or tells their source. An association whose path is too
// narrow even for IPv6's least MTU has its outer packets cut. The lock is held.
func (h *Host) fitTUN() {
	if h.tun == nil {
		return
	}
	mtu := 0
	for _, a := range h.sas.all {
		a.out.Lock()
		if a.out.sa != nil {
			if inner := a.innerMTU(a.out.sa); mtu == 0 || inner < mtu {
				mtu = inner
			}
		}
		a.out.Unlock()
	}
	if mtu == 0 {
		return // the last one stays
	}
	if mtu = max(mtu, tunMTUMin); mtu == h.tun.mtu {
		return
	}
	link := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: h.tun.index, Name: h.cfg.Tunnel}}
	if err := h.kernel.LinkSetMTU(link, mtu); err != nil {
		h.event(node.Event{Kind: node.EventInstallFailed, Interface: fromInside, Problem: fmt.Sprintf("the tunnel device's MTU of %d bytes: %v", mtu, err)})
		return
	}
	h.tun.mtu = mtu
}
