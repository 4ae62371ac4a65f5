// Package standing keeps a lab standing for a person to work in, and speaks with the process that does.
//
// A holder process (Hold) owns the lab: its namespaces, its nodes and what was started inside. Others reach it over a
// Unix socket in the lab's folder of state (Dial), one connection for each thing that is asked. Both ends of that
// protocol are here, and nobody else speaks it.
//
// It is not a command line and prints nothing; package main does. It makes no namespaces; sim/netns does.
//
// What must stay true:
//
//   - Whoever may ask is the holder's own user, or root. The socket's mode says so, and the holder asks the kernel again.
//   - What a client does, or does not do any more, never stops the lab: queues are bounded, and one who reads slowly
//     loses packets of a capture, which are counted.
//   - Commands and captures, which last as long as their clients like, are bounded in number; whoever asks for something
//     short always finds room.
//   - A client that waits for a holder ends with its context, or on a signal that the holder does not hear of.
//   - A command that was started for a client ends when the client does.
//   - While a lab is being made its maker or its holder has the lock that Starting takes, so that whoever cleans up knows
//     when to look.
package standing
