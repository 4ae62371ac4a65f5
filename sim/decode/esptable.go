package decode

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/ikelab/ikelab/ike/suite"
)

// espKeys open the packets of one ESP SA.
type espKeys struct {
	opener     *suite.Opener
	algorithms string
	// esn says whether sequence numbers have 64 bits, where that is known.
	esn      bool
	esnKnown bool
	// high is the upper half of the first sequence number, where a table says it.
	high uint32
	// derived says that the keys follow from a decrypted exchange.
	derived bool
}

// espRow is a row of the ESP table.
type espRow struct {
	v6       bool
	src, dst addrPattern
	spi      []byte // hexadecimal digits and *, 8 of them; nil: any
	keys     *espKeys
}

// espRow takes IP version, source, destination, SPI, encryption, its key,
// integrity, its key, and, as newer Wireshark writes them, the size of sequence
// numbers ("32-bit", "64-bit") and the upper half.
func (k *Keys) espRow(fields []field) error {
	if len(fields) < 8 || len(fields) > 10 {
		return fmt.Errorf("has %d values, a row of this table has 8 to 10", len(fields))
	}
	row := &espRow{}
	switch strings.ToLower(fields[0].text) {
	case "ipv4":
	case "ipv6":
		row.v6 = true
	default:
		return fmt.Errorf("IP version %s; IPv4 and IPv6 exist", safe(fields[0].text))
	}
	var err error
	if row.src, err = parsePattern(fields[1].text, row.v6); err != nil {
		return err
	}
	if row.dst, err = parsePattern(fields[2].text, row.v6); err != nil {
		return err
	}
	spi, exact, err := parseSPI(fields[3].text)
	if err != nil {
		return err
	}
	if row.keys, err = parseESPKeys(fields[4:]); err != nil {
		return err
	}
	if exact {
		number, err := strconv.ParseUint(string(spi), 16, 32)
		if err != nil {
			return err
		}
		k.espBySPI[uint32(number)] = append(k.espBySPI[uint32(number)], row)
		return nil
	}
	row.spi = spi
	k.espWild = append(k.espWild, row)
	return nil
}

// parseESPKeys reads the columns from the encryption on.
func parseESPKeys(fields []field) (*espKeys, error) {
	e, ok := encryptionNamed(fields[0].text)
	if !ok {
		return nil, fmt.Errorf("encryption %s is not known", safe(fields[0].text))
	}
	i, uncheckedBytes, ok := integrityNamed(fields[2].text)
	if !ok {
		return nil, fmt.Errorf("integrity %s is not known", safe(fields[2].text))
	}
	if e.AEAD() && e.ID == suite.EncrAESGCM16 && plain(fields[0].text) == "aes-gcm" {
		// Old tables say the length of the check value in the integrity's place.
		switch uncheckedBytes {
		case 8:
			e.ID = suite.EncrAESGCM8
		case 12:
			e.ID = suite.EncrAESGCM12
		}
	}
	encrKey, err := fields[1].espKey()
	if err != nil {
		return nil, err
	}
	integKey, err := fields[3].espKey()
	if err != nil {
		return nil, err
	}
	out := &espKeys{}
	if len(fields) > 4 && fields[4].text != "" {
		switch strings.ToLower(fields[4].text) {
		case "32-bit":
			out.esnKnown = true
		case "64-bit":
			out.esnKnown, out.esn = true, true
		default:
			return nil, fmt.Errorf("sequence numbers of %s; 32-bit and 64-bit exist", safe(fields[4].text))
		}
	}
	if len(fields) > 5 && fields[5].text != "" {
		high, err := strconv.ParseUint(fields[5].text, 0, 32)
		if err != nil {
			return nil, fmt.Errorf("the sequence number's upper half %s is not a number of 32 bits", safe(fields[5].text))
		}
		out.high = uint32(high)
	}
	if out.opener, err = suite.NewOpener(suite.OpenerConfig{
		Encr: e, EncrKey: encrKey, Integ: i, IntegKey: integKey, UncheckedICVBytes: uncheckedBytes,
	}); err != nil {
		return nil, err
	}
	out.algorithms = algorithms(out.opener.Encr(), i, uncheckedBytes)
	return out, nil
}

// parseSPI reads an SPI: 0x and up to 8 hexadecimal digits of which some may be
// *, a decimal number, or * for any. exact says that no digit is *.
func parseSPI(s string) (spi []byte, exact bool, err error) {
	if s == "*" {
		return nil, false, nil
	}
	digits, isHex := cutHex(s)
	if !isHex {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return nil, false, fmt.Errorf("SPI %s; an SPI is *, 0x and up to 8 hexadecimal digits, or a number of 32 bits", safe(s))
		}
		digits = strconv.FormatUint(n, 16)
	}
	digits = strings.ToLower(digits)
	if len(digits) == 0 || len(digits) > 8 || strings.Trim(digits, "0123456789abcdef*") != "" {
		return nil, false, fmt.Errorf("SPI %s; an SPI is *, 0x and up to 8 hexadecimal digits, or a number of 32 bits", safe(s))
	}
	digits = strings.Repeat("0", 8-len(digits)) + digits
	return []byte(digits), !strings.Contains(digits, "*"), nil
}

