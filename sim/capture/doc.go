// Package capture writes what Wireshark needs to show a run: the packets of every link end as pcapng, the keys
// of its IKE and ESP SAs as Wireshark's tables, and a profile that opens the capture decrypted.
//
// It is for people, and for tshark in tests. Nothing in a run depends on it: its bytes do not enter the digest.
//
// What must stay true:
//
//   - A packet is written as it was on the wire, at its virtual instant to the nanosecond, on the interface
//     that stands for its link end.
//   - The tables are in the format of Wireshark 4.0, whose reader refuses a whole file for one line it does not
//     know. So an algorithm that Wireshark cannot decrypt stands there as a comment, and is reported to the
//     caller, never as a guess.
package capture
