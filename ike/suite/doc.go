// Package suite is the cryptography of IKEv2 and ESP, addressed by the
// transform IDs that IANA registers for RFC 7296: pseudorandom functions and
// prf+, encryption with its integrity check, key exchange methods, the key
// schedules of an IKE SA and of its children, and the proposals that name them
// in swanctl's words.
//
// It is not a negotiation (package ike decides when and with whom), it knows
// neither messages nor packets (ike/wire and esp hold those), it keeps no key
// after the call that made it, and it draws no randomness: every random byte
// comes from the reader that the caller hands in.
//
// What must stay true:
//
//   - The same reader contents give the same keys. Go's GenerateKey functions
//     ignore the reader they are given, so private keys are built from the bytes
//     read: 32 octets for X25519, rejection sampling for the NIST curves, a
//     documented number of octets for MODP exponents.
//   - A peer's public value is validated before it is used (RFC 6989).
//   - A [Crypter] allocates nothing per packet, compares integrity check values
//     in constant time, and hands out no plaintext that failed its check.
//   - An [Opener] is the one exception: it reads recorded packets, also of
//     algorithms that are not negotiated and with check values that are wrong,
//     which it says. Only sim/decode makes one.
//   - A keyword is either implemented or refused by name; none is ignored.
//
// Everything here is real cryptography. A modelled suite, with the same shapes
// and sizes but costs counted instead of spent, comes with capacity planning
// and will be a second constructor behind the same interfaces. Key exchange is
// shaped like a KEM so that ML-KEM (RFC 9370) needs no new shape either.
package suite
