package capture

import (
	"fmt"
	"io"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// Dur is an instant as the time since the lab's epoch.
type Dur = time.Duration

// interfacesMax bounds the interfaces of a capture; Wireshark becomes unusable long before.
const interfacesMax = 1 << 20

// linkTypeRawDLT is how libpcap calls raw IP inside a program (DLT_RAW), LINKTYPE_RAW being its name in a file. Up to
// version 1.10.3, Debian 12's, it compares the one with the other when a file has several interfaces, and refuses
// LINKTYPE_RAW at the second. In a file this value means the same to libpcap, tcpdump, Wireshark and ikelab decode.
const linkTypeRawDLT layers.LinkType = 12

// Writer writes a capture in the pcapng format: whole IP packets, instants in nanoseconds. The link type of one
// interface is LINKTYPE_RAW, that of several linkTypeRawDLT. It is not safe for concurrent use.
type Writer struct {
	w          io.Writer
	epoch      time.Time
	names      []string         // of interfaces that are not written yet
	linkType   layers.LinkType  // of all interfaces
	ng         *pcapgo.NgWriter // nil until something is to be written: the link type depends on how many there are
	interfaces int
	err        error
}

// NewWriter returns a writer of an empty capture. Packets are stamped with the lab's epoch plus their instant.
func NewWriter(w io.Writer, epoch time.Time) *Writer {
	return &Writer{w: w, epoch: epoch}
}

// AddInterface adds a link end and returns its number, counting from 0. The name appears as the interface's
// name and description, "<node>.<interface>" by habit. An error of writing is returned by the next call that
// returns one.
func (w *Writer) AddInterface(name string) int {
	number := w.interfaces
	w.interfaces++
	if w.err != nil {
		return number
	}
	if number >= interfacesMax {
		w.err = fmt.Errorf("capture: more than %d interfaces", interfacesMax)
		return number
	}
	if w.ng == nil {
		w.names = append(w.names, name)
	} else {
		_, w.err = w.ng.AddInterface(w.describe(name))
	}
	return number
}

func (w *Writer) describe(name string) pcapgo.NgInterface {
	return pcapgo.NgInterface{Name: name, Description: name, LinkType: w.linkType}
}

// begin writes the head of the file, with the interfaces until now; there is at least one.
func (w *Writer) begin() {
	if w.ng != nil || w.err != nil {
		return
	}
	w.linkType = layers.LinkTypeRaw
	if len(w.names) > 1 {
		w.linkType = linkTypeRawDLT
	}
	w.ng, w.err = pcapgo.NewNgWriterInterface(w.w, w.describe(w.names[0]), sectionOptions())
	for _, name := range w.names[1:] {
		if w.err == nil {
			_, w.err = w.ng.AddInterface(w.describe(name))
		}
	}
	w.names = nil
}

// sectionOptions describes the file. It names no machine: the same run gives the same file everywhere.
func sectionOptions() pcapgo.NgWriterOptions {
	return pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "ikelab"}}
}

// Packet writes a whole IP packet that passed a link end at an instant. The packet is not kept.
func (w *Writer) Packet(at Dur, iface int, ip []byte) error {
	if w.err != nil {
		return w.err
	}
	if iface < 0 || iface >= w.interfaces {
		return fmt.Errorf("capture: packet on interface %d of %d; AddInterface comes first", iface, w.interfaces)
	}
	if w.begin(); w.err != nil {
		return w.err
	}
	if err := w.ng.WritePacket(gopacket.CaptureInfo{
		Timestamp:      w.epoch.Add(at),
		CaptureLength:  len(ip),
		Length:         len(ip),
		InterfaceIndex: iface,
	}, ip); err != nil {
		w.err = fmt.Errorf("capture: %w", err)
	}
	return w.err
}

// Flush writes what is buffered, so that a reader who looks at the capture as it grows sees the last packet.
func (w *Writer) Flush() error {
	if w.interfaces == 0 {
		return w.err
	}
	if w.begin(); w.err == nil {
		w.err = w.ng.Flush()
	}
	return w.err
}

// Close writes what is buffered and returns the first error there was. It does not close the underlying
// writer. A capture without an interface still becomes a valid, empty file.
func (w *Writer) Close() error {
	if w.interfaces == 0 {
		w.names = append(w.names, "none")
	}
	if w.begin(); w.err == nil {
		w.err = w.ng.Flush()
	}
	return w.err
}
