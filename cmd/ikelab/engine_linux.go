package main

import (
	"github.com/ikelab/ikelab/sim"
	"github.com/ikelab/ikelab/sim/netns"
)

// netnsEngine runs labs in the network namespaces of this kernel.
var netnsEngine = engineChoice{name: "netns", make: func() sim.Engine { return netns.Engine{} }}