// matches reports whether a row is for a packet.
func (r *espRow) matches(src, dst netip.Addr, spi uint32) bool {
	if dst.Is6() != r.v6 || !r.src.matches(src) || !r.dst.matches(dst) {
		return false
	}
	if r.spi == nil {
		return true
	}
	const digits = "0123456789abcdef"
	for i, c := range r.spi {
		if c != '*' && c != digits[spi>>(28-4*i)&15] {
			return false
		}
	}
	return true
}

// esp are the keys of the rows that are for an SA, in the table's order within
// exact SPIs and then within patterns.
func (k *Keys) esp(src, dst netip.Addr, spi uint32) []*espKeys {
	if k == nil {
		return nil
	}
	var out []*espKeys
	for _, rows := range [2][]*espRow{k.espBySPI[spi], k.espWild} {
		for _, r := range rows {
			if len(out) < espCandidatesMax && r.matches(src, dst, spi) {
				out = append(out, r.keys)
			}
		}
	}
	return out
}

// addrPattern is an address of which some half octets may be anything, as
// Wireshark has it: "*", "192.0.2.*", "192.0.2.0/24", "2001:db8:*::1".
type addrPattern struct {
	nibbles []byte // -1 as 0xff; nil: any address
	bits    int    // how many bits count
}

const anyNibble = 0xff

func parsePattern(s string, v6 bool) (addrPattern, error) {
	wrong := func() (addrPattern, error) {
		return addrPattern{}, fmt.Errorf("address %s; an address is *, or one of the row's IP version in which * may stand for a part, with a prefix length or without", safe(s))
	}
	if s == "*" || s == "" {
		return addrPattern{}, nil
	}
	body, suffix, hasPrefix := strings.Cut(s, "/")
	p := addrPattern{bits: 32}
	if v6 {
		p.bits = 128
	}
	whole := p.bits
	if hasPrefix {
		n, err := strconv.Atoi(suffix)
		if err != nil || n < 0 || n > whole {
			return wrong()
		}
		p.bits = n
	}
	if !strings.Contains(body, "*") {
		a, err := netip.ParseAddr(body)
		if err != nil || a.Is6() != v6 || a.Zone() != "" {
			return wrong()
		}
		for _, b := range a.AsSlice() {
			p.nibbles = append(p.nibbles, b>>4, b&15)
		}
		return p, nil
	}
	var err error
	if v6 {
		p.nibbles, err = wildcards6(body)
	} else {
		p.nibbles, err = wildcards4(body)
	}
	if err != nil {
		return wrong()
	}
	return p, nil
}

var errPattern = errors.New("no address pattern")

func wildcards4(s string) ([]byte, error) {
	parts := strings.Split(s, ".")
	if len(parts) != 4 {
		return nil, errPattern
	}
	var out []byte
	for _, part := range parts {
		if part == "*" {
			out = append(out, anyNibble, anyNibble)
			continue
		}
		n, err := strconv.ParseUint(part, 10, 8)
		if err != nil {
			return nil, errPattern
		}
		out = append(out, byte(n>>4), byte(n&15))
	}
	return out, nil
}

// wildcards6 reads groups of up to four digits or *, a group that is * alone
// being any, and one :: for groups of zeros.
func wildcards6(s string) ([]byte, error) {
	head, tail, gap := strings.Cut(s, "::")
	groups := func(s string) ([]byte, error) {
		var out []byte
		if s == "" {
			return nil, nil
		}
		for _, g := range strings.Split(s, ":") {
			if g == "*" {
				out = append(out, anyNibble, anyNibble, anyNibble, anyNibble)
				continue
			}
			if len(g) == 0 || len(g) > 4 {
				return nil, errPattern
			}
			for _, c := range strings.Repeat("0", 4-len(g)) + strings.ToLower(g) {
				at := strings.IndexRune("0123456789abcdef", c)
				switch {
				case c == '*':
					out = append(out, anyNibble)
				case at < 0:
					return nil, errPattern
				default:
					out = append(out, byte(at))
				}
			}
		}
		return out, nil
	}
	front, err := groups(head)
	if err != nil {
		return nil, err
	}
	back, err := groups(tail)
	if err != nil {
		return nil, err
	}
	missing := 32 - len(front) - len(back)
	if missing < 0 || !gap && missing != 0 {
		return nil, errPattern
	}
	return slices.Concat(front, make([]byte, missing), back), nil
}

func (p addrPattern) matches(a netip.Addr) bool {
	if p.nibbles == nil {
		return true
	}
	octets := a.AsSlice()
	if len(octets)*2 != len(p.nibbles) {
		return false
	}
	for i, want := range p.nibbles {
		left := p.bits - 4*i
		if left <= 0 {
			break
		}
		have := octets[i/2] >> 4
		if i%2 == 1 {
			have = octets[i/2] & 15
		}
		mask := byte(15)
		if left < 4 {
			mask <<= 4 - left
		}
		if want != anyNibble && (want^have)&mask != 0 {
			return false
		}
	}
	return true
}
