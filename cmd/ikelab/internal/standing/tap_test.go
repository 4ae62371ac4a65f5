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
	one, interfaces, err := newTap(plan, links)
	if err != nil {
		t.Fatal(err)
	}
	all := &taps{}
	all.add(one)
	return all, one, interfaces
}

// TestTapNeverWaits: a reader who takes nothing costs the lab nothing, and is told what was lost.
func TestTapNeverWaits(t *testing.T) {
	all, one, interfaces := testTap(t)
	packet := make([]byte, 20)
	packet[0] = 0x45
	const sent = tapPacketsMax + 100
	for range sent { // blocks for ever if it waits
		all.Packet(0, 0, 0, impair.Up, packet)
	}
	if got := one.dropped.Load(); got != 100 {
		t.Errorf("%d packets are counted as lost, want 100", got)
	}
	stop := make(chan struct{})
	close(stop)
	var out bytes.Buffer
	packets, err := one.pump(time.Unix(0, 0), interfaces, stop, func(b []byte) error { out.Write(b); return nil })
	if err != nil || packets != tapPacketsMax {
		t.Errorf("%d packets came out (%v), want %d", packets, err, tapPacketsMax)
	}
	r, err := pcapgo.NewNgReader(&out, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		if _, _, err := r.ReadPacketData(); errors.Is(err, io.EOF) {
			if n != tapPacketsMax {
				t.Errorf("the capture has %d packets", n)
			}
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if one.waiting.Load() != 0 {
		t.Errorf("%d bytes are still waiting", one.waiting.Load())
	}

	// Large packets are bounded by their bytes.
	large := make([]byte, 1<<16-1)
	for range tapBytesMax/len(large) + 10 {
		all.Packet(0, 0, 0, impair.Up, large)
	}
	if waiting := one.waiting.Load(); waiting > tapBytesMax+int64(len(large)) {
		t.Errorf("%d bytes wait, more than %d", waiting, tapBytesMax)
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
		if want := strings.Count(c.want, "gw.lan"); len(one.queue) != want {
			t.Errorf("%q: %d packets of gw.lan, want %d", c.links, len(one.queue), want)
		}
		all.remove(one)
		if all.list.Load() != nil {
			t.Errorf("%q: the tap is still there", c.links)
		}
	}
	plan, _ := testSource.Load()
	if _, _, err := newTap(plan, []string{"gw.wam"}); err == nil || !strings.Contains(err.Error(), `did you mean "gw.wan"?`) {
		t.Errorf("a link that there is not: %v", err)
	}
}

// TestPumpFlushesEveryPacket: a packet is sent when it comes, not when a buffer is full.
func TestPumpFlushesEveryPacket(t *testing.T) {
	all, one, interfaces := testTap(t)
	var sent atomic.Int64
	chunks := make(chan int, 100)
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := one.pump(time.Unix(0, 0), interfaces, stop, func(b []byte) error {
			sent.Add(int64(len(b)))
			chunks <- len(b)
			return nil
		})
		ended <- err
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
	if _, err := one.pump(time.Unix(0, 0), interfaces, stop, func([]byte) error { return gone }); !errors.Is(err, gone) {
		t.Errorf("without a reader: %v", err)
	}
}
