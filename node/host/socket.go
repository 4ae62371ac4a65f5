//go:build linux

package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/ikelab/ikelab/node"
	"golang.org/x/sys/unix"
)

const (
	portIKE  = 500
	portNATT = 4500
	// portRawESP stands for bare ESP in the table of sockets.
	portRawESP = 0

	protocolUDP = unix.IPPROTO_UDP
	protocolESP = unix.IPPROTO_ESP

	// socketBufferBytes is each socket's buffer in either direction: more than a
	// hundred batches of the largest datagrams, and what two busy cores let wait.
	socketBufferBytes = 8 << 20
)

// socket is one of the host's: IKE at one address and port, or bare ESP at one
// address.
type socket struct {
	local  netip.AddrPort
	file   *os.File
	raw    syscall.RawConn
	waiter *waiter
	served bool
	// closed tells a worker that its socket did not fail.
	closed atomic.Bool
}

func (s *socket) close() {
	s.closed.Store(true)
	if s.waiter != nil {
		s.waiter.close()
	}
	_ = s.file.Close()
}

// syncSockets opens what is missing at the node's addresses, and closes what is at
// addresses that are gone. The lock is held.
func (h *Host) syncSockets() error {
	wanted := make(map[netip.AddrPort]bool)
	for i := range h.interfaces {
		for _, p := range h.interfaces[i].addresses {
			if p.Addr().IsLinkLocalUnicast() {
				continue // without its interface such an address names no socket
			}
			for _, port := range []uint16{portIKE, portNATT, portRawESP} {
				wanted[netip.AddrPortFrom(p.Addr(), port)] = true
			}
		}
	}
	for at, s := range h.sockets {
		if !wanted[at] {
			delete(h.sockets, at)
			if n := s.overflowed(); n > 0 {
				if h.overflowed == nil {
					h.overflowed = make(map[string]uint64)
				}
				h.overflowed[s.name()] += n
			}
			h.letGo(s.close)
		}
	}
	return h.namespace.Do(func(ns.NetNS) error {
		var problems []error
		for at := range wanted {
			if h.sockets[at] != nil {
				continue
			}
			s, err := openSocket(at)
			if err != nil {
				problems = append(problems, err)
				continue
			}
			h.sockets[at] = s
			if h.booted {
				h.serve(s)
			}
		}
		return errors.Join(problems...)
	})
}

// serve starts the socket's worker. The lock is held.
func (h *Host) serve(s *socket) {
	if !s.served {
		s.served = true
		h.workers.Add(1)
		go newInWorker(h, s).run()
	}
}

// openSocket makes a socket in the namespace that the thread is in.
func openSocket(local netip.AddrPort) (*socket, error) {
	family, kind, protocol, what := unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDP, fmt.Sprintf("UDP socket at %s", local)
	if local.Addr().Is6() {
		family = unix.AF_INET6
	}
	if local.Port() == portRawESP {
		kind, protocol, what = unix.SOCK_RAW, unix.IPPROTO_ESP, fmt.Sprintf("raw ESP socket at %s", local.Addr())
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; it takes CAP_NET_RAW and CAP_NET_ADMIN in the namespace", what, err)
	}
	if err := configureSocket(fd, family, local); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	// A descriptor that blocks, so that Go's poller does not get it.
	s := &socket{local: local, file: os.NewFile(uintptr(fd), what)}
	if s.raw, err = s.file.SyscallConn(); err == nil {
		s.waiter, err = newWaiter(fd)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return s, nil
}

// configureSocket sets a socket's options and binds it.
func configureSocket(fd, family int, local netip.AddrPort) error {
	type option struct{ level, name, value int }
	options := []option{{unix.SOL_SOCKET, unix.SO_MARK, socketMark}}
	if family == unix.AF_INET {
		// With DF while a packet fits the path, cut here when it does not. What has IKE
		// alone may be cut on the way too: it has no smaller form (before RFC 7383).
		discover := option{unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_WANT}
		if local.Port() == portIKE {
			discover.value = unix.IP_PMTUDISC_DONT
		}
		options = append(options, discover, option{unix.IPPROTO_IP, unix.IP_RECVTOS, 1})
	} else {
		if local.Port() != portRawESP {
			options = append(options, option{unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1})
		}
		options = append(options, option{unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_WANT},
			option{unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1})
	}
	if local.Port() != portIKE {
		// So that news of a path's MTU reach whoever is not connected to it.
		if family == unix.AF_INET {
			options = append(options, option{unix.IPPROTO_IP, unix.IP_RECVERR, 1})
		} else {
			options = append(options, option{unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1})
		}
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return fmt.Errorf("setting option %d: %w", o.name, err)
		}
	}
	// What the kernel may lack or limit.
	for _, o := range []option{
		{unix.SOL_SOCKET, unix.SO_RCVBUF, socketBufferBytes}, {unix.SOL_SOCKET, unix.SO_SNDBUF, socketBufferBytes},
		{unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBufferBytes}, {unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBufferBytes},
	} {
		_ = unix.SetsockoptInt(fd, o.level, o.name, o.value)
	}
	if local.Port() == portNATT {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	}
	var to unix.Sockaddr
	if family == unix.AF_INET {
		to = &unix.SockaddrInet4{Port: int(local.Port()), Addr: local.Addr().As4()}
	} else {
		to = &unix.SockaddrInet6{Port: int(local.Port()), Addr: local.Addr().As16()}
	}
	if err := unix.Bind(fd, to); err != nil {
		return fmt.Errorf("binding it: %w", err)
	}
	return nil
}

