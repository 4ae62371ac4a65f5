package capture

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// What was written reads back: interfaces by name, packets with their link end and their instant to the
// nanosecond, also those on an interface that was added late.
func TestCaptureReadsBack(t *testing.T) {
	var file bytes.Buffer
	w := NewWriter(&file, epoch)
	wan := w.AddInterface("gw-a.wan")
	ping := link4.echoRequest()
	if err := w.Packet(1, wan, ping); err != nil {
		t.Fatal(err)
	}
	lan := w.AddInterface("gw-a.lan")
	if err := w.Packet(time.Second+999_999_999, lan, ping[:21]); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}

	r, err := pcapgo.NewNgReader(&file, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	type packet struct {
		At        time.Time
		Interface string
		Bytes     []byte
	}
	var got []packet
	for {
		data, info, err := r.ReadPacketData()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		iface, err := r.Interface(info.InterfaceIndex)
		if err != nil {
			t.Fatal(err)
		}
		if iface.LinkType != layers.LinkTypeRaw || iface.Description != iface.Name {
			t.Errorf("interface %+v; want raw IP, described by its name", iface)
		}
		got = append(got, packet{info.Timestamp.UTC(), iface.Name, data})
	}
	want := []packet{
		{epoch.Add(1), "gw-a.wan", ping},
		{epoch.Add(time.Second + 999_999_999), "gw-a.lan", ping[:21]},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
}

// The same run gives the same file, on any machine.
func TestCaptureNamesNoMachine(t *testing.T) {
	var file bytes.Buffer
	w := NewWriter(&file, epoch)
	w.AddInterface("gw-a.wan")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewNgReader(&file, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	want := pcapgo.NgSectionInfo{Application: "ikelab"}
	if diff := cmp.Diff(want, r.SectionInfo()); diff != "" {
		t.Errorf("section (-want +got):\n%s", diff)
	}
}

func TestCaptureWithoutPackets(t *testing.T) {
	var file bytes.Buffer
	if err := NewWriter(&file, epoch).Close(); err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewNgReader(&file, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatalf("an empty capture is not a capture: %v", err)
	}
	if _, _, err := r.ReadPacketData(); err != io.EOF {
		t.Errorf("reading a packet: %v; want io.EOF", err)
	}
}

func TestCaptureErrors(t *testing.T) {
	w := NewWriter(io.Discard, epoch)
	if err := w.Packet(0, 0, nil); err == nil {
		t.Error("a packet on an interface that was never added is accepted")
	}
	full := errors.New("no space left on device")
	w = NewWriter(brokenFile{onWrite: full}, epoch)
	w.AddInterface("gw-a.wan")
	var err error
	for range 10_000 {
		if err = w.Packet(0, 0, link4.echoRequest()); err != nil {
			break
		}
	}
	if !errors.Is(err, full) || !errors.Is(w.Close(), full) {
		t.Errorf("a full disk: %v, then %v", err, w.Close())
	}
}
