package esp

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ikelab/ikelab/ike/suite"
)

// Whatever is sealed opens to the same packet, for every algorithm, with and
// without ESN, at every length around the block sizes; and the packet has the
// layout of RFC 4303 §2.
func TestSealOpen(t *testing.T) {
	for _, a := range algorithms() {
		for _, esn := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/esn=%t", a.name, esn), func(t *testing.T) {
				c := a.SAConfig
				c.ESN = esn
				o, i := pair(t, c)
				for n := range 100 {
					inner := ascending(1, n)
					p := sealNext(t, o, inner)
					if want := n + o.Overhead(n); len(p) != want {
						t.Errorf("%d octets became %d, Overhead says %d", n, len(p), want)
					}
					if text := len(p) - headerBytes - i.ivBytes - i.icvBytes; text%4 != 0 || text%i.alignBytes != 0 || text-n-trailerBytes > i.alignBytes-1 {
						t.Errorf("%d octets have an encrypted part of %d octets", n, text)
					}
					if spi, ok := SPI(p); !ok || spi != c.SPI {
						t.Errorf("SPI %#x, %t", spi, ok)
					}
					if bytes.Contains(p, inner) && n > 8 {
						t.Errorf("%d octets are in the packet in clear", n)
					}
					if seq := checkOpen(t, i, p, inner); seq != uint64(n+1) || i.Highest() != seq {
						t.Errorf("sequence number %d (highest %d), want %d", seq, i.Highest(), n+1)
					}
				}
			})
		}
	}
}

// A sealed packet may be built in a buffer of the caller's, around the inner
// packet where it lies or in front of it.
func TestSealWhereTheCallerWants(t *testing.T) {
	for _, a := range algorithms() {
		t.Run(a.name, func(t *testing.T) {
			inner := ascending(7, 61)
			seal := func(dst, inner []byte) []byte {
				o, _ := pair(t, a.SAConfig)
				if _, err := o.Reserve(1); err != nil {
					t.Fatal(err)
				}
				p, err := o.Seal(dst, 1, inner, NextHeaderIPv4)
				if err != nil {
					t.Fatal(err)
				}
				return p
			}
			want := seal(nil, inner)
			o, _ := pair(t, a.SAConfig)
			for _, at := range []int{0, 3, o.Headroom(), o.Headroom() + 5} {
				buf := make([]byte, 200)
				copy(buf[at:], inner)
				got := seal(buf[:0], buf[at:at+len(inner)])
				if !bytes.Equal(got, want) || &got[0] != &buf[0] {
					t.Errorf("inner packet at octet %d of the buffer: sealed as\n%x, want in the same place\n%x", at, got, want)
				}
			}
			if got := seal([]byte("outer header"), inner); !bytes.Equal(got, append([]byte("outer header"), want...)) {
				t.Errorf("behind an outer header: %x", got)
			}
		})
	}
}

// The room that Overhead and Headroom promise is exactly enough: a packet behind
// other octets stays in the caller's memory and nothing is allocated.
func TestSealInExactlyTheRoomPromised(t *testing.T) {
	const outer = "outer header"
	for _, a := range algorithms() {
		o, _ := pair(t, a.SAConfig)
		inner := ascending(7, 61)
		buf := make([]byte, len(outer), len(outer)+len(inner)+o.Overhead(len(inner)))
		copy(buf, outer)
		if allocs := testing.AllocsPerRun(10, func() {
			seq, err := o.Reserve(1)
			if err != nil {
				t.Fatal(err)
			}
			p, err := o.Seal(buf, seq, inner, NextHeaderIPv4)
			if err != nil || &p[0] != &buf[0] || len(p) != cap(buf) {
				t.Fatalf("%s: %d octets, %v; want %d in the same place", a.name, len(p), err, cap(buf))
			}
		}); allocs != 0 {
			t.Errorf("%s: %v allocations", a.name, allocs)
		}
	}
}

// SPIs up to 255 are IANA's (RFC 4303 §2.1).
func TestLowestSPI(t *testing.T) {
	c := algorithms()[0].SAConfig
	c.SPI = 256
	o, i := pair(t, c)
	checkOpen(t, i, sealNext(t, o, nil), nil)
}

