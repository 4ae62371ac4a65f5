package host

import "testing"

// TestTunnel brings a tunnel up and uses it, in both forms and families.
func TestTunnel(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]option{
		"in UDP":       {encap()},
		"bare":         nil,
		"in UDP, IPv6": {encap(), overIPv6()},
		"bare, IPv6":   {overIPv6()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options...)
			w.up()
			for _, from := range []string{"inside", "gateway"} {
				n := w.inside[0]
				if from == "gateway" {
					n = w.gateway[0]
				}
				w.ping(n, "10.2.0.2", 3)
				w.ping(n, "2001:db8:2::2", 3)
			}
			w.transfer(w.inside[0], w.inside[1], "10.2.0.2", 10<<20)
			w.transfer(w.inside[1], w.inside[0], "2001:db8:1::2", 10<<20)
		})
	}
}
