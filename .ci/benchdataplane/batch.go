//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// udpPacketBytes is the length of an IP packet of the UDP flow, which fits into every contender's tunnel.
	udpPacketBytes = 1400
	udpPayload     = udpPacketBytes - 20 - 8
	// batchMessages is how many datagrams go to the kernel, and come from it, in one call.
	batchMessages = 32
	// stampBytes is room for the control message with the time of arrival.
	stampBytes = 32
	// socketBufferBytes is what the receiver lets wait, so that it is not the one that loses.
	socketBufferBytes = 8 << 20
)

// datagrams is a batch for sendmmsg(2) and recvmmsg(2).
type datagrams struct {
	headers [batchMessages]struct {
		unix.Msghdr
		length uint32
		_      [4]byte
	}
	pieces [batchMessages]unix.Iovec
	bytes  [batchMessages][2048]byte
	stamps [batchMessages][stampBytes]byte
}

func newDatagrams(size int) *datagrams {
	d := new(datagrams)
	for i := range d.headers {
		d.pieces[i].Base = &d.bytes[i][0]
		d.pieces[i].SetLen(size)
		d.headers[i].Iov = &d.pieces[i]
		d.headers[i].SetIovlen(1)
	}
	return d
}

// send hands the first n datagrams to a connected socket. What a full queue drops has been sent.
func (d *datagrams) send(fd, n int) error {
	for done := 0; done < n; {
		got, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&d.headers[done])), uintptr(n-done), 0, 0, 0)
		switch errno {
		case 0:
			done += int(got)
		case unix.EINTR:
		case unix.ENOBUFS, unix.ECONNREFUSED:
			done++
		default:
			return fmt.Errorf("sendmmsg: %w", errno)
		}
	}
	return nil
}

// stamp asks for the time of arrival of every datagram, as the kernel has it: a receiver that has to wait for a processor
// does not make packets late.
func (d *datagrams) stamp(fd int) error {
	for i := range d.headers {
		d.headers[i].Control = &d.stamps[i][0]
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
}

// arrived is when datagram i did, on CLOCK_REALTIME.
func (d *datagrams) arrived(i int) time.Duration {
	c := (*unix.Cmsghdr)(unsafe.Pointer(&d.stamps[i][0]))
	if int(d.headers[i].Controllen) < unix.CmsgLen(int(unsafe.Sizeof(unix.Timespec{}))) || c.Level != unix.SOL_SOCKET || c.Type != unix.SO_TIMESTAMPNS {
		return 0
	}
	return time.Duration((*unix.Timespec)(unsafe.Pointer(&d.stamps[i][unix.CmsgLen(0)])).Nano())
}

// receive waits for a datagram and takes what else is there.
func (d *datagrams) receive(fd int) (int, error) {
	for i := range d.headers {
		d.headers[i].SetControllen(stampBytes)
	}
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&d.headers[0])), batchMessages, unix.MSG_WAITFORONE, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR, unix.EAGAIN, unix.ECONNREFUSED:
		default:
			return 0, fmt.Errorf("recvmmsg: %w", errno)
		}
	}
}

// putStamp says in a packet which trial it belongs to, and its number in it.
func putStamp(b []byte, trial uint32, number int) {
	binary.BigEndian.PutUint32(b, trial)
	binary.BigEndian.PutUint32(b[4:], uint32(number))
}

// udpSocket makes a blocking UDP socket; to may be zero.
func udpSocket(from, to netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return -1, fmt.Errorf("UDP socket at %s: %w", from, err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBufferBytes)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBufferBytes)
	err = unix.Bind(fd, &unix.SockaddrInet4{Port: int(from.Port()), Addr: from.Addr().As4()})
	if err == nil && to.IsValid() {
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("UDP socket from %s to %s: %w", from, to, err)
	}
	return fd, nil
}

// monotonic is CLOCK_MONOTONIC, which all processes share.
func monotonic() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // this clock always exists
	return time.Duration(t.Nano())
}

// realtime is CLOCK_REALTIME, which the kernel stamps packets with.
func realtime() time.Duration { return time.Duration(time.Now().UnixNano()) }

// pause sleeps in the kernel: Go's own timers are coarser.
func pause(d time.Duration) {
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil) // a signal makes it shorter
}
