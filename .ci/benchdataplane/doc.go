// Command benchdataplane measures data planes side by side, which is what `make bench-dataplane` runs: a plain
// veth pair, node/host with ESP in UDP and with bare ESP, wireguard-go, and strongSwan's charon with
// kernel-libipsec.
//
// Every contender has two network namespaces of its own with a veth pair of 1500 bytes between them, and the
// same two protected addresses on lo, 10.1.0.1 and 10.2.0.1. All stand at once and take turns: every round
// measures all of them, one after the other, and begins with another one. The table shows medians over the
// rounds, and for ratios the median of the rounds' ratios, so that a machine with other work to do bends
// figures but hardly ratios.
//
// What is equal for all: each end of a tunnel is one process (for ours and wireguard-go this program, executed
// again); GOMAXPROCS is the number of processors; offloads and queues of the links are as the kernel sets them;
// device queues and socket buffers inside a tunnel are those of the contender's product. Each takes the inner
// MTU that fits 1500 bytes outside: 1440 for wireguard-go, the association's for ours; libipsec's is fixed. Traffic
// is made by this program too, in a process per namespace that is idle while others have their turn.
//
//   - TCP: one connection, full speed, counted at the receiver after a warm-up.
//   - UDP: one flow of IP packets of 1400 bytes. The sender, alone at real-time priority as if it were another
//     machine, wakes every 200 µs and sends what is due; what it could not send within a millisecond it leaves
//     out, so that no burst is longer. Sought is the highest
//     rate of which less than 1 % is lost; what the kernel at the receiver sees 20 ms after the last packet was
//     sent is lost too, so that a long queue is no throughput. A rate counts as too high when it has failed twice.
//   - CPU: processor time of the tunnel's two processes, and of the whole machine by /proc/stat, both per gigabit
//     that arrived. Only the latter holds what the kernel does for others, and the work of the sender and the receiver.
//   - Latency: round trips of 64 bytes of payload, one at a time over an idle tunnel, minus those of the same
//     round over the plain veth.
//
// What else the machine did meanwhile is measured too: a measurement during which others used more than a tenth of
// it is repeated once, and the table says how much they used.
//
// It is not a test of correctness, but its own test sees to it that every contender passes traffic. It needs root.
// Namespaces have no names and end with the processes in them, which end when this one does, however it does; only
// after kill -9 a folder of charon's is left where temporary files go.
package main
