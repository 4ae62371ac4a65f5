package decode

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// ErrNoCapture says that a file is neither pcap nor pcapng.
var ErrNoCapture = errors.New("this is no capture: it begins neither as pcap nor as pcapng, gzipped or not")

// Frame is one frame of a capture.
type Frame struct {
	Number    uint64 // from 1
	Time      time.Time
	Interface int // its number in a pcapng file, 0 in a pcap file
	Link      layers.LinkType
	Data      []byte // what was captured; valid until the next frame is read
	Length    int    // octets that the frame had on its link
}

// Reader reads the frames of a pcap or pcapng file, gzipped or not.
type Reader struct {
	source   source
	pcap     *pcapgo.Reader
	ng       *pcapgo.NgReader
	in       *meter
	buffer   *bufio.Reader
	longer   []byte // a frame that the library refuses
	payload  uint64 // octets that packets explain
	number   uint64
	linkType layers.LinkType
	names    []string
	err      error
}

type source interface {
	ZeroCopyReadPacketData() ([]byte, gopacket.CaptureInfo, error)
}

// meter counts what is read through it.
type meter struct {
	r    io.Reader
	read uint64
	max  uint64 // where reading is refused
}

var errMetadata = fmt.Errorf("more than %d octets that are no packets; the file is damaged or hostile", metadataBytesMax)

func (m *meter) Read(b []byte) (int, error) {
	if m.read > m.max {
		return 0, errMetadata
	}
	n, err := m.r.Read(b)
	m.read += uint64(n)
	return n, err
}

// NewReader begins to read a capture. It fails with [ErrNoCapture], or with an
// error that says what of the header is wrong.
func NewReader(r io.Reader) (*Reader, error) {
	file := bufio.NewReaderSize(r, readBytes)
	out := &Reader{in: &meter{r: file, max: metadataBytesMax}}
	if magic, _ := file.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(file)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		out.in.r = z
	}
	// The library takes a bufio.Reader of this size as it is: both read from here.
	out.buffer = bufio.NewReaderSize(out.in, readBytes)
	magic, err := out.buffer.Peek(4)
	if err != nil {
		if len(magic) > 0 && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return nil, ErrNoCapture
	}
	switch {
	case binary.BigEndian.Uint32(magic) == 0x0a0d0d0a:
		out.ng, err = pcapgo.NewNgReader(out.buffer, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
		out.source = out.ng
	case isPcap(binary.LittleEndian.Uint32(magic)) || isPcap(binary.BigEndian.Uint32(magic)):
		out.pcap, err = pcapgo.NewReader(out.buffer)
		out.source = out.pcap
		if err == nil {
			out.linkType = out.pcap.LinkType()
		}
	default:
		return nil, ErrNoCapture
	}
	if err != nil {
		return nil, fmt.Errorf("the capture's header: %w", unexpected(err))
	}
	return out, nil
}

func isPcap(magic uint32) bool { return magic == 0xa1b2c3d4 || magic == 0xa1b23c4d }

// unexpected is err, an end of the file being named as what it is.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file ends inside a record; it was cut short")
	}
	return err
}

// Next is the next frame. It is io.EOF at the end of a whole capture; any other
// error says what is wrong with the file behind the last frame, and comes again.
func (r *Reader) Next() (Frame, error) {
	if r.err != nil {
		return Frame{}, r.err
	}
	r.in.max = r.payload + metadataBytesMax
	data, info, err := r.source.ZeroCopyReadPacketData()
	if err != nil && r.pcap != nil && info.CaptureLength > info.Length && info.CaptureLength <= frameBytesMax {
		// More was captured than there was, say some writers. The library stops
		// behind the record's header; the record itself can be read.
		r.longer = slices.Grow(r.longer[:0], info.CaptureLength)[:info.CaptureLength]
		data = r.longer
		_, err = io.ReadFull(r.buffer, data)
	}
	switch {
	case err == nil:
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		r.err = io.EOF
	default:
		r.err = fmt.Errorf("behind frame %d: %w", r.number, unexpected(err))
	}
	if r.err == nil && r.ng != nil && r.ng.NInterfaces() > interfacesMax {
		r.err = fmt.Errorf("behind frame %d: more than %d interfaces", r.number, interfacesMax)
	}
	if r.err != nil {
		return Frame{}, r.err
	}
	r.number++
	r.payload += uint64(len(data)) + packetOverheadBytes
	f := Frame{
		Number: r.number, Time: info.Timestamp, Interface: info.InterfaceIndex,
		Link: r.linkType, Data: data, Length: max(info.Length, len(data)),
	}
	if r.ng != nil {
		if len(info.AncillaryData) > 0 {
			f.Link, _ = info.AncillaryData[0].(layers.LinkType)
		}
	}
	return f, nil
}

// Interfaces is how many interfaces the capture has named so far; one in a pcap file.
func (r *Reader) Interfaces() int {
	if r.ng == nil {
		return 1
	}
	return r.ng.NInterfaces()
}

// InterfaceName is what the capture calls an interface, empty where it does not.
func (r *Reader) InterfaceName(number int) string {
	if r.ng == nil {
		return ""
	}
	for len(r.names) < min(r.ng.NInterfaces(), interfacesMax) {
		i, err := r.ng.Interface(len(r.names))
		if err != nil {
			break
		}
		r.names = append(r.names, i.Name)
	}
	if number < 0 || number >= len(r.names) {
		return ""
	}
	return r.names[number]
}