// sendTo sends one datagram. One for which there is no room is an error: it is lost, as on
// a network, and not without a name.
func (s *socket) sendTo(b []byte, to netip.AddrPort) error {
	var address unix.Sockaddr
	if to.Addr().Is4() {
		address = &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	} else {
		address = &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	}
	var sent error
	err := s.raw.Control(func(fd uintptr) {
		if sent = unix.Sendto(int(fd), b, unix.MSG_DONTWAIT, address); sent != nil {
			// The error may be about what was sent before; it is told once.
			sent = unix.Sendto(int(fd), b, unix.MSG_DONTWAIT, address)
		}
	})
	return errors.Join(err, sent)
}

// sendReason says why a packet did not leave.
func sendReason(err error) node.DropReason {
	switch {
	case errors.Is(err, unix.EMSGSIZE):
		return node.DropTooBig
	case errors.Is(err, unix.EHOSTUNREACH):
		return node.DropHostUnreachable
	case errors.Is(err, unix.ENETUNREACH):
		return node.DropNoRoute
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, os.ErrClosed):
		return node.DropNoSource
	case errors.Is(err, unix.ENETDOWN), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return node.DropInterfaceDown
	case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOMEM):
		return node.DropSendQueueFull
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return node.DropFiltered
	}
	return node.DropNotSent
}

// sockaddr is an address in the kernel's form.
type sockaddr struct {
	bytes [unix.SizeofSockaddrInet6]byte
	size  uint32
}

// newSockaddr is an address for sendmsg; raw sockets want no port.
func newSockaddr(to netip.AddrPort, port bool) sockaddr {
	var s sockaddr
	if port {
		binary.BigEndian.PutUint16(s.bytes[2:], to.Port())
	}
	if to.Addr().Is4() {
		binary.NativeEndian.PutUint16(s.bytes[:], unix.AF_INET)
		a := to.Addr().As4()
		copy(s.bytes[4:], a[:])
		s.size = unix.SizeofSockaddrInet4
		return s
	}
	binary.NativeEndian.PutUint16(s.bytes[:], unix.AF_INET6)
	a := to.Addr().As16()
	copy(s.bytes[8:], a[:])
	s.size = unix.SizeofSockaddrInet6
	return s
}

// parseSockaddr reads an address that recvmsg wrote.
func parseSockaddr(b []byte) netip.AddrPort {
	if len(b) < unix.SizeofSockaddrInet4 {
		return netip.AddrPort{}
	}
	port := binary.BigEndian.Uint16(b[2:])
	switch {
	case binary.NativeEndian.Uint16(b) == unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), port)
	case len(b) >= unix.SizeofSockaddrInet6-4:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:24])), port)
	}
	return netip.AddrPort{}
}
