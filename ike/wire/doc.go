// Package wire turns IKEv2 messages and payloads into bytes and back
// (RFC 7296 §3, RFC 7383 §2.5).
//
// It is for anyone who holds the bytes of an IKE datagram, without its
// non-ESP marker, or the plaintext of an Encrypted payload, and wants typed
// payloads; and for the way back. Every payload of RFC 7296 §3 has a type and
// a file of its own; any other payload is kept raw as [Unknown].
//
// It is not for cryptography: [Encrypted] and [EncryptedFragment] carry sealed
// octets that package ike opens with ike/suite. It does not decide what an
// exchange may hold, in which order, or what an unknown notification means.
//
// What must stay true:
//
//   - Nothing that a parser returns aliases its input: input is copied once,
//     and every slice is cut to its own capacity, so that neither an overwrite
//     of the input nor an append to a field can change another field.
//   - Parsing is strict. A length that disagrees with another, or with the
//     octets present, is a [*ParseError] that names the octet and the field.
//   - What parses can be written, and what was written parses to equal values.
//     Bits that RFC 7296 tells the sender to clear and the receiver to ignore
//     (RESERVED, and the critical bit of known payloads) are not kept. The flags
//     of the header are: all eight are read and written as they stand.
//   - Every count is bounded (limits.go), in both directions.
package wire
