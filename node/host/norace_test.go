//go:build linux && !race

package host

// allocationsMax is how many allocations a batch of 40 packets may cost.
const allocationsMax = 1
