package decode

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// swapped is a pcap file with microseconds in the other byte order.
func swapped(frames ...[]byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, 0xa1b2c3d4)
	out = binary.BigEndian.AppendUint16(out, 2)
	out = binary.BigEndian.AppendUint16(out, 4)
	out = append(out, make([]byte, 8)...)
	out = binary.BigEndian.AppendUint32(out, 65535)
	out = binary.BigEndian.AppendUint32(out, uint32(layers.LinkTypeRaw))
	for i, f := range frames {
		out = binary.BigEndian.AppendUint32(out, uint32(start.Unix()))
		out = binary.BigEndian.AppendUint32(out, uint32(i*1000))
		out = binary.BigEndian.AppendUint32(out, uint32(len(f)))
		out = binary.BigEndian.AppendUint32(out, uint32(len(f)))
		out = append(out, f...)
	}
	return out
}

// pcapng is a file with two interfaces of different link types, used in turn.
func pcapng(t testing.TB, frames ...[]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := pcapgo.NewNgWriterInterface(&out, pcapgo.NgInterface{Name: "raw0", LinkType: layers.LinkTypeRaw}, pcapgo.DefaultNgWriterOptions)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.AddInterface(pcapgo.NgInterface{Name: "lo0", LinkType: layers.LinkTypeNull}); err != nil {
		t.Fatal(err)
	}
	for i, f := range frames {
		if i%2 == 1 {
			f = append([]byte{2, 0, 0, 0}, f...)
		}
		info := gopacket.CaptureInfo{Timestamp: start.Add(time.Duration(i) * time.Millisecond), CaptureLength: len(f), Length: len(f), InterfaceIndex: i % 2}
		if err := w.WritePacket(info, f); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestFormats reads the same frames from every format.
func TestFormats(t *testing.T) {
	frames := [][]byte{ipv4(alice, bob, 17, udp(500, 500, make([]byte, 40))), ipv4(bob, alice, 50, make([]byte, 24)), ipv4(alice, bob, 1, make([]byte, 8))}
	nanos := pcapOf(t, layers.LinkTypeRaw, frames...)
	ng := pcapng(t, frames...)
	for _, c := range []struct {
		name string
		file []byte
		ng   bool
	}{
		{"pcap, nanoseconds", nanos, false},
		{"pcap, the other byte order", swapped(frames...), false},
		{"pcap, gzipped", gzipped(t, nanos), false},
		{"pcapng", ng, true},
		{"pcapng, gzipped", gzipped(t, ng), true},
		{"pcapng, two sections", append(bytes.Clone(ng), ng...), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := NewReader(bytes.NewReader(c.file))
			if err != nil {
				t.Fatal(err)
			}
			number := 0
			for {
				f, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				i := number % len(frames)
				number++
				data := f.Data
				name := ""
				if c.ng {
					name = "raw0"
					if i%2 == 1 {
						data, name = data[4:], "lo0"
						if f.Link != layers.LinkTypeNull || f.Interface != 1 {
							t.Errorf("frame %d: link type %v, interface %d", f.Number, f.Link, f.Interface)
						}
					}
				}
				if !bytes.Equal(data, frames[i]) || f.Number != uint64(number) || !f.Time.Equal(start.Add(time.Duration(i)*time.Millisecond)) || f.Length != len(f.Data) {
					t.Errorf("frame %d: %+v", number, f)
				}
				if got := r.InterfaceName(f.Interface); got != name {
					t.Errorf("frame %d is of interface %q, want %q", number, got, name)
				}
			}
			if want := len(frames) * max(1, strings.Count(c.name, "two")*2); number != want {
				t.Errorf("%d frames, want %d", number, want)
			}
			if _, err := r.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("behind the end: %v", err)
			}
		})
	}
}

// TestLongerThanItWas reads on behind a record that says that more was captured
// than there was.
func TestLongerThanItWas(t *testing.T) {
	packet := ipv4(alice, bob, 50, make([]byte, 24))
	file := pcapOf(t, layers.LinkTypeRaw, packet, packet, packet)
	second := 24 + 16 + len(packet)
	binary.LittleEndian.PutUint32(file[second+12:], 7)
	lines, d := decodeBytes(t, file, nil)
	if len(lines) != 3 || lines[1].Kind != "esp" || lines[1].Bytes != 24 || lines[2].Kind != "esp" {
		t.Errorf("lines: %+v", lines)
	}
	if d.Stats().Frames != 3 {
		t.Errorf("stats %+v", d.Stats())
	}
}

