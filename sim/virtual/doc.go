// Package virtual is the engine that runs a lab in virtual time: one
// goroutine, one heap of events, no privileges, and the same trace for the same
// seed on every machine.
//
// It is thin. It takes the next event, calls Handle of a node, Step of a link
// or Step of the run, and carries out what comes back. A packet goes from its
// node into the link of the sending interface (up), onto the network, where the
// next hop's address finds the receiving interface, through that interface's
// link (down), and into the next node.
//
// A node that a step killed is silent: it takes nothing, answers nothing and sends
// nothing until its next life, which is made from a configuration of the run's. In
// namespaces the kernel of the node's host lives on and answers pings in its stead;
// here there is no such kernel. Commands of the host (process blocks) mean nothing in
// virtual time, so a lab with them is refused before it begins.
//
// It holds no protocol, judges nothing and draws nothing: see the packages
// node, impair and sim for those.
//
// What must stay true:
//
//   - Events are ordered by (time, class, source, sequence of that source),
//     sources being numbered in the plan's order. The order in which events
//     entered the heap, and Go's map order, decide nothing.
//   - The wall clock is never read. A caller who wants a rate reads its own.
//   - A run ends: at its duration, or at --until, or at a bound that has a name,
//     or when its context is cancelled.
package virtual
