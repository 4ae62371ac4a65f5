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
//     A client asks it, too, before it hands over descriptors and an environment: it trusts its own user and root. Root
//     is no exception: it looks at another user's lab as that user.
//   - What a client asked and did not wait for is not done.
//   - What a client does, or does not do any more, never stops the lab: queues are bounded, and one who reads slowly
//     loses packets of a capture, which are counted.
//   - Commands and captures, which last as long as their clients like, are bounded in number; whoever asks for something
//     short always finds room.
//   - Connections that say nothing make room for those that do, also where the host has no descriptor left.
//   - A client that waits for a holder ends with its context, on a signal that the holder does not hear of, and when the
//     holder has said nothing for AnswerTimeout; one that works on something says so again and again, but not for
//     ever: its lab may hang.
//   - A holder can be reached as long as its lab stands: what is missing in its folder it makes again, and when the folder
//     is gone the lab goes. Down ends a holder that has no socket by its process, and says that a lab is down when nothing
//     of it stands.
//   - A command that was started for a client ends when the client does, and what it left running ends with the lab.
//   - While a lab is being made its maker or its holder has the lock that Starting takes, so that whoever cleans up knows
//     when to look.
package standing