// One IV must never serve two packets under a key; a CBC IV must not be the
// sequence number in clear either.
func TestIVs(t *testing.T) {
	for _, a := range algorithms() {
		t.Run(a.name, func(t *testing.T) {
			o, _ := pair(t, a.SAConfig)
			seen := map[string]bool{}
			for range 500 {
				p := sealNext(t, o, nil)
				iv := string(p[headerBytes : headerBytes+o.ivBytes])
				if seen[iv] {
					t.Fatalf("IV %x serves two packets", iv)
				}
				seen[iv] = true
				if o.ivBytes == cbcIVBytes && bytes.Contains([]byte(iv), make([]byte, 5)) {
					t.Errorf("IV %x is not encrypted", iv)
				}
			}
		})
	}
	t.Run("CBC IVs depend on the IVKey", func(t *testing.T) {
		c := algorithms()[4].SAConfig
		o1, _ := pair(t, c)
		c.IVKey = ascending(0, 32)
		o2, _ := pair(t, c)
		if p, q := sealNext(t, o1, nil), sealNext(t, o2, nil); bytes.Equal(p[8:24], q[8:24]) {
			t.Errorf("both IVs are %x", p[8:24])
		}
	})
}

func TestReserve(t *testing.T) {
	for _, c := range []struct {
		esn  bool
		last uint64
	}{{false, 1<<32 - 1}, {true, 1<<64 - 1}} {
		t.Run(fmt.Sprintf("esn=%t", c.esn), func(t *testing.T) {
			cfg := algorithms()[0].SAConfig
			cfg.ESN = c.esn
			o, _ := pair(t, cfg)
			if first, err := o.Reserve(10); err != nil || first != 1 {
				t.Errorf("the first batch starts at %d, %v", first, err)
			}
			if first, err := o.Reserve(1); err != nil || first != 11 {
				t.Errorf("the second batch starts at %d, %v", first, err)
			}
			if _, err := o.Reserve(0); err == nil {
				t.Error("none can be reserved")
			}
			o.last = c.last - 3
			if first, err := o.Reserve(4); !errors.Is(err, ErrSequenceExhausted) {
				t.Errorf("4 of the last 3 numbers were reserved from %d: %v", first, err)
			}
			first, err := o.Reserve(3)
			if err != nil || first != c.last-2 || o.Remaining() != 0 {
				t.Errorf("the last 3 start at %d, %v; %d remain", first, err, o.Remaining())
			}
			if _, err := o.Seal(nil, c.last, nil, NextHeaderIPv4); err != nil {
				t.Errorf("the last number cannot be used: %v", err)
			}
			if _, err := o.Reserve(1); !errors.Is(err, ErrSequenceExhausted) {
				t.Errorf("after the last number: %v", err)
			}
		})
	}
}

func TestSealRefusesNumbersNotReserved(t *testing.T) {
	o, _ := pair(t, algorithms()[0].SAConfig)
	if _, err := o.Reserve(2); err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{0, 3, 1 << 40} {
		if p, err := o.Seal([]byte{9}, seq, nil, NextHeaderIPv4); err == nil || !bytes.Equal(p, []byte{9}) {
			t.Errorf("number %d sealed as %x, %v", seq, p, err)
		}
	}
}

func TestConfigRefusals(t *testing.T) {
	gcm, cbc := algorithms()[0].SAConfig, algorithms()[4].SAConfig
	for _, c := range []struct {
		name   string
		base   SAConfig
		change func(*SAConfig)
		want   string
	}{
		{"reserved SPI", gcm, func(c *SAConfig) { c.SPI = 255 }, "reserved"},
		{"key without salt", gcm, func(c *SAConfig) { c.EncrKey = c.EncrKey[:16] }, "0xc0ffee01"},
		{"unknown transform", gcm, func(c *SAConfig) { c.Encr.ID = 999 }, "0xc0ffee01"},
		{"encryption without integrity", cbc, func(c *SAConfig) { c.Integ, c.IntegKey = suite.Transform{}, nil }, "0xc0ffee01"},
		{"CBC without IVKey", cbc, func(c *SAConfig) { c.IVKey = nil }, "IVKey"},
		{"window too small", gcm, func(c *SAConfig) { c.ReplayWindowPackets = 31 }, "replay window"},
		{"window too large", gcm, func(c *SAConfig) { c.ReplayWindowPackets = 4097 }, "replay window"},
		{"ESN without window", gcm, func(c *SAConfig) { c.ESN = true; c.ReplayWindowPackets = 0 }, "ESN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := c.base
			c.change(&cfg)
			_, errOut := NewOutbound(cfg)
			_, errIn := NewInbound(cfg)
			for _, err := range []error{errOut, errIn} {
				if err != nil && strings.Contains(err.Error(), c.want) {
					return
				}
			}
			t.Errorf("outbound %v, inbound %v; want one that says %q", errOut, errIn, c.want)
		})
	}
}
