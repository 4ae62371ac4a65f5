package esp

import "testing"

func TestUDPEncapsulation(t *testing.T) {
	for _, c := range []struct {
		name              string
		payload           string
		nonESP, keepalive bool
	}{
		{"IKE", "00000000 0102030405060708", true, false},
		{"marker alone", "00000000", true, false},
		{"ESP", "c0ffee01 00000001", false, false},
		{"NAT-keepalive", "ff", false, true},
		{"two octets of 0xff", "ffff", false, false},
		{"one zero", "00", false, false},
		{"nothing", "", false, false},
	} {
		b := unhex(t, c.payload)
		if got := IsNonESP(b); got != c.nonESP {
			t.Errorf("%s: IsNonESP is %t", c.name, got)
		}
		if got := IsKeepalive(b); got != c.keepalive {
			t.Errorf("%s: IsKeepalive is %t", c.name, got)
		}
	}
}

func TestSPI(t *testing.T) {
	for _, c := range []struct {
		packet string
		spi    uint32
		ok     bool
	}{
		{"c0ffee01 00000001", 0xc0ffee01, true},
		{"c0ffee01 000000", 0, false},
		{"", 0, false},
		{"00000000 00000001", 0, false},
	} {
		if spi, ok := SPI(unhex(t, c.packet)); spi != c.spi || ok != c.ok {
			t.Errorf("%q: %#x, %t", c.packet, spi, ok)
		}
	}
}
