//go:build linux

package main

import (
	"testing"

	"github.com/ikelab/ikelab/node/host/hosttest"
)

// TestPathMTULabsInNamespaces: the same labs hold where a kernel and node/host carry the packets. Without make soak each
// is run as it stands.
func TestPathMTULabsInNamespaces(t *testing.T) {
	hosttest.Alone(t)
	namespaces(t)
	path := program(t)
	ran := make([]chan []outcome, len(pathMTULabs))
	for i, lab := range pathMTULabs {
		variants := []string{""}
		if soaking() {
			variants = lab.variants
		}
		ran[i] = make(chan []outcome, 1)
		go func() { // they spend their time waiting
			var all []outcome
			for _, v := range variants {
				all = append(all, processFor(t, processTimeout, path, nil, append(pathMTUArgs(lab.name, v), "--engine", "netns")...))
			}
			ran[i] <- all
		}()
	}
	for i, lab := range pathMTULabs {
		for _, o := range <-ran[i] {
			if o.status != exitOK {
				t.Errorf("%s: status %d\n%s\n%s", lab.name, o.status, o.out, o.err)
			}
		}
	}
}
