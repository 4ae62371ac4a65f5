package esp

import "testing"

// Sealing and opening allocate nothing, for every algorithm.
func TestNoAllocationPerPacket(t *testing.T) {
	for _, a := range algorithms() {
		for _, esn := range []bool{false, true} {
			c := a.SAConfig
			c.ESN = esn
			o, i := pair(t, c)
			inner := ascending(1, 1400)
			buf := make([]byte, 0, 2000)
			var failed error
			allocs := testing.AllocsPerRun(100, func() {
				seq, err := o.Reserve(1)
				if err == nil {
					var p []byte
					if p, err = o.Seal(buf, seq, inner, NextHeaderIPv4); err == nil {
						_, _, _, err = i.Open(p)
					}
				}
				if err != nil {
					failed = err
				}
			})
			if failed != nil {
				t.Errorf("%s: %v", a.name, failed)
			}
			if allocs != 0 {
				t.Errorf("%s, ESN %t: %v allocations per packet", a.name, esn, allocs)
			}
		}
	}
}

// Neither does a lookup in the policy database.
func TestNoAllocationPerLookup(t *testing.T) {
	spd := exampleSPD(t)
	f := flow("10.1.0.9", "10.9.0.9", 17, 4000, 53)
	if allocs := testing.AllocsPerRun(100, func() { spd.Lookup(DirectionOut, f) }); allocs != 0 {
		t.Errorf("%v allocations per lookup", allocs)
	}
}
