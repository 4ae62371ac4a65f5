// Package decode reads captures that others recorded and shows the IKEv2, ESP
// and AH in them, decrypted where keys are at hand.
//
// It is for a person with a capture of a field bug, for programs that read its
// JSON lines (docs/decode.md), and for holding ike/wire and ike/suite against
// traffic that this project did not make.
//
// It is not a protocol implementation: it accepts nothing, answers nothing, and
// shows what an implementation must refuse. It opens algorithms that
// negotiation refuses, through suite.Opener alone.
//
// What must stay true:
//
//   - Nothing that a capture holds stops the reading of the rest, except a file
//     whose own structure ends.
//   - Memory does not grow with the capture: every table has a limit (limits.go)
//     and drops its oldest entry, and what was dropped is counted.
//   - A plaintext whose check value is wrong is marked, and shown only if its
//     structure holds.
//   - Text from the network reaches a terminal quoted, so that it can neither
//     move the cursor nor imitate a line of ours.
//   - Everything that carries an error, and every wrong check value, is counted:
//     Stats decides the exit status.
package decode
