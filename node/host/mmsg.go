//go:build linux

package host

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// message is struct mmsghdr of sendmmsg(2) and recvmmsg(2). The kernel's names for
// what is inside hold pointers of Go, so whoever holds a message holds its
// buffers.
type message struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

// sendMessages hands messages to the kernel, without waiting, and says how many it
// took.
func sendMessages(fd uintptr, messages []message) (int, unix.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// receiveMessages takes what has arrived, without waiting.
func receiveMessages(fd uintptr, messages []message) (int, unix.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// readInto is read(2).
func readInto(fd uintptr, b []byte) (int, unix.Errno) {
	n, _, errno := unix.Syscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), errno
}

// putControl appends a control message with an int to a buffer that has room.
func putControl(b []byte, level, kind int32, value int32, size int) []byte {
	at := len(b)
	b = b[:at+unix.CmsgSpace(size)]
	clear(b[at:])
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[at]))
	h.Level, h.Type = level, kind
	h.SetLen(unix.CmsgLen(size))
	data := unsafe.Pointer(&b[at+unix.CmsgLen(0)])
	if size == 2 {
		*(*uint16)(data) = uint16(value)
	} else {
		*(*int32)(data) = value
	}
	return b
}

// eachControl calls f with every control message in b. The value is the first
// octet, or the first two or four as an integer, by their length.
func eachControl(b []byte, f func(level, kind int32, value int)) {
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		length := int(h.Len)
		if length < unix.SizeofCmsghdr || length > len(b) {
			return
		}
		data := b[unix.CmsgLen(0):length]
		switch {
		case len(data) >= 4:
			f(h.Level, h.Type, int(*(*int32)(unsafe.Pointer(&data[0]))))
		case len(data) >= 2:
			f(h.Level, h.Type, int(*(*uint16)(unsafe.Pointer(&data[0]))))
		case len(data) == 1:
			f(h.Level, h.Type, int(data[0]))
		}
		next := (length + unix.SizeofPtr - 1) &^ (unix.SizeofPtr - 1)
		if next >= len(b) {
			return
		}
		b = b[next:]
	}
}
