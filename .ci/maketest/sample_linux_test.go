package main

import (
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// burnVariable makes this binary one that uses processor time, itself and in a child that it waits for.
const burnVariable = "MAKETEST_BURN"

func TestMain(m *testing.M) {
	role := os.Getenv(burnVariable)
	if role == "" {
		os.Exit(m.Run())
	}
	burn()
	if role == "parent" {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), burnVariable+"=child")
		if err := child.Run(); err != nil {
			os.Exit(1)
		}
		_, _ = io.Copy(io.Discard, os.Stdin) // until it is enough
	}
}

// burnt is what burn uses at least.
const burnt = 200 * time.Millisecond

func burn() {
	for {
		var u syscall.Rusage
		if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil || u.Utime.Nano()+u.Stime.Nano() > int64(burnt) {
			return
		}
	}
}

// TestWatch measures a binary as go test runs one, with its child.
func TestWatch(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), burnVariable+"=parent", "PWD="+dir)
	enough, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	c := newCensus()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	const least = 2*burnt - 4*clockTick // four times are rounded down
	for limit := time.Now().Add(5 * time.Minute); c.folders()[dir] < least; time.Sleep(time.Millisecond) {
		c.look(processes(), os.Getpid(), testFolder)
		if time.Now().After(limit) {
			t.Fatalf("measured %v, want %v at least", c.folders(), least)
		}
	}
	_ = enough.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if stop := watch(os.Getpid()); len(stop()) != 0 {
		t.Error("something is measured where nothing runs")
	}
}
