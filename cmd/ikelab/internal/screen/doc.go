// Package screen keeps what labs, processes and networks say from acting on a person's terminal.
//
// Text that ikelab prints quotes others: a lab's names and messages, the output of its processes, identities that
// strangers sent. A control character in it could move the cursor, rename the window or hide a line. A Writer stands in
// front of standard output and standard error and lets through what can be seen, line ends, tabs, and the few colours
// that ikelab's own reports use. It is no part of what must come out as it is: a capture, a formatted lab in a file, what
// a command writes that exec runs. Those write to the file behind it.
//
// What must stay true: whatever is written, nothing but these reaches the file (FuzzWriter).
package screen
