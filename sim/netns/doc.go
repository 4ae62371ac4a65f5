// Package netns runs a lab in real network namespaces: one for every node, with
// the kernel's own routing, forwarding, TCP and ICMP, real sockets, and real tools
// beside our nodes. It needs a Linux kernel with namespaces, veth, TUN and TAP, and
// root or a user namespace.
//
// It is an engine: the run (package sim) says what is due and judges what happens,
// package node/host is a node of ours on real sockets, and package impair decides
// about every packet on a link that has a model. This package makes the namespaces,
// holds the links, keeps the run's clock and passes on who saw what.
//
// It is not a model of anything: what it does not do itself, the kernel does. And
// it is not deterministic in time. What is drawn by seed is the same as in virtual
// time (keys, nonces, which packet is lost), and so is the order of the protocol
// events of an IKE SA at each node; instants are the kernel's. What follows from
// real time, the rate of a link and its queue, is measured and not computed. So the
// digest of two runs differs, and `ikelab compare` is what holds them together.
//
// # Links
//
// A network on which any interface has a link with a model is a switch in this
// process (box.go): every interface on it is a TAP whose other end the box holds.
// One thread waits for all of them and for the next delivery with a timer of its
// own, hands every packet to impair.Link with the identity that sim/trace gives it
// (where the link draws; elsewhere the classifier only sees that it passed), and writes
// it to the interface that has the frame's destination. Address resolution passes
// unharmed.
//
// The TAPs have the offloads of a network card (port.go, package node/host/offload): one
// read may bring many packets of a flow, without checksums. They are cut and completed
// at once, so that the run, a tap, the classifier and the link see each packet of the
// wire by itself. What is due for one node in one turn is joined again, if cutting it
// would give the same octets. A tcpdump in a node therefore shows bulk traffic in long
// packets, as on any host with such a card; ikelab's own capture shows the wire. Where a
// router refuses a joined packet it says so once for all of it, and quotes it as it is.
//
// A network without any model is the kernel's: a veth pair between two interfaces, a
// bridge for more, and a packet socket in each node that shows the run what passes
// (watch.go), cut and completed in the same way.
//
// # Neighbours
//
// All namespaces of a host share one neighbour table per family, which learns a limited
// number of entries (1024 by default). Permanent ones do not count, so nodes are told
// who is where instead of asking: everybody of everybody on a small network, and on a
// large one those whom the plan lets meet (neighbour.go); and the kernel is told of the
// next hop behind a node's TUN (package node/host). What a person does in a lab beside
// its plan is still learned. The tables are looked at before a lab and behind it, and an
// overflow, whoever caused it, is in the result and in a lab's State (neighbourtable.go).
// The limit itself is the host's and not touched.
//
// # What is owned
//
// Everything is inside namespaces, whose names begin with "ikelab-" and the lab's
// identifier, and in one folder of state, which nobody but the user can open
// (state.go). The folder holds a lock for as long as the process lives, so that whoever
// finds it unlocked knows that its owner is gone and may clear away what it lists
// (claim.go, sweep.go). Where somebody else has got the lock, or removed it, the
// process counts that made the lab: its number with its start (owner.go). Two files there
// list the namespaces. Where both are gone those with the lab's name stay, and the folder
// with them: they might be somebody else's. The host's own namespace is never written to.
//
// Commands run in a control group of their own (cgroup.go), by which all that they have
// started is found, also when the process that made the lab was killed; its name says
// which folder of state it is of. Without one, a
// process that does nothing beside the lab adopts what its commands leave behind, and in a
// process namespace everything ends with its first process. Only where none of that is to
// be had, and the lab's process is killed, a process can stay that has left the lab's
// namespaces and emptied its environment.
//
// # What must stay true
//
//   - Whatever cannot be carried out is refused by name before anything is made.
//   - However the process ends, Sweep leaves nothing of it behind and touches
//     nothing else.
//   - The run is entered by one caller at a time, with instants that never go back;
//     a node is never called while the run is locked.
//   - No packet of a link is longer than the MTU, or has a checksum to complete; joining
//     corrects nothing and reorders nothing.
//   - A packet is shown to the run before the node that gets it can answer, on every
//     network that the box switches.
package netns
