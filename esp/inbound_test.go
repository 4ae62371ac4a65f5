package esp

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// A change of any single bit is noticed, and moves nothing: the packet itself is
// still accepted afterwards.
func TestOpenNoticesEveryBit(t *testing.T) {
	for _, a := range algorithms() {
		for _, esn := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/esn=%t", a.name, esn), func(t *testing.T) {
				c := a.SAConfig
				c.ESN = esn
				o, i := pair(t, c)
				inner := ascending(1, 20)
				p := sealNext(t, o, inner)
				for bit := range len(p) * 8 {
					changed := bytes.Clone(p)
					changed[bit/8] ^= 1 << (bit % 8)
					want := DropIntegrity
					switch {
					case bit < 32:
						want = DropSPI
					case changed[4] == 0 && changed[5] == 0 && changed[6] == 0 && changed[7] == 0:
						want = DropReplay
					}
					checkDrop(t, i, changed, want)
				}
				if i.Highest() != 0 {
					t.Errorf("forgeries moved the window to %d", i.Highest())
				}
				checkOpen(t, i, p, inner)
			})
		}
	}
}

func TestOpenRefusesEveryPrefix(t *testing.T) {
	for _, a := range algorithms() {
		t.Run(a.name, func(t *testing.T) {
			o, i := pair(t, a.SAConfig)
			p := sealNext(t, o, ascending(1, 40))
			for n := range len(p) {
				if _, _, _, err := i.Open(bytes.Clone(p[:n])); err == nil {
					t.Errorf("the first %d of %d octets were accepted", n, len(p))
				}
			}
			checkDrop(t, i, nil, DropTruncated)
			checkDrop(t, i, p[:headerBytes], DropTruncated)
			checkDrop(t, i, append(bytes.Clone(p), 0), DropTruncated)
		})
	}
}

// A peer with the right key can still send a wrong trailer. It is dropped after
// the window has moved: its number is used up (RFC 4303 §3.4.4.1).
func TestOpenChecksTrailer(t *testing.T) {
	for _, c := range []struct {
		name string
		text string // before encryption, 16 octets
		want string // inner packet, or "" for a drop
	}{
		{"no padding", "000102030405060708090a0b0c0d 00 04", "000102030405060708090a0b0c0d"},
		{"padding of RFC 4303", "0001020304050607080901020304 04 04", "00010203040506070809"},
		{"only padding", "0102030405060708090a0b0c0d0e 0e 3b", "-"},
		{"padding longer than the text", "0102030405060708090a0b0c0d0e 0f 04", ""},
		{"padding of zeros", "0001020304050607080900000000 04 04", ""},
		{"padding that counts down", "0001020304050607080904030201 04 04", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, i := pair(t, algorithms()[4].SAConfig)
			p := sealText(t, o, 1, unhex(t, c.text))
			if c.want == "" {
				checkDrop(t, i, p, DropPadding)
			} else {
				got, _, _, err := i.Open(p)
				if err != nil || !bytes.Equal(got, unhex(t, strings.TrimPrefix(c.want, "-"))) {
					t.Errorf("opened as %x, %v; want %s", got, err, c.want)
				}
			}
			if i.Highest() != 1 {
				t.Errorf("the window is at %d, want 1", i.Highest())
			}
		})
	}
}

// sealText seals a text with its trailer as it is, under any sequence number.
func sealText(t testing.TB, o *Outbound, seq uint64, text []byte) []byte {
	t.Helper()
	p := make([]byte, headerBytes+o.ivBytes+len(text)+o.icvBytes)
	putUint32(p, o.spi)
	putUint32(p[4:], uint32(seq))
	textAt := headerBytes + o.ivBytes
	textEnd := textAt + copy(p[textAt:], text)
	o.writeIV(p[headerBytes:textAt], seq)
	aad, tail := o.associated(p[:headerBytes], uint32(seq>>32))
	o.crypter.Seal(p[headerBytes:textAt], p[textAt:textEnd], p[textEnd:], aad, tail)
	return p
}

func TestReplay(t *testing.T) {
	for _, a := range algorithms() {
		t.Run(a.name, func(t *testing.T) {
			o, i := pair(t, a.SAConfig)
			inner := ascending(3, 24)
			packets := make([][]byte, 200)
			for n := range packets {
				packets[n] = sealNext(t, o, inner)
			}
			checkOpen(t, i, packets[0], inner)
			checkDrop(t, i, packets[0], DropReplay)
			checkOpen(t, i, packets[99], inner)
			checkOpen(t, i, packets[36], inner) // 64 numbers: 37 to 100
			checkDrop(t, i, packets[35], DropReplay)
			checkDrop(t, i, packets[36], DropReplay)
			checkOpen(t, i, packets[98], inner)
			checkOpen(t, i, packets[199], inner)
			checkDrop(t, i, packets[100], DropReplay)
		})
	}
	t.Run("without a window everything passes", func(t *testing.T) {
		c := algorithms()[0].SAConfig
		c.ReplayWindowPackets = 0
		o, i := pair(t, c)
		p := sealNext(t, o, nil)
		checkOpen(t, i, p, nil)
		checkOpen(t, i, p, nil)
	})
}

// With ESN the upper half of the number is not sent, but authenticated: a
// receiver finds it across the boundary, and one that is a cycle away fails.
func TestESNAcrossTheBoundary(t *testing.T) {
	for _, a := range algorithms() {
		t.Run(a.name, func(t *testing.T) {
			c := a.SAConfig
			c.ESN = true
			o, i := pair(t, c)
			inner := ascending(3, 24)
			o.last = 1<<32 - 4
			i.window.advance(o.last)
			var packets [][]byte
			for range 8 {
				packets = append(packets, sealNext(t, o, inner))
			}
			for _, n := range []int{0, 4, 1, 5, 2, 7, 3, 6} {
				if seq := checkOpen(t, i, packets[n], inner); seq != 1<<32-3+uint64(n) {
					t.Errorf("packet %d was opened as %d", n, seq)
				}
			}
			if i.Highest() != 1<<32+4 {
				t.Errorf("the window is at %d", i.Highest())
			}
			o.last = 5<<32 + 100
			checkDrop(t, i, sealNext(t, o, inner), DropIntegrity)
		})
	}
}

func TestDropErrorText(t *testing.T) {
	err := &DropError{Kind: DropReplay, SPI: 0xc0ffee01, Seq: 7, Reason: "the number was received before"}
	if got, want := err.Error(), "ESP SA 0xc0ffee01 dropped packet 7: replay: the number was received before"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for k, want := range map[DropKind]string{
		DropTruncated: "truncated", DropSPI: "spi", DropReplay: "replay",
		DropIntegrity: "integrity", DropPadding: "padding", 99: "drop 99",
	} {
		if k.String() != want {
			t.Errorf("kind %d is %q, want %q", uint8(k), k, want)
		}
	}
}
