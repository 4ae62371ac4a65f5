package esp

import (
	"bytes"
	"testing"
)

// FuzzOpen holds two things for arbitrary octets and for valid packets with
// octets changed: nothing panics, and no packet is accepted but the one that was
// sealed. The first octet chooses the algorithm and ESN, the second what is done.
func FuzzOpen(f *testing.F) {
	all := algorithms()
	f.Add([]byte{0, 0}, []byte("c0ffee01"))
	f.Add([]byte{4, 1}, []byte{0, 1, 2, 3})
	f.Add([]byte{15, 2}, []byte{1})
	f.Fuzz(func(t *testing.T, choice, data []byte) {
		if len(choice) < 2 {
			return
		}
		c := all[int(choice[0])%len(all)].SAConfig
		c.ESN = choice[0]&8 != 0
		o, i := pair(t, c)
		valid := sealNext(t, o, ascending(1, int(choice[0])))
		p := bytes.Clone(valid)
		switch choice[1] % 4 {
		case 0: // arbitrary octets
			p = bytes.Clone(data)
		case 1: // arbitrary octets behind a good header
			p = append(p[:headerBytes], data...)
		case 2: // octets changed: pairs of place and difference
			for n := 0; n+1 < len(data); n += 2 {
				p[int(data[n])%len(p)] ^= data[n+1]
			}
		case 3: // cut or lengthened
			if len(data) > 0 {
				p = append(p[:int(data[0])%(len(p)+1)], data[1:]...)
			}
		}
		same := bytes.Equal(p, valid)
		inner, nextHeader, seq, err := i.Open(p)
		switch {
		case err == nil && !same:
			t.Fatalf("accepted what was not sealed: packet %d with %x", seq, inner)
		case err != nil && same:
			t.Fatalf("refused what was sealed: %v", err)
		case err == nil && (nextHeader != NextHeaderIPv4 || !bytes.Equal(inner, ascending(1, int(choice[0])))):
			t.Fatalf("opened to %x under %d", inner, nextHeader)
		case err != nil && i.Highest() != 0:
			t.Fatalf("a refused packet moved the window to %d", i.Highest())
		}
		if !same {
			checkOpen(t, i, valid, ascending(1, int(choice[0])))
		}
	})
}
