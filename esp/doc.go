// Package esp seals and opens ESP packets in tunnel mode (RFC 4303), keeps the
// anti-replay window, and holds the security policy database (RFC 4301 §4.4.1).
//
// It is for a node that has keys from IKE: an [Outbound] and an [Inbound] are the
// two halves of a CHILD SA, an [SPD] says which packets they are for, and udp.go
// tells ESP from IKE on port 4500 (RFC 3948).
//
// It is not for choosing algorithms or deriving keys (ike, ike/suite), nor for
// the outer IP and UDP headers, fragmentation or path MTU (node). AH, transport
// mode and traffic flow confidentiality padding are not here; dummy packets (Next
// Header 59) are opened like others and left for the caller to drop.
//
// What must stay true:
//
//   - Sealing and opening allocate nothing when the destination has room; only a
//     refused packet costs its error.
//   - A sequence number, and with it an IV, belongs to one packet: Reserve never
//     gives one twice and ends with ErrSequenceExhausted (RFC 4303 §3.3.3).
//   - The replay window moves only for a packet whose ICV was right.
//   - A value is used by one goroutine at a time; there are no locks.
//   - SPD lookups depend on the order of policies alone: the first match wins.
package esp
