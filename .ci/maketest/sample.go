package main

import (
	"strconv"
	"strings"
	"time"
)

// sampleEvery is how often the processes of a run are looked at. What a test binary does between the last look and its
// end is not counted; rows of the table are whole seconds.
const sampleEvery = 250 * time.Millisecond

// clockTick is the unit of the kernel's times in /proc.
const clockTick = time.Second / 100

// processID is a process, told apart from a later one of its number by when it began.
type processID struct {
	pid   int
	begun uint64
}

// processStat is what the kernel says of a process.
type processStat struct {
	processID
	parent int
	// took is its processor time, with that of the children that it has waited for.
	took time.Duration
}

// parseStat reads a line of /proc/PID/stat. The name of the program may hold anything, but nothing behind it does.
func parseStat(pid int, text string) (processStat, bool) {
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	// The first of these is the third of all.
	const parent, user, begun = 4 - 3, 14 - 3, 22 - 3
	if len(fields) <= begun {
		return processStat{}, false
	}
	s := processStat{processID: processID{pid: pid}}
	var err error
	if s.parent, err = strconv.Atoi(fields[parent]); err != nil {
		return processStat{}, false
	}
	for _, f := range fields[user : user+4] { // user and system, of itself and of its children
		ticks, err := strconv.ParseUint(f, 10, 63)
		if err != nil {
			return processStat{}, false
		}
		s.took += time.Duration(ticks) * clockTick
	}
	s.begun, err = strconv.ParseUint(fields[begun], 10, 64)
	return s, err == nil
}

// tree is a process of a package's tests with what descends from it.
type tree struct {
	folder string // the package's
	took   time.Duration
}

// census is what is known of the processes of a run.
type census struct {
	// trees are by their first process: a test binary, or a process that outlived its parent and whose time nobody of
	// ours waits for.
	trees map[processID]*tree
	// members are the processes that lived when they were looked at last, with the first one of their tree.
	members map[processID]processID
}

func newCensus() *census {
	return &census{trees: make(map[processID]*tree), members: make(map[processID]processID)}
}

// look takes down the processes that there are. runner is go test's number, and folderOf says whose tests a child of
// it runs; "" is none.
func (c *census) look(all []processStat, runner int, folderOf func(pid int) string) {
	byPID := make(map[int]processStat, len(all))
	children := make(map[int][]processStat)
	for _, s := range all {
		byPID[s.pid] = s
		children[s.parent] = append(children[s.parent], s)
	}
	for _, s := range children[runner] {
		if c.trees[s.processID] == nil {
			if folder := folderOf(s.pid); folder != "" {
				c.trees[s.processID] = &tree{folder: folder}
			}
		}
	}
	members := make(map[processID]processID)
	var sum func(s processStat, first processID) time.Duration
	sum = func(s processStat, first processID) time.Duration {
		if _, seen := members[s.processID]; seen {
			return 0
		}
		members[s.processID] = first
		took := s.took
		for _, child := range children[s.pid] {
			took += sum(child, first)
		}
		return took
	}
	measure := func(first processID) {
		if s, lives := byPID[first.pid]; lives && s.processID == first {
			// A child's end and its parent's wait may fall between two reads; time never runs backwards.
			c.trees[first].took = max(c.trees[first].took, sum(s, first))
		}
	}
	for first := range c.trees {
		measure(first)
	}
	for orphan, first := range c.members {
		if _, found := members[orphan]; found {
			continue
		}
		if s, lives := byPID[orphan.pid]; lives && s.processID == orphan {
			c.trees[orphan] = &tree{folder: c.trees[first].folder}
			measure(orphan)
		}
	}
	c.members = members
}

// folders is what was measured, by the packages' folders.
func (c *census) folders() map[string]time.Duration {
	took := make(map[string]time.Duration)
	for _, t := range c.trees {
		took[t.folder] += t.took
	}
	return took
}
