package decode

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"

	"github.com/ikelab/ikelab/ike/wire"
)

// heapBytesMax is what all tables of a decoder may hold when they are full, of
// packets as small as these.
const heapBytesMax = 400 << 20

// TestMemoryIsBounded decodes a capture in which nothing ever repeats: SAs,
// messages, requests and fragments. No table grows beyond its limit.
func TestMemoryIsBounded(t *testing.T) {
	p := newPeers(t, "aes128-sha1-prfsha1-x25519")
	d := NewDecoder(Options{Ladder: true}, func(*Record) error { return nil })
	number := uint64(0)
	feed := func(packet []byte) {
		number++
		if err := d.Frame(Frame{Number: number, Time: start, Link: 101, Data: packet, Length: len(packet)}); err != nil {
			t.Fatal(err)
		}
	}
	request := p.init()[0]
	response := p.init()[1]
	ike := ipv4(alice, bob, 17, udp(4500, 4500, marked(p.sealed(wire.ExchangeInformational, 1, false))))
	sa := ipv4(alice, bob, 50, make([]byte, 40))
	piece := cut(ipv4(alice, bob, 17, make([]byte, 100)), 64)[0]
	rounds := messagesMax + 1000
	if testing.Short() {
		rounds = 1 << 14
	}
	for i := range rounds {
		n := uint32(i + 1)
		binary.BigEndian.PutUint32(request[28:], n)
		binary.BigEndian.PutUint32(response[28:], n)
		binary.BigEndian.PutUint32(ike[32:], n)
		binary.BigEndian.PutUint32(sa[20:], n)
		binary.BigEndian.PutUint16(piece[4:], uint16(n))
		for _, packet := range [][]byte{request, response, ike, sa, piece} {
			feed(packet)
		}
	}
	if !d.Stats().Clean() {
		t.Errorf("stats %+v", d.Stats())
	}
	for name, n := range map[string][3]int{
		"IKE SAs":              {len(d.ike.sas.entries), len(d.ike.sas.order), ikeSAsMax},
		"IKE_SA_INIT requests": {len(d.ike.inits.entries), len(d.ike.inits.order), ikeInitsMax},
		"messages":             {len(d.ike.messages.entries), len(d.ike.messages.order), messagesMax},
		"ESP SAs":              {len(d.esp.sas.entries), len(d.esp.sas.order), espSAsMax},
		"datagrams":            {len(d.reassembler.waiting.entries), len(d.reassembler.waiting.order), datagramsMax},
		"rows of the ladder":   {len(d.ladder), len(d.ladder), ladderRowsMax},
	} {
		if n[0] > n[2] || n[1] > n[2] {
			t.Errorf("%d %s in %d places, at most %d are kept", n[0], name, n[1], n[2])
		}
	}
	var mem runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&mem)
	if mem.HeapAlloc > heapBytesMax {
		t.Errorf("%d MiB are in use", mem.HeapAlloc>>20)
	}
	t.Logf("%d frames, %d MiB", number, mem.HeapAlloc>>20)
	var summary bytes.Buffer
	if err := d.Summary(&summary, nil); err != nil {
		t.Fatal(err)
	}
	if !testing.Short() && !strings.Contains(summary.String(), "more than are kept") {
		t.Error("the summary says nothing of what was dropped")
	}
	runtime.KeepAlive(d)
}
