//go:build linux

package netns

import (
	"fmt"
	"os"
	"syscall"

	"github.com/containernetworking/plugins/pkg/ns"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/ikelab/ikelab/node"
)

// rawUDP sends datagrams from ports that another socket has: the node's process answers
// what comes there, and a flow of the lab leaves from there all the same. It hears
// nothing.
type rawUDP struct {
	file *os.File
	raw  syscall.RawConn
}

func newRawUDP(s *station, v6 bool) (*rawUDP, error) {
	family := unix.AF_INET
	if v6 {
		family = unix.AF_INET6
	}
	var r *rawUDP
	err := s.ns.Do(func(ns.NetNS) error {
		fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_UDP)
		if err != nil {
			return err
		}
		// It would get a copy of every datagram that comes to the node.
		deaf := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}
		if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &deaf[0]}); err != nil {
			_ = unix.Close(fd)
			return err
		}
		r = &rawUDP{file: os.NewFile(uintptr(fd), "raw UDP socket")}
		r.raw, err = r.file.SyscallConn()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("node %q: raw UDP socket: %w", s.plan.Name, err)
	}
	return r, nil
}

// Close closes the socket.
func (r *rawUDP) Close() error { return r.file.Close() }

// send sends a datagram. The kernel makes the IP header and cuts what is too long.
func (r *rawUDP) send(d node.DatagramOut) error {
	b := make([]byte, header.UDPMinimumSize+len(d.Payload))
	copy(b[header.UDPMinimumSize:], d.Payload)
	header.UDP(b).Encode(&header.UDPFields{SrcPort: d.Src.Port(), DstPort: d.Dst.Port(), Length: uint16(len(b))})
	src, dst := tcpip.AddrFromSlice(d.Src.Addr().AsSlice()), tcpip.AddrFromSlice(d.Dst.Addr().AsSlice())
	sum := ^checksum.Checksum(b, header.PseudoHeaderChecksum(header.UDPProtocolNumber, src, dst, uint16(len(b))))
	if sum == 0 {
		sum = 0xffff // zero says that there is none (RFC 768)
	}
	header.UDP(b).SetChecksum(sum)
	var to unix.Sockaddr
	if d.Dst.Addr().Is4() {
		to = &unix.SockaddrInet4{Addr: d.Dst.Addr().As4()}
	} else {
		to = &unix.SockaddrInet6{Addr: d.Dst.Addr().As16()}
	}
	var sendErr error
	err := r.raw.Write(func(fd uintptr) bool {
		_, sendErr = unix.SendmsgN(int(fd), b, sourceIs(d.Src.Addr()), to, 0)
		return sendErr != unix.EAGAIN
	})
	if err != nil {
		return err
	}
	return sendErr
}
