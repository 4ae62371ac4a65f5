package impair

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// reference runs a chain forward from the start of its block, as a textbook does, without any of the
// shortcuts of chain.
func reference(draw Draw, cfg Loss, flow string, ordinal uint64) bool {
	p, r := newProbability(cfg.P), newProbability(cfg.R)
	start := ordinal / chainBlockOrdinals * chainBlockOrdinals
	u := func(o uint64) uint64 {
		return draw("l", Up, EffectLossState, Identity{Flow: flow, Ordinal: o})
	}
	bad := stationaryBad(p, r).holds(u(start))
	for o := start + 1; o <= ordinal; o++ {
		if bad {
			// The upper end of the draws leads back, so that one draw serves both states.
			bad = !(r.always || u(o) >= -r.below && r.below > 0)
		} else {
			bad = p.holds(u(o))
		}
	}
	return bad
}

// The state found by walking back is the state found by running forward, from whatever was asked before.
func TestChainIsTheTextbookChain(t *testing.T) {
	if testing.Short() {
		t.Skip("not for -short; cure: make test")
	}
	configs := []Loss{
		{P: 0.01, R: 0.3}, {P: 0.5, R: 0.5}, {P: 0.9, R: 0.9}, {P: 1, R: 1}, {P: 0, R: 0.1}, {P: 1, R: 0.01}, {P: 0.001, R: 0.001},
	}
	rapid.Check(t, func(t *rapid.T) {
		cfg := rapid.SampledFrom(configs).Draw(t, "config")
		draw := testDraw(rapid.Uint64().Draw(t, "seed"))
		c := newChain("l", Up, draw, cfg)
		base := rapid.SampledFrom([]uint64{0, 5 * chainBlockOrdinals, chainBlockOrdinals - 20}).Draw(t, "base")
		for _, step := range rapid.SliceOfN(rapid.Uint64Range(0, 400), 1, 20).Draw(t, "ordinals") {
			flow := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "flow")
			ordinal := base + step
			if got, want := c.bad(Identity{Flow: flow, Ordinal: ordinal}), reference(draw, cfg, flow, ordinal); got != want {
				t.Fatalf("flow %s at %d: bad is %v, run forward it is %v", flow, ordinal, got, want)
			}
		}
	})
}

// Over a long flow, loss comes as often and in bursts as long as the model's formulas say.
func TestChainStatistics(t *testing.T) {
	const n = 200_000
	tests := []struct {
		name string
		cfg  Loss
	}{
		{"gilbert", Loss{P: 0.01, R: 0.3}},
		{"long bursts", Loss{P: 0.005, R: 0.05}},
		{"elliott", Loss{P: 0.02, R: 0.2, DeliverBad: 0.25, LossGood: 0.01}},
		{"crossed", Loss{P: 0.8, R: 0.7}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newChain("l", Up, testDraw(42), test.cfg)
			var lost, badPackets, bursts int
			before := false
			for i := range uint64(n) {
				id := Identity{Flow: "f", Ordinal: i}
				if c.loses(id) {
					lost++
				}
				bad := c.bad(id)
				if bad {
					badPackets++
					if !before {
						bursts++
					}
				}
				before = bad
			}
			cfg := test.cfg
			share := cfg.P / (cfg.P + cfg.R)
			if got := float64(badPackets) / n; math.Abs(got-share) > 0.08*share {
				t.Errorf("share of the bad state %.4f; p/(p+r) is %.4f", got, share)
			}
			if got, want := float64(badPackets)/float64(bursts), 1/cfg.R; math.Abs(got-want) > 0.05*want {
				t.Errorf("mean burst %.2f packets; 1/r is %.2f", got, want)
			}
			loss := share*(1-cfg.DeliverBad) + (1-share)*cfg.LossGood
			if got := float64(lost) / n; math.Abs(got-loss) > 0.08*loss {
				t.Errorf("loss %.4f; the model's is %.4f", got, loss)
			}
		})
	}
}

// Retransmissions leave a bad state as later packets do: after k of them, all are lost with (1-r)^k.
func TestRetransmissionsLeaveTheBadState(t *testing.T) {
	cfg := Loss{P: 0.1, R: 0.5}
	c := newChain("l", Up, testDraw(9), cfg)
	const n = 100_000
	var bad [4]int
	for i := range uint64(n) {
		for k := range uint32(len(bad)) {
			if !c.bad(Identity{Flow: "f", Ordinal: i, Retransmission: k}) {
				break
			}
			bad[k]++
		}
	}
	for k := 1; k < len(bad); k++ {
		if got := float64(bad[k]) / float64(bad[k-1]); math.Abs(got-(1-cfg.R)) > 0.02 {
			t.Errorf("retransmission %d is lost in %.3f of the cases in which the one before was; 1-r is %.3f", k, got, 1-cfg.R)
		}
	}
}

// Forgetting a flow changes no decision, and the memory is bounded.
func TestChainForgetsFlows(t *testing.T) {
	cfg := Loss{P: 0.2, R: 0.2}
	draw := testDraw(1)
	c := newChain("l", Up, draw, cfg)
	flow := func(i int) string { return string([]rune{rune('a' + i%26), rune('A' + i/26)}) }
	for round := range uint64(2) {
		for i := range markovFlowsMax + 500 {
			id := Identity{Flow: flow(i), Ordinal: 40 + round}
			if got, want := c.bad(id), reference(draw, cfg, id.Flow, id.Ordinal); got != want {
				t.Fatalf("%+v: %v, want %v", id, got, want)
			}
		}
	}
	if len(c.known) != markovFlowsMax || len(c.recent) != markovFlowsMax {
		t.Errorf("%d flows and %d places are remembered; the bound is %d", len(c.known), len(c.recent), markovFlowsMax)
	}
}

// The walk's length is bounded by the block, and short for probabilities as they occur.
func TestChainWalksAreShort(t *testing.T) {
	draws := 0
	counting := testDraw(2)
	c := newChain("l", Up, func(l string, d Direction, e Effect, id Identity) uint64 {
		draws++
		return counting(l, d, e, id)
	}, Loss{P: 0.01, R: 0.3})
	for i := range uint64(10_000) {
		c.bad(Identity{Flow: "f", Ordinal: i})
	}
	if draws != 10_000 {
		t.Errorf("%d draws for 10000 packets in order; each needs one", draws)
	}
	// The slowest chain and no memory: the walk ends where the block began.
	draws = 0
	slow := newChain("l", Up, c.draw, Loss{P: 1e-12, R: 1e-12})
	slow.bad(Identity{Flow: "f", Ordinal: 3*chainBlockOrdinals - 1})
	if draws != chainBlockOrdinals {
		t.Errorf("%d draws at the end of a block; want %d", draws, chainBlockOrdinals)
	}
}
