package capture

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ikelab/ikelab/node/host/hosttest"
)

// TestTcpdumpReadsSeveralLinks: Debian 12's tcpdump takes a file with one interface and one with several, whose link
// types it compares in its own way, and Wireshark still tells the interfaces apart.
func TestTcpdumpReadsSeveralLinks(t *testing.T) {
	tcpdump, tshark := hosttest.Program(t, "tcpdump"), hosttest.Program(t, "tshark")
	for _, names := range [][]string{{"gw-a.wan"}, {"gw-a.wan", "gw-a.lan"}, {"gw-a.wan", "gw-a.lan", "gw-b.wan", "gw-b.lan"}} {
		path := filepath.Join(t.TempDir(), "capture.pcapng")
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		w := NewWriter(file, epoch)
		for _, name := range names {
			w.AddInterface(name)
		}
		for i := range names {
			if err := w.Packet(time.Duration(i)*time.Second, i, link4.echoRequest()); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(tcpdump, "-n", "-r", path).CombinedOutput()
		if got := strings.Count(string(out), "ICMP echo request"); err != nil || got != len(names) {
			t.Errorf("%d interfaces: tcpdump shows %d packets, %v:\n%s", len(names), got, err, out)
		}
		out, err = exec.Command(tshark, "-r", path, "-T", "fields", "-e", "frame.interface_name", "-e", "icmp.type").Output()
		var want strings.Builder
		for _, name := range names {
			want.WriteString(name + "\t8\n")
		}
		if err != nil || string(out) != want.String() {
			t.Errorf("%d interfaces: tshark shows %q, %v; want %q", len(names), out, err, want.String())
		}
	}
}
