package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/sim/decode"
)

// TestLadderOfAGatewaysCapture: a gateway forwards what a and b say to each other, which its capture has twice, and
// speaks with c itself, which it has once. Only of the former can it tell what did not arrive.
func TestLadderOfAGatewaysCapture(t *testing.T) {
	got := ladderOf([]decode.Row{
		{From: "a", To: "b", Points: 2},
		{From: "b", To: "a", Points: 1},
		{From: "c", To: "gw", Points: 1},
		{From: "gw", To: "c", Points: 1},
	}, 7)
	var lost []bool
	for _, e := range got.Exchanges {
		lost = append(lost, e.Lost)
		if e.Lost == e.Arrived {
			t.Errorf("%s to %s: lost %v and arrived %v", e.From, e.To, e.Lost, e.Arrived)
		}
	}
	if diff := cmp.Diff([]bool{false, true, false, false}, lost); diff != "" || got.ExchangesOmitted != 7 {
		t.Errorf("%d omitted; lost (-want +got):\n%s", got.ExchangesOmitted, diff)
	}
}
