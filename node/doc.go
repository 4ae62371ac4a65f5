// Package node is one host of a lab as a pure state machine: what happens to it
// goes in, what it does about it comes out.
//
// It joins the IKEv2 machine (package ike) and the ESP data plane (package esp)
// with what else makes a host: interfaces and addresses, longest-prefix routes,
// forwarding, ICMP, UDP ports, fragmentation, and the security policy between
// them. It is for every engine: each pops its next event, calls [Node.Handle],
// carries out the outputs, and comes back with [Timeout] when [Node.Deadline]
// says so.
//
// It is not for links and their faults (package impair), for neighbour discovery
// (an engine finds the owner of a next hop), for TCP, or for multicast.
//
// # The way of a packet
//
// From an interface: receive checks headers and addresses, dispatch decides
// between this host and the next, inputLocal or output goes on. ESP for this host
// is opened in place and its inner packet dispatched anew, marked with the
// association it came by. Towards an interface: output asks the policy, then
// protect seals or route sends, and transmit puts it on the link.
//
// # Policy
//
// Every child of every connection is a PROTECT policy from the start (RFC 4301
// §4.4.1), whatever its start_action: its traffic leaves by an association or not
// at all, and what comes in clear but should not have is dropped. The first policy
// that matches decides, in the file's order. Each association stands in front of its
// child's policy, the newest first, so that it is the one that sends. A packet without
// association waits when the child is a trap that does not rest after a failure; it is
// dropped when it is not, and when the child's association was narrowed to less. IKE and ESP of the node itself, and ICMP errors about
// them, pass the policy by; everything that no policy names passes in clear.
// An empty local_ts or remote_ts ("dynamic") stands for the connection's
// addresses, or for the node's own, down interfaces' too; where a connection takes any
// peer, there is no policy until an association says who it is.
//
// # Path MTU
//
// A packet longer than its link, or than its tunnel over that link, is reported
// to its source when it may not be cut; for a tunnel with the MTU that is left
// inside. Otherwise it is cut: this host's own packets in front of the tunnel (RFC 8200
// §5), except where the association is for single ports and takes no later fragments;
// others' packets behind it. Fragments for this host are put together, also those of ESP.
//
// A host remembers what routers report about the ways of its own packets, and of its
// associations' and IKE's: what it sends with Discover is then cut where it starts, and
// so are echo replies and IKE over IPv6. Reports count when they prove what they are
// about (sent.go); an estimate never rises by one, has a floor, and is given up after ten
// minutes (pathmtu.go). Associations with the same peer share it.
//
// # What must stay true
//
//   - The same inputs at the same instants give the same outputs, byte for byte.
//   - No packet leaves in clear that a policy protects, and no error message
//     carries what came out of a tunnel around it.
//   - Nothing that arrives makes the node panic, loop, or keep more than its named
//     limits; about every packet that goes nowhere there is an event that says why.
//   - Bytes handed in belong to the node, bytes handed out to the receiver.
package node
