//go:build linux

package netns

import (
	"bufio"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// catchIgnored sees to it that commands find signals as a person's shell would give
// them, also where this process was started with some ignored, as nohup(1) and many a
// script have it: what is ignored stays so for commands, what is caught does not. A
// signal that is caught here and not looked at is still ignored.
//
// SIGTTIN and SIGTTOU stay as they are. Who ignores them may use a terminal from the
// background, which catching would make an endless loop.
var catchIgnored = sync.OnceFunc(func() {
	nobody := make(chan os.Signal, 1)
	for _, s := range ignoredSignals() {
		if s != syscall.SIGTTIN && s != syscall.SIGTTOU {
			signal.Notify(nobody, s)
		}
	}
})

// ignoredSignals are those that the kernel does not deliver to this process. Go's
// runtime knows it of two of them only.
func ignoredSignals() (ignored []syscall.Signal) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return nil // a host without /proc has more to complain of
	}
	defer func() { _ = f.Close() }() // only read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		text, is := strings.CutPrefix(lines.Text(), "SigIgn:")
		if !is {
			continue
		}
		mask, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
		if err != nil {
			return nil
		}
		for bit := range 64 {
			if mask>>bit&1 != 0 {
				ignored = append(ignored, syscall.Signal(bit+1))
			}
		}
	}
	return ignored
}
