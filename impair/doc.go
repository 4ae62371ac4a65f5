// Package impair models what happens to a packet between two interfaces: delay, jitter, loss, duplication,
// reordering, corruption, a rate with its queue, an MTU, and a cable that is pulled.
//
// It is for both engines: on a virtual link the scheduler calls Link.Step, on a real one the box that holds
// the link's two ends does. It is not for address translation or middleboxes (rooms of their own) and it does
// not look inside IKE or ESP; it knows a packet only by the Identity it is handed.
//
// What must stay true:
//
//   - Nothing here reads a clock, a socket or a random source. Every chance decision is a Draw keyed by the
//     link, the direction, the effect and the packet's Identity, so a packet's fate does not depend on what
//     else is on the link, on the order of arrival, or on other links. Two things are exempt and named so:
//     the rate with its queue, and Jitter.KeepOrder, which by their nature depend on the packets in front.
//   - Probabilities are compared as integers with 64-bit draws, and distributions come from committed integer
//     tables. math.Exp, Log, Pow and Hypot differ between architectures and do not occur here.
//   - All state is bounded: the queue by its limit, the table of Markov chains by markovFlowsMax. Evicting a
//     chain costs time and never changes a decision.
package impair
