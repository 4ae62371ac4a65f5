// Package trace keeps what happened in a run: records in their canonical form, the digest over them, their
// reading back and comparison, and the Classifier that says what a packet is.
//
// It is not for pictures (sim/report) or packets' bytes (sim/capture), and it judges nothing.
//
// What must stay true:
//
//   - A record has one canonical line, and the digest is SHA-256 over all lines in order. The lines hold no
//     floating point numbers; instants are whole nanoseconds. As long as no record had to be left out,
//     `sha256sum trace.jsonl` prints the digest.
//   - Memory is bounded by RecordsMax; what is no longer kept is still digested and counted.
//   - The Classifier never lets a raw SPI, an ephemeral port or an ICMP identifier into an identity, since a
//     foreign implementation draws them at random, and its tables are bounded with eviction in order of first
//     sight.
package trace
