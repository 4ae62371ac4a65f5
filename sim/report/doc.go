// Package report turns what a run came to, and what a plan says, into something that a person reads: the ladder of
// the IKE exchanges, the flows' figures, the verdicts with their reasons, and pictures of the topology as SVG, DOT
// and Mermaid.
//
// It is not where results are made: it counts nothing, judges nothing, and reads only sim.Result and topology.Plan.
// What a machine reads is result.json, which is the Result itself.
//
// What must stay true:
//
//   - The same result and options give the same bytes; colour and width are options, never guessed here.
//   - Nothing is left out silently: where a table is cut, a line says how much and where all of it is.
//   - The last two lines of a summary are Closing's, which scripts read.
package report
