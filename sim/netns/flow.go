//go:build linux

package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"github.com/containernetworking/plugins/pkg/ns"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/topology"
)

// sockets are the real sockets that a node's flows use: a UDP socket where one
// leaves or ends, a ping socket for each echo flow, whose identifier is the socket's.
type sockets struct {
	station *station
	deliver func(*node.Deliver)
	senders map[netip.AddrPort]*net.UDPConn
	pingers map[pinger]*os.File
	all     []interface{ Close() error }
	readers sync.WaitGroup
}

// pinger names a ping socket.
type pinger struct {
	v6 bool
	id uint16
}

func newSockets(s *station, deliver func(*node.Deliver)) *sockets {
	return &sockets{station: s, deliver: deliver, senders: map[netip.AddrPort]*net.UDPConn{}, pingers: map[pinger]*os.File{}}
}

// prepare opens what the plan's flows need at this node, before the epoch: a
// datagram for a closed port would be refused.
func (s *sockets) prepare(plan *topology.Plan) error {
	listening := map[netip.AddrPort]bool{}
	for number, f := range plan.Flows {
		switch f.Protocol {
		case topology.ProtocolUDP:
			if f.To == s.station.plan.Name {
				at := netip.AddrPortFrom(unspecified(f.ToAddr), f.DestinationPort)
				if !listening[at] {
					listening[at] = true
					if err := s.listen(at); err != nil {
						return fmt.Errorf("flow %q: %w", f.Name, err)
					}
				}
			}
			if f.From == s.station.plan.Name {
				if err := s.send(netip.AddrPortFrom(f.FromAddr, f.SourcePort)); err != nil {
					return fmt.Errorf("flow %q: %w", f.Name, err)
				}
			}
		case topology.ProtocolICMP:
			if f.From == s.station.plan.Name {
				if err := s.ping(pinger{f.ToAddr.Is6(), uint16(number + 1)}); err != nil {
					return fmt.Errorf("flow %q: %w", f.Name, err)
				}
			}
		}
	}
	return nil
}

func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// udp opens a UDP socket. A port may be shared between the end of one flow and the
// beginning of another, and an address may come later.
func (s *sockets) udp(at netip.AddrPort) (*net.UDPConn, error) {
	network := "udp4"
	if at.Addr().Is6() {
		network = "udp6"
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		controlErr := c.Control(func(fd uintptr) {
			if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
				return
			}
			if at.Addr().Is6() {
				err = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_FREEBIND, 1)
			} else {
				err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1)
			}
		})
		return errors.Join(err, controlErr)
	}}
	var conn *net.UDPConn
	err := s.station.ns.Do(func(ns.NetNS) error {
		c, err := config.ListenPacket(background, network, at.String())
		if err == nil {
			conn = c.(*net.UDPConn)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("node %q: UDP socket at %v: %w", s.station.plan.Name, at, err)
	}
	s.all = append(s.all, conn)
	return conn, nil
}

// listen takes datagrams at a port.
func (s *sockets) listen(at netip.AddrPort) error {
	conn, err := s.udp(at)
	if err != nil {
		return err
	}
	s.readers.Go(func() {
		buffer := make([]byte, 0x10000)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buffer)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue // an ICMP error about something sent from here
			}
			s.deliver(&node.Deliver{
				Kind: node.DeliverDatagram, Src: netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), Dst: at, Payload: buffer[:n],
			})
		}
	})
	return nil
}

// send opens the socket that a flow leaves from.
func (s *sockets) send(from netip.AddrPort) error {
	if s.senders[from] != nil {
		return nil
	}
	conn, err := s.udp(from)
	if err == nil {
		s.senders[from] = conn
	}
	return err
}

