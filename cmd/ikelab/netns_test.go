//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ikelab/ikelab/node/host/hosttest"
)

// soaking says that this is make soak: tests run longer labs, and more often.
func soaking() bool { return os.Getenv("IKELAB_SOAK") != "" }

// namespaces skips a test where the program cannot run labs in namespaces, and takes the test's share of the host
// unless it has it alone already.
func namespaces(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		hosttest.Lacks(t, "network namespaces", "run as root")
	}
	hosttest.Share(t)
}

// Labs that make test runs in real time last at most so long.
const realTimeMax = 20 * time.Second

// busyHost are variables of examples with which they hold on a host that has other work, too: of 200 tunnels at once some
// may stand later there than the packets that are to pass them, and lose them.
var busyHost = map[string][]string{"road-warriors": {"--var", "start_action=trap"}}

// TestExamplesInNamespaces: every example passes in namespaces as it does in virtual time, with the same protocol
// events in the same order, unless it states why not and stands in enginesMayDiffer. make soak takes the long ones
// along, and does each ten times.
func TestExamplesInNamespaces(t *testing.T) {
	hosttest.Alone(t)
	namespaces(t)
	runs := 1
	if soaking() {
		runs = 10
	}
	// They spend their time waiting, so all of them go at once, whatever -parallel says.
	ran := map[string]chan outcome{}
	path := program(t)
	for _, name := range examples(t) {
		plan, err := loadLab(stdio{strings.NewReader(""), t.Output(), t.Output()}, example(name), nil)
		if err != nil {
			t.Fatal(err)
		}
		if !soaking() && plan.Lab.Duration > realTimeMax {
			continue // make soak runs it
		}
		done := make(chan outcome, 1)
		ran[name] = done
		go func() {
			args := append([]string{"compare", "--runs", strconv.Itoa(runs)}, busyHost[name]...)
			done <- processFor(t, time.Duration(runs)*processTimeout, path, nil, append(args, example(name))...)
		}()
	}
	for _, name := range examples(t) {
		if ran[name] == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			o := <-ran[name]
			want := verdictSame
			if slices.Contains(enginesMayDiffer, name) {
				want = verdictStated
			}
			if o.status != exitOK || !strings.Contains(o.out, "\ncompare  "+want+" ") {
				t.Errorf("status %d, want the verdict %s\n%s\n%s", o.status, want, o.out, o.err)
			}
		})
	}
}

// tcpdumpLab is a tunnel that comes when it is needed, and tcpdump at one of its ends.
const tcpdumpLab = `
lab "tcpdump" { duration = "6s" }
variable "file" { type = string }
network "a" { prefix = "10.1.0.0/24" }
network "internet" { prefix = "198.51.100.0/24" }
network "b" { prefix = "10.2.0.0/24" }
node "host-a" {
  implementation = "host"
  interface "eth0" { network = network.a }
}
node "gw-a" {
  interface "lan" { network = network.a }
  interface "wan" {
    network = network.internet
    link    = { delay = "5ms", loss = { p = 0.1 } }
  }
  connection "to-b" {
    remote_addrs       = [node.gw-b.interface.wan]
    retransmit_timeout = "500ms"
    child "net" {
      local_ts     = [network.a]
      remote_ts    = [network.b]
      start_action = "trap"
    }
  }
}
node "gw-b" {
  interface "wan" { network = network.internet }
  interface "lan" { network = network.b }
  connection "to-a" {
    remote_addrs = [node.gw-a.interface.wan]
    child "net" {
      local_ts  = [network.b]
      remote_ts = [network.a]
    }
  }
}
node "host-b" {
  implementation = "host"
  interface "eth0" { network = network.b }
}
secret "psk" { secret = "who watches the watchers" }
flow "ping" {
  from     = node.host-a
  to       = node.host-b
  protocol = "icmp"
  rate     = "20pps"
  start    = "2s"
  stop     = "4s"
}
process "tcpdump" {
  node    = node.gw-a
  command = ["tcpdump", "-Z", "root", "-U", "-n", "-i", "wan", "-w", var.file]
  stop    = "5s"
}
expect "tcpdump listened before anything passed" {
  after     = "1900ms"
  condition = strcontains(result.process.tcpdump.error_output, "listening on wan")
}
expect "there is a tunnel" {
  condition = result.node.gw-a.connection.to-b.established && result.flow.ping.received > 10
}
`

// TestTcpdumpAgrees: what tcpdump sees in a node's namespace, decrypted by tshark with the tables that the run wrote,
// is what the run's own capture says.
func TestTcpdumpAgrees(t *testing.T) {
	t.Parallel()
	namespaces(t)
	hosttest.Program(t, "tshark")
	hosttest.Program(t, "tcpdump")
	dir := t.TempDir()
	seen := filepath.Join(dir, "tcpdump.pcap")
	o := process(t, program(t), nil, "run", "--engine", "netns", "--out", dir, "--var", "file="+seen, write(t, "tcpdump.hcl", tcpdumpLab))
	if o.status != exitOK {
		t.Fatalf("status %d\n%s\n%s", o.status, o.out, o.err)
	}
	// The two look at an interface from different sides, so that packets which cross each other there may come in
	// either order: each direction is compared by itself.
	for _, from := range []string{"198.51.100.1", "198.51.100.2"} {
		theirs := packetLines(t, dir, seen, "ip.src == "+from)
		ours := packetLines(t, dir, filepath.Join(dir, captureFile), "frame.interface_name == \"gw-a.wan\" && ip.src == "+from)
		if len(theirs) < 30 || !slices.Equal(theirs, ours) {
			t.Errorf("from %s tcpdump has %d packets, the capture %d:\n%s\n\n%s", from, len(theirs), len(ours),
				strings.Join(theirs, "\n"), strings.Join(ours, "\n"))
		}
		if !slices.ContainsFunc(theirs, func(line string) bool { return strings.Contains(line, "isakmp") }) ||
			!slices.ContainsFunc(theirs, func(line string) bool { return strings.Contains(line, "esp:ip:icmp") }) {
			t.Errorf("from %s there is no IKE, or nothing inside ESP", from)
		}
	}
}

// packetLines is what tshark sees of each packet of a capture.
func packetLines(t *testing.T, dir, file, filter string) []string {
	t.Helper()
	args := []string{"-Y", filter, "-T", "fields"}
	for _, field := range []string{"frame.protocols", "ip.src", "ip.dst", "ip.len", "ip.ttl", "isakmp.ispi", "isakmp.messageid", "isakmp.flags",
		"isakmp.typepayload", "esp.spi", "esp.sequence", "icmp.type", "icmp.seq", "data.data"} {
		args = append(args, "-e", field)
	}
	var lines []string
	for line := range strings.Lines(hosttest.Tshark(t, file, filepath.Join(dir, wiresharkDir), args...)) {
		// Ours is a capture of IP packets, tcpdump's one of Ethernet frames.
		line = strings.TrimPrefix(strings.TrimSpace(line), "eth:ethertype:")
		lines = append(lines, strings.TrimPrefix(line, "raw:"))
	}
	return lines
}

// TestEngineIsNamed: what a run says of its time is true.
func TestEngineIsNamed(t *testing.T) {
	t.Parallel()
	namespaces(t)
	o := process(t, program(t), nil, "run", "--engine", "netns", "--until", "200ms", example("trap"))
	if !strings.Contains(o.out, fmt.Sprintf("%s of real time", "0.200 s")) {
		t.Errorf("it is not said that the time was real:\n%s%s", o.out, o.err)
	}
}
