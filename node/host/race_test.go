//go:build linux && race

package host

// allocationsMax is how many allocations a batch of 40 packets may cost: the race
// detector makes sync.Pool forget now and then, so here one per packet is too many.
const allocationsMax = 39
