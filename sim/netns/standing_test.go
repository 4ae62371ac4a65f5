package netns

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/node/host/hosttest"
)

// TestSweepAwaitsOrphans: a lock may outlive its owner for a moment, in a child that is about to become another
// program. Whoever clears away waits for that, and not for owners that live.
func TestSweepAwaitsOrphans(t *testing.T) {
	privateState(t)
	c, err := newClaim("lab", false)
	if err != nil {
		t.Fatal(err)
	}
	list := func() []Swept {
		t.Helper()
		all, err := List()
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if all := list(); len(all) != 1 || !all[0].Standing || all[0].ID != "lab" {
		t.Errorf("labs: %+v", all)
	}
	begun := time.Now()
	if swept, err := Sweep(); err != nil || len(swept) != 1 || !swept[0].Standing {
		t.Errorf("a lab that stands: %+v, %v", swept, err)
	}
	if c.orphaned() {
		t.Errorf("its owner is this process; looking took %v", time.Since(begun))
	}

	dead := exec.Command(hosttest.Program(t, "true"))
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	owner := fmt.Sprintf("%d\n-\n%s\n", dead.Process.Pid, processNamespace())
	if err := os.WriteFile(filepath.Join(c.dir, ownerFile), []byte(owner), 0o644); err != nil {
		t.Fatal(err)
	}
	if !c.orphaned() {
		t.Error("its owner has ended")
	}
	time.AfterFunc(3*claimPause, c.release)
	if swept, err := Sweep(); err != nil || len(swept) != 1 || swept[0].Standing {
		t.Errorf("a lab whose owner has ended: %+v, %v", swept, err)
	}
	if all := list(); len(all) > 0 {
		t.Errorf("labs: %+v", all)
	}

	// A number in another process namespace says nothing.
	if c, err = newClaim("lab", false); err != nil {
		t.Fatal(err)
	}
	defer c.release()
	if err := os.WriteFile(filepath.Join(c.dir, ownerFile), fmt.Appendf(nil, "%d\n-\npid:[1]\n", dead.Process.Pid), 0o644); err != nil {
		t.Fatal(err)
	}
	if c.orphaned() {
		t.Error("its owner is in another process namespace, and may live")
	}
}

// TestLedger: what stands follows from the records.
func TestLedger(t *testing.T) {
	l := newLedger()
	local, remote := netip.MustParseAddrPort("192.0.2.1:500"), netip.MustParseAddrPort("192.0.2.2:500")
	note := func(at time.Duration, r ike.Record) {
		r.Connection, r.IKE, r.Local, r.Remote = "c", 1, local, remote
		l.note(at, &node.Event{Kind: node.EventKind(r.Kind), IKE: &r, Child: r.Child})
	}
	l.note(0, &node.Event{Kind: node.EventInterfaceUp})
	note(time.Second, ike.Record{Kind: ike.RecordIKEInit, Initiator: true})
	if ikes, _ := l.sorted(); len(ikes) != 1 || ikes[0].Established || !ikes[0].Initiator || ikes[0].Since != time.Second {
		t.Errorf("begun: %+v", ikes)
	}
	note(time.Second, ike.Record{Kind: ike.RecordKeys, Keys: &ike.Keys{SPIi: wire.SPI{1}, SPIr: wire.SPI{2}}})
	note(2*time.Second, ike.Record{Kind: ike.RecordIKEEstablished, Fields: []ike.Field{{Key: "proposal", Value: "p"}, {Key: "local-id", Value: "a"}, {Key: "remote-id", Value: "b"}}})
	ikes, _ := l.sorted()
	if len(ikes) != 1 || !ikes[0].Established || ikes[0].Since != 2*time.Second || ikes[0].SPIr != (wire.SPI{2}) || ikes[0].RemoteID != "b" || ikes[0].Proposal != "p" {
		t.Errorf("established: %+v", ikes)
	}
	for spi := uint32(0x20); spi > 0x1d; spi-- {
		note(3*time.Second, ike.Record{Kind: ike.RecordChildInstalled, Child: &ike.ChildSA{Child: "net", SPIIn: spi, SPIOut: 7, Local: local, Remote: remote}})
	}
	moved := netip.MustParseAddrPort("192.0.2.3:4500")
	remote = moved
	note(4*time.Second, ike.Record{Kind: ike.RecordChildMoved, Fields: []ike.Field{{Key: "spi-in", Value: "0x0000001e"}}})
	note(4*time.Second, ike.Record{Kind: ike.RecordChildDeleted, Fields: []ike.Field{{Key: "spi-in", Value: "0x00000020"}}})
	if _, children := l.sorted(); len(children) != 2 || children[0].SPIIn != 0x1e || children[0].Remote != moved || children[1].Remote == moved {
		t.Errorf("children: %+v", children)
	}
	note(5*time.Second, ike.Record{Kind: ike.RecordIKEDeleted})
	if ikes, _ := l.sorted(); len(ikes) != 0 {
		t.Errorf("deleted: %+v", ikes)
	}
}

// TestOnThread: what is kept for a thread that ends is never the process's first one, which does not.
func TestOnThread(t *testing.T) {
	for range 200 {
		tid := make(chan int)
		onThread(func() { tid <- unix.Gettid() })
		if <-tid == os.Getpid() {
			t.Fatal("it has the first thread")
		}
	}
}