// ping opens the socket of an echo flow.
func (s *sockets) ping(p pinger) error {
	family, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	if p.v6 {
		family, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
	}
	var f *os.File
	err := s.station.ns.Do(func(ns.NetNS) error {
		fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
		if err != nil {
			return err
		}
		// The port of a ping socket is its echo identifier.
		var at unix.Sockaddr = &unix.SockaddrInet4{Port: int(p.id)}
		if p.v6 {
			at = &unix.SockaddrInet6{Port: int(p.id)}
		}
		if err := unix.Bind(fd, at); err != nil {
			_ = unix.Close(fd)
			return err
		}
		f = os.NewFile(uintptr(fd), "ping") // not blocking: the runtime's poller waits for it
		return nil
	})
	if err != nil {
		return fmt.Errorf("node %q: ping socket: %w", s.station.plan.Name, err)
	}
	s.pingers[p] = f
	s.all = append(s.all, f)
	s.readers.Go(func() { s.readEchoes(f, p) })
	return nil
}

func (s *sockets) readEchoes(f *os.File, p pinger) {
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	buffer := make([]byte, 0x10000)
	for {
		var n int
		var from unix.Sockaddr
		var readErr error
		if err := raw.Read(func(fd uintptr) bool {
			n, from, readErr = unix.Recvfrom(int(fd), buffer, 0)
			return !errors.Is(readErr, unix.EAGAIN)
		}); err != nil {
			return // closed
		}
		if readErr != nil || n < header.ICMPv4MinimumSize {
			continue
		}
		h := header.ICMPv4(buffer[:n]) // ICMPv6's echo has the same fields
		s.deliver(&node.Deliver{
			Kind: node.DeliverEchoReply, Src: netip.AddrPortFrom(sockaddrAddr(from), 0),
			Payload: h.Payload(), ID: p.id, Sequence: h.Sequence(),
		})
	}
}

func sockaddrAddr(sa unix.Sockaddr) netip.Addr {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(sa.Addr)
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(sa.Addr)
	}
	return netip.Addr{}
}

// datagram sends a flow's datagram. The errors are the network's to the sender, such
// as that there is no route: the packet is lost, as it is in virtual time.
func (s *sockets) datagram(d node.DatagramOut) error {
	conn := s.senders[d.Src]
	if conn == nil {
		return fmt.Errorf("no socket at %v", d.Src)
	}
	_, err := conn.WriteToUDPAddrPort(d.Payload, d.Dst)
	return err
}

// echo sends a flow's echo request.
func (s *sockets) echo(e node.EchoOut) error {
	f := s.pingers[pinger{e.Dst.Is6(), e.ID}]
	if f == nil {
		return fmt.Errorf("no ping socket with identifier %d", e.ID)
	}
	message := make([]byte, header.ICMPv4MinimumSize+len(e.Payload))
	copy(message[header.ICMPv4MinimumSize:], e.Payload)
	var to unix.Sockaddr
	var control []byte
	if e.Dst.Is4() {
		h := header.ICMPv4(message)
		h.SetType(header.ICMPv4Echo)
		h.SetSequence(e.Sequence)
		to = &unix.SockaddrInet4{Addr: e.Dst.As4()}
		if e.Src.IsValid() {
			control = unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: e.Src.As4()})
		}
	} else {
		h := header.ICMPv6(message)
		h.SetType(header.ICMPv6EchoRequest)
		h.SetSequence(e.Sequence)
		to = &unix.SockaddrInet6{Addr: e.Dst.As16()}
		if e.Src.IsValid() {
			control = unix.PktInfo6(&unix.Inet6Pktinfo{Addr: e.Src.As16()})
		}
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Write(func(fd uintptr) bool {
		_, sendErr = unix.SendmsgN(int(fd), message, control, to, 0)
		return !errors.Is(sendErr, unix.EAGAIN)
	})
	return errors.Join(err, sendErr)
}

// close closes all sockets and waits for their readers.
func (s *sockets) close() {
	for _, c := range s.all {
		_ = c.Close()
	}
	s.readers.Wait()
}
