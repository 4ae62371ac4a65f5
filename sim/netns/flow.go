//go:build linux

package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/containernetworking/plugins/pkg/ns"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/topology"
)

// sockets are the real sockets that a node's flows use: one UDP socket for each port,
// whichever flows leave and end there, and a ping socket for each echo flow, whose
// identifier is the socket's.
type sockets struct {
	station *station
	deliver func(*node.Deliver)
	ports   map[udpPort]*net.UDPConn
	// raw send from the ports that the node's own process has, by whether IPv6.
	raw     map[bool]*rawUDP
	pingers map[pinger]*os.File
	all     []interface{ Close() error }
	readers sync.WaitGroup
}

// udpPort names a UDP port of one family.
type udpPort struct {
	v6     bool
	number uint16
}

func portOf(a netip.AddrPort) udpPort { return udpPort{a.Addr().Is6(), a.Port()} }

// pinger names a ping socket.
type pinger struct {
	v6 bool
	id uint16
}

func newSockets(s *station, deliver func(*node.Deliver)) *sockets {
	return &sockets{station: s, deliver: deliver, ports: map[udpPort]*net.UDPConn{}, raw: map[bool]*rawUDP{}, pingers: map[pinger]*os.File{}}
}

// prepare opens what the plan's flows need at this node, before the epoch: a
// datagram for a closed port would be refused.
func (s *sockets) prepare(plan *topology.Plan) error {
	for number, f := range plan.Flows {
		var err error
		switch f.Protocol {
		case topology.ProtocolUDP:
			if f.To == s.station.plan.Name {
				err = s.listen(netip.AddrPortFrom(f.ToAddr, f.DestinationPort))
			}
			if f.From == s.station.plan.Name {
				err = errors.Join(err, s.send(netip.AddrPortFrom(f.FromAddr, f.SourcePort)))
			}
		case topology.ProtocolICMP:
			if f.From == s.station.plan.Name {
				err = s.ping(pinger{f.ToAddr.Is6(), uint16(number + 1)})
			}
		}
		if err != nil {
			return fmt.Errorf("flow %q: %w", f.Name, err)
		}
	}
	return nil
}

// isOurs says that the node's process has the port, for IKE and ESP in UDP. What comes
// there is its own, as it is in virtual time.
func (s *sockets) isOurs(p udpPort) bool {
	return len(s.station.plan.Connections) > 0 && (p.number == portIKE || p.number == portNATT)
}

// The ports of IKE, and of IKE and ESP behind a NAT (RFC 7296 §2, RFC 3948 §2).
const (
	portIKE  = 500
	portNATT = 4500
)

// listen takes datagrams at a port.
func (s *sockets) listen(at netip.AddrPort) error {
	if s.isOurs(portOf(at)) {
		return nil
	}
	return s.udp(portOf(at))
}

// send opens the socket that a flow leaves from.
func (s *sockets) send(from netip.AddrPort) error {
	if p := portOf(from); !s.isOurs(p) {
		return s.udp(p)
	} else if s.raw[p.v6] != nil {
		return nil
	}
	r, err := newRawUDP(s.station, from.Addr().Is6())
	if err == nil {
		s.raw[from.Addr().Is6()] = r
		s.all = append(s.all, r)
	}
	return err
}

// udp opens the UDP socket of a port and reads what comes. One socket has all of a port:
// of two that share it the kernel would give every datagram to the same one.
func (s *sockets) udp(p udpPort) error {
	if s.ports[p] != nil {
		return nil
	}
	network, unspecified := "udp4", netip.IPv4Unspecified()
	if p.v6 {
		network, unspecified = "udp6", netip.IPv6Unspecified()
	}
	at := netip.AddrPortFrom(unspecified, p.number)
	var conn *net.UDPConn
	err := s.station.ns.Do(func(ns.NetNS) error {
		c, err := (&net.ListenConfig{}).ListenPacket(background, network, at.String())
		if err == nil {
			conn = c.(*net.UDPConn)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("node %q: UDP socket at %v: %w", s.station.plan.Name, at, err)
	}
	s.ports[p] = conn
	s.all = append(s.all, conn)
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
	p := portOf(d.Src)
	if r := s.raw[p.v6]; r != nil && s.isOurs(p) {
		return r.send(d)
	}
	conn := s.ports[p]
	if conn == nil {
		return fmt.Errorf("no socket at %v", d.Src)
	}
	_, _, err := conn.WriteMsgUDPAddrPort(d.Payload, sourceIs(d.Src.Addr()), d.Dst)
	return err
}

// sourceIs is the control message that chooses the address a packet is sent from.
func sourceIs(a netip.Addr) []byte {
	switch {
	case !a.IsValid():
		return nil
	case a.Is4():
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: a.As4()})
	}
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: a.As16()})
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
	if e.Dst.Is4() {
		h := header.ICMPv4(message)
		h.SetType(header.ICMPv4Echo)
		h.SetSequence(e.Sequence)
		to = &unix.SockaddrInet4{Addr: e.Dst.As4()}
	} else {
		h := header.ICMPv6(message)
		h.SetType(header.ICMPv6EchoRequest)
		h.SetSequence(e.Sequence)
		to = &unix.SockaddrInet6{Addr: e.Dst.As16()}
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Write(func(fd uintptr) bool {
		_, sendErr = unix.SendmsgN(int(fd), message, sourceIs(e.Src), to, 0)
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
