package standing

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"

	"github.com/ikelab/ikelab/impair"
)

func testTap(t *testing.T, links ...string) (*taps, *tap, []string) {
	t.Helper()
	plan, diags := testSource.Load()
	if diags.HasErrors() {
		t.Fatal(diags.Error())
	}
	one, interfaces, err := newTap(plan, time.Unix(0, 0), links)
	if err != nil {
		t.Fatal(err)
	}
	all := &taps{}
	all.add(one)
	return all, one, interfaces
}

// TestTapNeverWaits: a reader who takes nothing costs the lab nothing, and is told what was lost.
func TestTapNeverWaits(t *testing.T) {
	for _, size := range []int{20, 1500, 1<<16 - 1} {
		all, one, _ := testTap(t)
		packet := make([]byte, size)
		packet[0] = 0x45
		sent := tapBytesMax/size + 100
		for range sent { // blocks for ever if it waits
			all.Packet(0, 0, 0, impair.Up, packet)
		}
		packets, dropped := one.counts()
		if packets+dropped != uint64(sent) || dropped == 0 {
			t.Errorf("%d bytes: of %d packets %d are kept and %d counted as lost", size, sent, packets, dropped)
		}
		if waiting := one.waiting.bytes(); waiting < tapBytesMax || waiting > tapBytesMax+2*tapBatchBytes {
			t.Errorf("%d bytes: %d bytes wait, want about %d", size, waiting, tapBytesMax)
		}
		stop := make(chan struct{})
		close(stop)
		var out bytes.Buffer
		if err := one.pump(stop, func(b []byte) error { out.Write(b); return nil }); err != nil {
			t.Error(err)
		}
		r, err := pcapgo.NewNgReader(&out, pcapgo.DefaultNgReaderOptions)
		if err != nil {
			t.Fatal(err)
		}
		read := uint64(0)
		for ; ; read++ {
			if _, _, err := r.ReadPacketData(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if read != packets {
			t.Errorf("%d bytes: the capture has %d packets, want %d", size, read, packets)
		}
		if one.waiting.bytes() != 0 {
			t.Errorf("%d bytes: %d bytes are still waiting", size, one.waiting.bytes())
		}
	}
}

// TestTapChooses: only what passes the links that were asked for is captured, under the numbers of their names.
func TestTapChooses(t *testing.T) {
	for _, c := range []struct{ links, want string }{
		{"", "gw.lan gw.wan host.eth0"},
		{"gw.wan", "gw.wan"},
		{"gw", "gw.lan gw.wan"},
		{"host node.gw.interface.wan", "gw.wan host.eth0"},
	} {
		all, one, interfaces := testTap(t, strings.Fields(c.links)...)
		if got := strings.Join(interfaces, " "); got != c.want {
			t.Errorf("%q chooses %q, want %q", c.links, got, c.want)
		}
		all.Packet(0, 0, 0, impair.Up, []byte{0x45}) // gw.lan
		if got, _ := one.counts(); int(got) != strings.Count(c.want, "gw.lan") {
			t.Errorf("%q: %d packets of gw.lan, want %d", c.links, got, strings.Count(c.want, "gw.lan"))
		}
		all.remove(one)
		if all.list.Load() != nil {
			t.Errorf("%q: the tap is still there", c.links)
		}
	}
	plan, _ := testSource.Load()
	if _, _, err := newTap(plan, time.Unix(0, 0), []string{"gw.wam"}); err == nil || !strings.Contains(err.Error(), `did you mean "gw.wan"?`) {
		t.Errorf("a link that there is not: %v", err)
	}
}

// TestPumpFlushesEveryPacket: a packet is sent when it comes, not when a buffer is full.
func TestPumpFlushesEveryPacket(t *testing.T) {
	all, one, _ := testTap(t)
	var sent atomic.Int64
	chunks := make(chan int, 100)
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- one.pump(stop, func(b []byte) error {
			sent.Add(int64(len(b)))
			chunks <- len(b)
			return nil
		})
	}()
	<-chunks // the head
	for range 5 {
		all.Packet(time.Second, 1, 0, impair.Down, make([]byte, 40))
		if n := <-chunks; n < 40 {
			t.Errorf("a packet of 40 bytes came as %d", n)
		}
	}
	close(stop)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	// A reader that is gone ends it.
	gone := errors.New("gone")
	all.Packet(time.Second, 1, 0, impair.Down, make([]byte, 40))
	if err := one.pump(stop, func([]byte) error { return gone }); !errors.Is(err, gone) {
		t.Errorf("without a reader: %v", err)
	}
}
