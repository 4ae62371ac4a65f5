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

// Writer writes a capture in the pcapng format: whole IP packets (LINKTYPE_RAW), instants in nanoseconds. It is
// not safe for concurrent use.
type Writer struct {
	w          io.Writer
	epoch      time.Time
	ng         *pcapgo.NgWriter // nil until the first interface: the library writes both together
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
	ngInterface := pcapgo.NgInterface{Name: name, Description: name, LinkType: layers.LinkTypeRaw}
	if w.ng == nil {
		w.ng, w.err = pcapgo.NewNgWriterInterface(w.w, ngInterface, sectionOptions())
	} else {
		_, w.err = w.ng.AddInterface(ngInterface)
	}
	return number
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
	if w.err == nil && w.ng != nil {
		w.err = w.ng.Flush()
	}
	return w.err
}

// Close writes what is buffered and returns the first error there was. It does not close the underlying
// writer. A capture without an interface still becomes a valid, empty file.
func (w *Writer) Close() error {
	if w.err == nil && w.ng == nil {
		w.ng, w.err = pcapgo.NewNgWriterInterface(w.w,
			pcapgo.NgInterface{Name: "none", LinkType: layers.LinkTypeRaw}, sectionOptions())
	}
	if w.err != nil {
		return w.err
	}
	w.err = w.ng.Flush()
	return w.err
}
