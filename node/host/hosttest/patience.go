package hosttest

import "time"

// Patience is how long a test waits for what comes at once unless the machine is very busy. It tells what hangs from
// what is slow: with twenty other processes on two cores a start that takes a tenth of a second takes several. What has
// been waited for costs nothing more, so no test has a reason for less. The limit of a whole package, in the Makefile,
// is three times as long.
const Patience = 10 * time.Minute
