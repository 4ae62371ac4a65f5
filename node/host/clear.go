//go:build linux

package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/ikelab/ikelab/node"
	"golang.org/x/sys/unix"
)

// openClear makes a raw socket that sends whole packets past the tunnel.
func (h *Host) openClear(family int) (*socket, error) {
	var s *socket
	err := h.namespace.Do(func(ns.NetNS) error {
		fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return fmt.Errorf("raw socket: %w; it takes CAP_NET_RAW in the namespace", err)
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, socketMark); err != nil {
			_ = unix.Close(fd)
			return fmt.Errorf("marking a raw socket: %w; it takes CAP_NET_ADMIN in the namespace", err)
		}
		s = &socket{local: netip.AddrPort{}, file: os.NewFile(uintptr(fd), "raw socket")}
		s.raw, err = s.file.SyscallConn()
		return err
	})
	return s, err
}

// clearLog hears of the packets that the filter dropped: each is a policy-drop
// event. The kernel leaves some out when there are very many.
type clearLog struct{ s *socket }

func (c *clearLog) close() { c.s.close() }

// Messages of nfnetlink's log (linux/netfilter/nfnetlink_log.h).
const (
	nflogMessageConfig = unix.NFNL_SUBSYS_ULOG<<8 | 1
	nflogMessagePacket = unix.NFNL_SUBSYS_ULOG << 8
	nflogCommand       = 1  // attribute NFULA_CFG_CMD
	nflogBind          = 1  // NFULNL_CFG_CMD_BIND
	nflogInput         = 4  // attribute NFULA_IFINDEX_INDEV
	nflogOutput        = 5  // attribute NFULA_IFINDEX_OUTDEV
	nflogPayload       = 9  // attribute NFULA_PAYLOAD
	nflogPrefix        = 10 // attribute NFULA_PREFIX
	nfgenBytes         = 4  // struct nfgenmsg
)

// openClearLog begins to listen. Without the log in the kernel nothing is missed but
// the events: the filter drops all the same. The lock is held.
func (h *Host) openClearLog() error {
	var s *socket
	err := h.namespace.Do(func(ns.NetNS) error {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
		if err != nil {
			return err
		}
		s = &socket{file: os.NewFile(uintptr(fd), "netfilter log")}
		s.raw, err = s.file.SyscallConn()
		if err != nil {
			return err
		}
		if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return err
		}
		m := make([]byte, unix.NLMSG_HDRLEN, 64)
		binary.NativeEndian.PutUint16(m[4:], nflogMessageConfig)
		binary.NativeEndian.PutUint16(m[6:], unix.NLM_F_REQUEST)
		m = append(m, unix.AF_UNSPEC, 0, clearLogGroup>>8, clearLogGroup&0xff)
		m = append(m, 5, 0, nflogCommand, 0, nflogBind, 0, 0, 0)
		binary.NativeEndian.PutUint32(m, uint32(len(m)))
		return unix.Sendto(fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	})
	if err != nil {
		if s != nil {
			s.close()
		}
		if errors.Is(err, unix.EPROTONOSUPPORT) {
			return nil
		}
		return fmt.Errorf("listening to the filter against clear traffic: %w", err)
	}
	h.clearLog = &clearLog{s: s}
	h.workers.Add(1)
	go h.followClearLog(s)
	return nil
}

// followClearLog handles reports until the socket is closed.
func (h *Host) followClearLog(s *socket) {
	defer h.workers.Done()
	b := make([]byte, 64<<10)
	for {
		n, err := s.file.Read(b)
		switch {
		case errors.Is(err, unix.ENOBUFS):
			continue
		case err != nil:
			if !s.closed.Load() {
				h.fail(fmt.Errorf("listening to the filter against clear traffic: %w", err))
			}
			return
		}
		h.enter(func() {
			for rest := b[:n]; len(rest) >= unix.NLMSG_HDRLEN; {
				length := int(binary.NativeEndian.Uint32(rest))
				if length < unix.NLMSG_HDRLEN || length > len(rest) {
					return
				}
				if binary.NativeEndian.Uint16(rest[4:]) == nflogMessagePacket && length >= unix.NLMSG_HDRLEN+nfgenBytes {
					h.refusedByFilter(rest[unix.NLMSG_HDRLEN+nfgenBytes : length])
				}
				rest = rest[min((length+3)&^3, len(rest)):]
			}
		})
	}
}

// refusedByFilter records one packet that the filter dropped, from the attributes of
// its report.
func (h *Host) refusedByFilter(attributes []byte) {
	input, output := fromInside, fromInside
	reason := node.DropClearInbound
	var packet []byte
	for len(attributes) >= unix.SizeofNlAttr {
		length := int(binary.NativeEndian.Uint16(attributes))
		if length < unix.SizeofNlAttr || length > len(attributes) {
			break
		}
		value := attributes[unix.SizeofNlAttr:length]
		switch binary.NativeEndian.Uint16(attributes[2:]) &^ unix.NLA_F_NESTED {
		case nflogInput:
			if len(value) == 4 {
				input = h.interfaceByIndex(int(binary.BigEndian.Uint32(value)))
			}
		case nflogOutput:
			if len(value) == 4 {
				output = h.interfaceByIndex(int(binary.BigEndian.Uint32(value)))
			}
		case nflogPrefix:
			switch r := node.DropReason(unix.ByteSliceToString(value)); r {
			case node.DropNoAssociation, node.DropICMPUnproven:
				reason = r
			}
		case nflogPayload:
			packet = value
		}
		attributes = attributes[min((length+3)&^3, len(attributes)):]
	}
	iface := input
	if reason == node.DropNoAssociation {
		iface = output
	}
	h.drop(describeCut(packet), reason, iface, node.ESP{})
}

// describeCut describes a packet of which only the beginning is there.
func describeCut(b []byte) node.PacketKey {
	whole := 0
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		whole = int(binary.BigEndian.Uint16(b[2:]))
	case len(b) >= 40 && b[0]>>4 == 6:
		whole = 40 + int(binary.BigEndian.Uint16(b[4:]))
	}
	if whole > len(b) {
		b = append(make([]byte, 0, whole), b...)[:whole]
	}
	key, _, _ := node.ReadPacketKey(b)
	return key
}