// TestNoCapture names what is no capture, and what begins as one.
func TestNoCapture(t *testing.T) {
	good := pcapOf(t, layers.LinkTypeRaw)
	for _, c := range []struct {
		name string
		file []byte
		says string
	}{
		{"nothing", nil, "is no capture"},
		{"three octets", good[:3], "is no capture"},
		{"text", []byte("lab \"x\" {}"), "is no capture"},
		{"gzipped text", gzipped(t, []byte("lab \"x\" {}")), "is no capture"},
		{"half a gzip header", []byte{0x1f, 0x8b, 8}, "gzip"},
		{"half a header", good[:20], "cut short"},
		{"half a section header", []byte{0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0}, "cut short"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := NewReader(bytes.NewReader(c.file)); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

// TestCutCaptures reads all whole frames of a file that ends anywhere, and says so.
func TestCutCaptures(t *testing.T) {
	frames := [][]byte{ipv4(alice, bob, 50, make([]byte, 24)), ipv4(alice, bob, 50, make([]byte, 24))}
	for name, file := range map[string][]byte{"pcap": pcapOf(t, layers.LinkTypeRaw, frames...), "pcapng": pcapng(t, frames...)} {
		kinds := map[int]int{}
		for n := 24; n < len(file); n++ {
			r, err := NewReader(bytes.NewReader(file[:n]))
			if err != nil {
				continue // inside the header
			}
			var got []bool
			d := NewDecoder(Options{}, func(r *Record) error {
				got = append(got, r.Err != nil && r.Err.Where == "capture")
				return nil
			})
			if err := d.Run(r); err != nil {
				t.Fatal(err)
			}
			whole := len(got)
			if whole > 0 && got[whole-1] {
				whole--
			}
			kinds[whole]++
			if len(got) > whole && d.Stats().Malformed == 0 {
				t.Errorf("%s cut at %d: nothing is said", name, n)
			}
		}
		if kinds[0] == 0 || kinds[1] == 0 {
			t.Errorf("%s: cuts with so many whole frames: %v", name, kinds)
		}
	}
}

// endless is a pcapng section header and then statistics without end.
type endless struct{ at int }

func (e *endless) Read(b []byte) (int, error) {
	const headerBytes = 28
	block := []byte{5, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0, 0}
	section := []byte{0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 28, 0, 0, 0}
	// An interface, so that the statistics belong to one.
	iface := []byte{1, 0, 0, 0, 20, 0, 0, 0, 101, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0}
	head := append(section[:headerBytes:headerBytes], iface...)
	for i := range b {
		if e.at < len(head) {
			b[i] = head[e.at]
		} else {
			b[i] = block[(e.at-len(head))%len(block)]
		}
		e.at++
	}
	return len(b), nil
}

// TestEndlessMetadata ends the reading of a file without packets.
func TestEndlessMetadata(t *testing.T) {
	r, err := NewReader(&endless{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err == nil || !strings.Contains(err.Error(), "that are no packets") {
		t.Errorf("error %v", err)
	}
}

// TestBounded drops the oldest and counts it.
func TestBounded(t *testing.T) {
	b := newBounded[int, string](3)
	var gone []int
	b.onDrop = func(k int, _ string) { gone = append(gone, k) }
	for i := range 5 {
		b.put(i, "")
	}
	b.put(3, "again")
	b.remove(4)
	var left []int
	b.each(func(k int, _ string) { left = append(left, k) })
	if diff := cmp.Diff([]int{2, 3}, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{0, 1}, gone); diff != "" || b.dropped != 2 {
		t.Errorf("dropped %d (-want +got):\n%s", b.dropped, diff)
	}
	for range 100 { // a key that comes and goes leaves no more than its places
		b.put(9, "")
		b.remove(9)
	}
	if len(b.order) > b.max || len(b.entries) > b.max {
		t.Errorf("%d places, %d entries", len(b.order), len(b.entries))
	}
}
