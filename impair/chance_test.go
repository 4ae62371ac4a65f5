package impair

import (
	"strings"
	"testing"
)

// A step back to the good state that no 64-bit draw can mean is none: the link is refused. The smallest that
// one can mean makes a link that works, however often the chain goes bad.
func TestTinyRecovery(t *testing.T) {
	for _, c := range []struct {
		r      float64
		refuse bool
	}{{0, true}, {1e-300, true}, {1e-20, true}, {1.0 / (1 << 32) / (1 << 32), false}, {1e-12, false}} {
		for _, p := range []float64{0, 1e-20, 0.5, 1} {
			cfg := LinkConfig{Name: "l", Loss: Loss{Model: LossGilbertElliott, P: p, R: c.r}}
			err := cfg.Validate()
			if c.refuse {
				if err == nil || !strings.Contains(err.Error(), "loss.r") {
					t.Errorf("p %v, r %v: %v, want an error about loss.r", p, c.r, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("p %v, r %v: %v", p, c.r, err)
				continue
			}
			l := NewLink(cfg, func(string, Direction, Effect, Identity) uint64 { return 1 << 63 })
			_, drop := l.Step(0, Up, Packet{Identity: Identity{Flow: "f"}, Bytes: make([]byte, 20)})
			// Half of all draws lie below the one drawn here.
			want := ""
			if p/(p+c.r) > 0.5 {
				want = DropLoss
			}
			if drop != want {
				t.Errorf("p %v, r %v: dropped as %q, want %q", p, c.r, drop, want)
			}
		}
	}
}
