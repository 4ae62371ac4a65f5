// Package house holds the rules of the repository's structure, and the tests that fail when one is broken: which
// floor a package stands on and what it may import, what the core must not touch (IO, clock, chance, goroutines),
// how long a file may grow, and what every package must have.
//
// It is not a style guide and not a replacement for lint: .golangci.yml states the same bans so that an editor
// shows them while typing. Here they hold for everybody who runs make test, linter or not, and name the offending
// file.
//
// What must stay true:
//
//   - A package that is not in the floor table fails the test: a new room is given its floor first.
//   - Every check is shown to catch a violation by a test of its own.
//   - An exception stands in a table here with its reason, never in a comment at the offending line.
package house
