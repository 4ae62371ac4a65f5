// Package hosttest holds what tests on a real kernel need of the machine: the programs that they call, and
// their turn on a kernel that all network namespaces have in common. It is for tests alone.
//
// What must stay true:
//
//   - A test calls a program by the path that Program returns. Where the program is missing the test is skipped, and
//     the reason names the program and the Debian package that has it; with CI=true that is a failure.
//   - A program without a row in the table fails the test on every machine, also where it happens to be installed.
//   - .ci/tools has the same rows, and installs what a Debian machine lacks of them. A test of
//     cmd/ikelab/internal/house compares both, and finds the names of programs in the sources of tests.
//   - A test that makes network namespaces has its turn first: it shares the host, or has it alone. Whoever wants it
//     alone gets in, however many share it. No other user of the machine can keep tests waiting.
//   - Nothing is timed: a test waits for a condition, with Patience, and no result depends on how busy the machine is.
package hosttest
