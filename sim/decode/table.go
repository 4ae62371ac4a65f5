package decode

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// Names of the key tables in Wireshark's configuration folder.
const (
	IKETable = "ikev2_decryption_table"
	ESPTable = "esp_sa"
)

// extension begins a line that Wireshark takes for a comment and that carries
// what its tables cannot (docs/decode.md).
const extension = "# ikelab "

// Keys are the keys of a capture's SAs, from Wireshark's tables.
type Keys struct {
	ike      map[ikeID][]*ikeKeys // in the table's order
	skd      map[ikeID][][]byte
	espBySPI map[uint32][]*espRow // rows whose SPI has no wildcard
	espWild  []*espRow
	rows     int
}

// ikeID names an IKE SA.
type ikeID struct{ i, r wire.SPI }

// ikeKeys are the keys of an IKE SA.
type ikeKeys struct {
	encr, integ suite.Transform
	fromI       *suite.Opener // what the original initiator sends
	fromR       *suite.Opener
	algorithms  string
}

// Warning is a row of a table that is not used.
type Warning struct {
	File   string
	Line   int
	Reason string
}

// String names file and line.
func (w Warning) String() string { return fmt.Sprintf("%s:%d: %s", w.File, w.Line, w.Reason) }

// LoadKeys reads the tables in the root of a folder. One of the two may be
// absent. A row that cannot be used is left out with a warning.
func LoadKeys(folder fs.FS) (*Keys, []Warning, error) {
	k := &Keys{ike: map[ikeID][]*ikeKeys{}, skd: map[ikeID][][]byte{}, espBySPI: map[uint32][]*espRow{}}
	var warnings []Warning
	found := 0
	for _, table := range []struct {
		name string
		row  func([]field) error
		more map[string]func([]field) error
	}{
		{IKETable, k.ikeRow, map[string]func([]field) error{"SA": k.ikeRow, "SK_d": k.skdRow}},
		{ESPTable, k.espRow, map[string]func([]field) error{"SA": k.espRow}},
	} {
		file, err := folder.Open(table.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		w, err := k.read(file, table.name, table.row, table.more)
		_ = file.Close() // read only
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", table.name, err)
		}
		warnings = append(warnings, w...)
		found++
	}
	if found == 0 {
		return nil, nil, fmt.Errorf("there is neither %s nor %s in it", IKETable, ESPTable)
	}
	return k, warnings, nil
}

// read reads one table.
func (k *Keys) read(r io.Reader, name string, row func([]field) error, more map[string]func([]field) error) ([]Warning, error) {
	var warnings []Warning
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), tableLineBytesMax)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		use := row
		if rest, ok := strings.CutPrefix(line, extension); ok {
			kind, values, found := strings.Cut(rest, ",")
			if use = more[kind]; use == nil || !found {
				continue // a comment after all
			}
			line = values
		}
		if line == "" || line[0] == '#' {
			continue
		}
		if k.rows++; k.rows > tableRowsMax {
			return warnings, fmt.Errorf("more than %d rows", tableRowsMax)
		}
		fields, err := split(line)
		if err == nil {
			err = use(fields)
		}
		if err != nil {
			warnings = append(warnings, Warning{name, number, err.Error()})
		}
	}
	return warnings, lines.Err()
}

// field is one value of a row.
type field struct {
	text   string
	quoted bool
}

// split takes a row apart: values between commas, quoted or not. In quotes \xHH
// is an octet and \ before anything else stands for what follows.
func split(line string) ([]field, error) {
	var fields []field
	for {
		line = strings.TrimLeft(line, " \t")
		if !strings.HasPrefix(line, `"`) {
			value, rest, more := strings.Cut(line, ",")
			fields = append(fields, field{text: strings.TrimSpace(value)})
			if !more {
				return fields, nil
			}
			line = rest
			continue
		}
		var value strings.Builder
		at := 1
		for ; ; at++ {
			if at >= len(line) {
				return nil, errors.New("a quotation mark is missing")
			}
			c := line[at]
			switch {
			case c == '"' && strings.HasPrefix(line[at+1:], `"`):
				at++ // doubled
				value.WriteByte('"')
				continue
			case c == '"':
			case c == '\\' && at+3 < len(line) && line[at+1] == 'x':
				octet, err := strconv.ParseUint(line[at+2:at+4], 16, 8)
				if err != nil {
					return nil, fmt.Errorf("%q is no octet", line[at:at+4])
				}
				value.WriteByte(byte(octet))
				at += 3
				continue
			case c == '\\' && at+1 < len(line):
				at++
				value.WriteByte(line[at])
				continue
			default:
				value.WriteByte(c)
				continue
			}
			break
		}
		fields = append(fields, field{value.String(), true})
		line = strings.TrimLeft(line[at+1:], " \t")
		if line == "" {
			return fields, nil
		}
		if line[0] != ',' {
			return nil, fmt.Errorf("%q follows a quoted value; a comma must", line)
		}
		line = line[1:]
	}
}

