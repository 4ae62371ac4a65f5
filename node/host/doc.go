// Package host is a node on a real kernel: IKE over UDP sockets on 500 and 4500, ESP in
// UDP or over raw sockets, and a TUN device for the protected side. Everything else that
// makes a host is the kernel's: routing, forwarding, fragments, ICMP, TCP.
//
// It drives package ike's machine and package esp as package node does in virtual time,
// and says what happens in package node's events, so that one run can look at both. It
// takes a namespace as it is, with its interfaces, addresses and routes, and puts in
// what IPsec needs.
//
// It is not for making namespaces and links (sim/netns), for SAs in the kernel
// (node/xfrm), or for other people's daemons (node/daemon). It runs on Linux only.
//
// # What it puts into a namespace
//
//   - Sockets: per own address IKE at both ports, and bare ESP. All are marked.
//   - The TUN device, with the MTU that fits inside every association's path, and a
//     permanent neighbour on it, because the table of neighbours may be full.
//   - Rules: marked packets look at the main table and at nothing else, so that a
//     policy for 0.0.0.0/0 makes no loop (priorities 218 and 219); what is from a
//     policy's local end looks at table 220 (220 and 221), or at one from 220001 on
//     where local ends differ. A table has the remote ends, which lead to the TUN device
//     and, when that is gone, nowhere; so thousands of peers of one network are routes,
//     which the kernel finds by prefix, and not rules, which it tries one after the
//     other. Both look at addresses and protocol alone, because a fragment shows no
//     ports; what comes to the tunnel though no policy has it leaves in clear by a raw
//     socket, a slower way. Where a policy's local end is "dynamic" and its connection
//     names no addresses, they look at whether this host sends, not at the address: one
//     that is new can be sent from before anybody knows of it. The filter below does so
//     too, and a packet from it waits until the address has settled.
//   - An nftables table that drops what comes or leaves in clear although a policy has
//     it (RFC 4301 §5.1 and §5.2), and reports it. On the way in, IKE and ESP for this
//     host and ICMP errors for this host pass; on the way out, what is marked and what
//     leaves by the TUN device; both ways, IPv6's neighbours. Rules alone hold no socket
//     that is bound to a device: where they find no way, Linux takes the destination for
//     a neighbour. Packet sockets (AF_PACKET) pass every filter by, as everywhere.
//     A chain of it takes reports that a packet was too big only where they prove what
//     they are about: the kernel, which follows the paths' MTUs, does not ask for an SPI
//     (reports.go).
//
// A kernel without IPv6 gets none of that family, and a table of IPv4's alone.
//
// Kill leaves rules and filter, as a daemon that dies does; Close takes them away.
//
// # Locks
//
// One lock guards the machine and all that it decides, and is held while Config.Observe
// is called. The data plane takes it for packets that are news (refused, held, or to be
// recorded), not for others: it works on an immutable snapshot, and each half of an
// association has a lock of its own, which comes after the host's. Another one of each
// association comes before it: who numbers packets keeps it until they have been sent.
// So nobody who has the host's lock seals; packets that have waited for an association
// are queued, and leave by a goroutine of their own, or by the TUN device's in front of
// its next ones (release.go).
//
// # The way of a packet
//
// out.go reads frames from the TUN device, cuts those of many segments (package offload),
// asks the policy (flow.go, snapshot.go), sorts the packets into groups of equal length
// (group.go), numbers and seals each group in place, and sends it as one datagram that
// the kernel cuts (sender.go). in.go receives datagrams that the kernel has joined, opens
// each packet in place, and gro.go writes what belongs together as one frame, joined by
// package offload. One goroutine does all of it per direction and socket.
//
// Bare ESP goes the same way as far as the socket. There each packet is a datagram of its
// own, both for the sender and for the receiver: a kernel without ESP of its own cuts and
// joins UDP, and nothing else. That way costs more than all the rest, so bare ESP needs
// three times the processor time of ESP in UDP.
//
// # What is lost
//
// Every packet that the TUN device gives ends in one figure of Account: sent, gone in
// clear, waiting, or dropped for a reason, and all reasons but multicast are events. What
// the kernel could not give is counted where it was lost: by the TUN device's own
// statistics, and for datagrams by Overflows.
//
// # What must stay true
//
//   - No packet leaves in clear that a policy protects: not before the first association,
//     not between two, and not when the daemon is dead.
//   - A packet's number is reserved behind its group's order, and nobody else's packet of
//     that association is sent in between, so that numbers rise on the wire; the packets
//     of a flow keep their order.
//   - What is observed is observed in order: an association before its packets, a packet
//     that leaves before it can be seen, one that arrives before it is handed on.
//   - Nothing is allocated per packet.
//   - Joining packets heals none: each must have a right checksum of its own.
//
// # What it does not do
//
// A path that has become narrower makes the TUN device's MTU less, which never is less
// than IPv6's least: what is too long by then, or in between, is cut outside the tunnel
// rather than refused. It is made more again within a minute after the kernel has
// forgotten the report, ten minutes behind it. Of outer packets in fragments, reports about
// the first are understood, not those about later ones, whose identification the kernel
// chose. Of inner addresses it drops those that no packet can have,
// this host's own as source among them; broadcasts as source it leaves to the kernel.
// Multicast goes into no tunnel.
package host
