// Package everywhere holds a test, and no code: the program gives the same digest for the same lab and seed in every
// process, with any number of processors, and with the race detector. It is apart from the program's other tests because
// building the program with the race detector costs a minute of processor time.
package everywhere
