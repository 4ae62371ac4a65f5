// Package seed makes everything random in a run from the lab's seed: byte streams for keys, nonces and SPIs,
// and keyed draws for what links do to packets. It alone may import math/rand/v2, for ChaCha8.
//
// It is for the engines and their wiring; rooms of the core are handed a stream function and a draw function
// and never see this package. It is not a source of secrets: who knows the seed knows every key of the lab,
// which is the point.
//
// What must stay true: a stream depends on the seed and its label and on nothing else, so adding a node, a link
// or a connection changes no other stream; a draw depends on the seed and its arguments, so nothing is drawn in
// order of arrival. Both are frozen by known-answer tests: a change here changes the digest of every lab.
//
// # Labels
//
// A label is a path of parts joined by "/", made with Label, which escapes what would be ambiguous. The parts
// go from the owner to the purpose:
//
//	node/<node>/<purpose …>    all of a node's streams, see Source.Node
//	links                      the key of Source.Draw
//
// Below a node the purpose is the affair of the room that draws. ike uses its connection, the SA's role and
// ordinal, the exchange and what the bytes are for; two things that need bytes never share a label.
package seed