// octets is the value of a field of the IKE table: hexadecimal digits, or the
// octets of a quoted string.
func (f field) octets() ([]byte, error) {
	if f.quoted {
		if digits, ok := cutHex(f.text); ok {
			return hex.DecodeString(digits)
		}
		return []byte(f.text), nil
	}
	digits, _ := cutHex(f.text)
	b, err := hex.DecodeString(digits)
	if err != nil {
		return nil, fmt.Errorf("a key is not hexadecimal: %w", err)
	}
	return b, nil
}

// cutHex is a value without the prefix of hexadecimal numbers.
func cutHex(s string) (string, bool) {
	if len(s) >= 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') {
		return s[2:], true
	}
	return s, false
}

// espKey is a key of the ESP table: 0x and hexadecimal digits, or a string,
// with quotation marks of its own or without.
func (f field) espKey() ([]byte, error) {
	if digits, ok := cutHex(f.text); ok {
		if len(digits)%2 != 0 {
			digits = "0" + digits
		}
		b, err := hex.DecodeString(digits)
		if err != nil {
			return nil, errors.New("a key begins with 0x and is not hexadecimal")
		}
		return b, nil
	}
	text := f.text
	if len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"' {
		text = text[1 : len(text)-1]
	}
	return []byte(text), nil
}

func spiOf(f field) (wire.SPI, error) {
	b, err := f.octets()
	if err != nil || len(b) != len(wire.SPI{}) {
		return wire.SPI{}, fmt.Errorf("%s is no IKE SPI; one has 16 hexadecimal digits", safe(f.text))
	}
	return wire.SPI(b), nil
}

func idOf(fields []field) (ikeID, error) {
	i, err := spiOf(fields[0])
	if err != nil {
		return ikeID{}, err
	}
	r, err := spiOf(fields[1])
	return ikeID{i, r}, err
}

// ikeRow takes initiator's SPI, responder's SPI, SK_ei, SK_er, encryption,
// SK_ai, SK_ar, integrity.
func (k *Keys) ikeRow(fields []field) error {
	if len(fields) != 8 {
		return fmt.Errorf("has %d values, a row of this table has 8", len(fields))
	}
	id, err := idOf(fields)
	if err != nil {
		return err
	}
	encr, ok := encryptionNamed(fields[4].text)
	if !ok {
		return fmt.Errorf("encryption %s is not known", safe(fields[4].text))
	}
	integ, uncheckedBytes, ok := integrityNamed(fields[7].text)
	if !ok {
		return fmt.Errorf("integrity %s is not known", safe(fields[7].text))
	}
	var keys [4][]byte
	for i, column := range [4]int{2, 3, 5, 6} {
		if keys[i], err = fields[column].octets(); err != nil {
			return err
		}
	}
	out := &ikeKeys{encr: encr, integ: integ, algorithms: algorithms(encr, integ, uncheckedBytes)}
	for i, opener := range [2]**suite.Opener{&out.fromI, &out.fromR} {
		if *opener, err = suite.NewOpener(suite.OpenerConfig{
			Encr: encr, EncrKey: keys[i], Integ: integ, IntegKey: keys[2+i], UncheckedICVBytes: uncheckedBytes,
		}); err != nil {
			return err
		}
	}
	if len(k.ike[id]) == ikeCandidatesMax {
		return fmt.Errorf("there are more than %d rows for this SA", ikeCandidatesMax)
	}
	k.ike[id] = append(k.ike[id], out)
	return nil
}

// skdRow takes initiator's SPI, responder's SPI, SK_d.
func (k *Keys) skdRow(fields []field) error {
	if len(fields) != 3 {
		return fmt.Errorf("has %d values, a row with SK_d has 3", len(fields))
	}
	id, err := idOf(fields)
	if err != nil {
		return err
	}
	key, err := fields[2].octets()
	if err != nil {
		return err
	}
	if _, ok := prfOfKeyBytes(len(key)); !ok {
		return fmt.Errorf("SK_d has %d octets; 20, 32, 48 and 64 belong to a pseudorandom function", len(key))
	}
	if len(k.skd[id]) == ikeCandidatesMax {
		return fmt.Errorf("there are more than %d rows for this SA", ikeCandidatesMax)
	}
	k.skd[id] = append(k.skd[id], key)
	return nil
}

// prfOfKeyBytes is the pseudorandom function whose keys have a length: each has
// its own (RFC 7296 §2.13).
func prfOfKeyBytes(n int) (uint16, bool) {
	switch n {
	case 20:
		return suite.PRFHMACSHA1, true
	case 32:
		return suite.PRFHMACSHA256, true
	case 48:
		return suite.PRFHMACSHA384, true
	case 64:
		return suite.PRFHMACSHA512, true
	}
	return 0, false
}

// safe is text that does not come from this program, quoted unless it is made of
// letters, digits and marks that mean nothing in our lines.
func safe(s string) string {
	if s == "" || !utf8.ValidString(s) {
		return strconv.Quote(s)
	}
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		case strings.ContainsRune("@.:_-/=*+%#", r):
		default:
			return strconv.Quote(s)
		}
	}
	return s
}
