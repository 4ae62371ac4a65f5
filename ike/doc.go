// Package ike is the IKEv2 machine of one node (RFC 7296): events in, actions out.
//
// It is for whoever runs a node, on a virtual timeline or on real sockets: feed
// every datagram, timer and command to [Machine.Step], carry out the actions that
// come back in their order, and call Step with [Timeout] when [Machine.Deadline]
// says so. Everything a person or a test wants to see comes out as a [Record].
//
// It is not for octets (package wire), algorithms (package suite) or packets of
// the data plane (package esp); it opens no socket, reads no clock, starts no
// goroutine and draws no randomness of its own.
//
// # Layout
//
// One file per exchange: ikesainit.go and its responder half, ikeauth.go and its
// responder half, informational.go. Around them machine.go (dispatch and tables),
// sa.go (the state of one IKE SA), childsa.go, retransmit.go, timers.go, sk.go
// (the Encrypted payload), rest.go, keys.go, natdetect.go, ts.go (narrowing), auth.go.
//
// # What this slice speaks
//
// IKE_SA_INIT, IKE_AUTH with pre-shared keys and the first CHILD_SA, and
// INFORMATIONAL; a window of one. A CREATE_CHILD_SA request is answered with
// NO_ADDITIONAL_SAS, which RFC 7296 §4 asks of an implementation without it, so a
// connection brings up one CHILD_SA. A cookie is returned when a responder asks
// for one (RFC 7296 §2.6); asking for cookies, certificates, EAP, rekeying,
// MOBIKE and fragmentation are later issues, and until then half-open SAs are
// bounded by [Limits] alone.
//
// # Decisions where the RFC leaves room
//
//   - An error notification in answer to IKE_SA_INIT is not authenticated. It is
//     believed when the retransmission timer ends without a better answer, so a
//     forger cannot end an exchange, and a real refusal takes one wait (RFC 7296
//     §2.21.1). INVALID_KE_PAYLOAD and COOKIE are acted on at once, a bounded number
//     of times.
//   - An IKE_AUTH message without SA, TSi or TSr is malformed as a whole, all three
//     missing included, until childless initiation comes (RFC 6023 §3).
//   - Of a responder's children the one is taken that admits everything proposed, else
//     the first that admits the first selectors of TSi and TSr, else one that admits a
//     part of them, else any that overlaps (RFC 7296 §2.9; choose.go). Selectors that
//     pair with none of the other end are not in the answer.
//   - A responder takes the initiator's guess of a group if policy allows it at all,
//     rather than asking for one that it likes better.
//   - Two IKE SAs that both ends initiated at the same time are reduced to one by the
//     rule of RFC 7296 §2.8.1; INITIAL_CONTACT only removes what was established
//     before the SA that carries it was begun.
//   - An IKE SA that has lost its CHILD_SA, or whose child the peer has refused, stands
//     until the child is wanted again, and is then replaced.
//   - A deleted IKE SA goes on answering for Limits.ClosedLinger, so that the loss of
//     one response does not cost the peer its whole retransmission schedule.
//
// # Trying again
//
// What has failed rests before it is tried again, so that no traffic can make a node
// negotiate as fast as the network lets it: restMin after the first failure, twice as
// long after each further one in a row, restMax at most, and without chance (rest.go).
// An IKE SA that never was established makes its connection rest, which is between the
// tries of KeyingTries and before any trap of it fires again; a refused child makes that
// child rest. Success ends the count. The data plane hears of it by [TrapRests], which
// answers every [Acquire] that no [InstallChild] answers. An operator's order does not
// rest.
//
// # What must stay true
//
//   - The same events in the same order give the same actions, octet for octet.
//     No map is iterated, every instant and every random octet is handed in.
//   - A retransmitted request and a repeated response are the octets sent before.
//   - No stream of [Config].Random is asked for twice, so no key, nonce or SPI can
//     come back.
//   - Until a request has passed its integrity check, which shows that the peer got
//     the answer to IKE_SA_INIT, a responder never sends an address more octets than
//     it received from it. Afterwards every request is answered, whatever its size,
//     to where it came from (RFC 7296 §2.11).
//   - An IKE_AUTH exchange with INVALID_SYNTAX, AUTHENTICATION_FAILED or
//     UNSUPPORTED_CRITICAL_PAYLOAD leaves no IKE SA at either end (RFC 7296 §2.21.2);
//     a CHILD_SA that fails alone leaves the IKE SA.
//   - A message that does not pass its integrity check changes nothing.
//   - Every table, queue and retry is bounded: [Limits] and limits.go.
package ike
