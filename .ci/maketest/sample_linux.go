package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// watch looks at what descends from a running go test until the function that it returns is called, which says what
// the tests of each package took, by folder. go test itself waits for the test binaries and tells nobody what they
// took; with -exec in between it would, but then go test keeps no results in its cache.
func watch(runner int) (stop func() map[string]time.Duration) {
	c := newCensus()
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(sampleEvery); ; {
			select {
			case <-quit:
				tick.Stop()
				return
			case <-tick.C:
				c.look(processes(), runner, testFolder)
			}
		}
	}()
	return func() map[string]time.Duration {
		close(quit)
		<-done
		return c.folders()
	}
}

// processes are all that /proc shows. What ends meanwhile is missing.
func processes() []processStat {
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var all []processStat
	for _, name := range names {
		pid, err := strconv.Atoi(filepath.Base(name))
		if err != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join(name, "stat"))
		if err != nil {
			continue
		}
		if s, ok := parseStat(pid, string(text)); ok {
			all = append(all, s)
		}
	}
	return all
}

// testFolder is the folder in which go test has started a test binary, as its first environment says; "" is that it
// is none. Compilers and the linker are children of go test, too.
func testFolder(pid int) string {
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	program, _, _ := strings.Cut(string(command), "\x00")
	if !strings.HasSuffix(program, ".test") {
		return ""
	}
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return ""
	}
	folder := ""
	for _, variable := range strings.Split(string(environment), "\x00") {
		if value, ok := strings.CutPrefix(variable, "PWD="); ok {
			folder = value
		}
	}
	return folder
}
