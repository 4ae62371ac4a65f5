package sim

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	esppackage "github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/ike/settings"
	"github.com/ikelab/ikelab/topology"
)

// repeat joins what f makes of 0 to n-1.
func repeat(n int, f func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(f(i))
	}
	return b.String()
}

// TestValidateAndRunAgree holds, for labs at a limit and beyond it, that what validates
// is what a run takes: the same number says no in one place, and with a line.
func TestValidateAndRunAgree(t *testing.T) {
	if testing.Short() {
		t.Skip("not for -short; cure: make test")
	}
	const frame = "lab \"x\" { duration = \"10s\" }\nsecret \"k\" { secret = \"x\" }\nnetwork \"n\" { prefix = \"198.51.100.0/24\" }\n" +
		"node \"b\" {\n  interface \"e\" { network = network.n }\n}\n"
	node := func(body string) string {
		return frame + "node \"a\" {\n  interface \"e\" { network = network.n }\n" + body + "}\n"
	}
	connection := func(i, children int, more string) string {
		return fmt.Sprintf("connection \"c%d\" {\n  remote_addrs = [node.b.interface.e]\n%s%s}\n", i, more,
			repeat(children, func(j int) string { return fmt.Sprintf("child \"x%d\" {}\n", j) }))
	}
	anyone := func(i int) string { return fmt.Sprintf("connection \"c%d\" {\n  child \"x\" {}\n}\n", i) }
	inNetwork := func(prefix, address string) string {
		return "lab \"x\" { duration = \"10s\" }\nnetwork \"n\" { prefix = \"" + prefix + "\" }\nnode \"a\" {\n  interface \"e\" {\n    network = network.n\n" + address + "  }\n}\n"
	}
	flow := func(more string) string {
		return node("") + "flow \"f\" {\n  from = node.a\n  to   = node.b\n" + more + "}\n"
	}
	link := func(more string) string { return inNetwork("10.0.0.0/24", "link = {\n"+more+"}\n") }
	perConnection, perNode := settings.ChildrenPerConnectionMax, settings.ChildrenPerNodeMax
	for _, tc := range []struct {
		name, lab string
		want      string // part of what validate says; "" when both take it
	}{
		{"connections", node(repeat(settings.ConnectionsPerNodeMax, anyone)), ""},
		{"a connection too many", node(repeat(settings.ConnectionsPerNodeMax+1, anyone)), "A node has at most 10000 connections"},
		{"children of a connection", node(connection(0, perConnection, "")), ""},
		{"a child too many", node(connection(0, perConnection+1, "")), "A connection has at most 256 children"},
		{"children of a node", node(repeat(perNode/perConnection, func(i int) string { return connection(i, perConnection, "") })), ""},
		{"a child of a node too many", node(repeat(perNode/perConnection, func(i int) string { return connection(i, perConnection, "") }) + connection(1000, 1, "")), "A node has at most 16384 children"},
		{"selectors", node("connection \"c\" {\n  remote_addrs = [node.b.interface.e]\n  child \"x\" { remote_ts = [for i in range(255) : \"10.0.${i}.0/24\"] }\n}\n"), ""},
		{"a selector too many", node("connection \"c\" {\n  child \"x\" { remote_ts = [for i in range(256) : \"10.0.${i}.0/24\"] }\n}\n"), "at most 255"},
		{"addresses of a connection", node("connection \"c\" {\n  remote_addrs = [for i in range(64) : \"198.51.100.${i + 100}\"]\n  child \"x\" {}\n}\n"), ""},
		{"an address too many", node("connection \"c\" {\n  remote_addrs = [for i in range(65) : \"198.51.100.${i + 100}\"]\n}\n"), "at most 64"},
		{"proposals", node(connection(0, 1, "proposals = [for i in range(64) : \"aes128-sha256-x25519\"]\n")), ""},
		{"a proposal too many", node(connection(0, 1, "proposals = [for i in range(65) : \"aes128-sha256-x25519\"]\n")), "at most 64"},
		{"the default among proposals", node(connection(0, 1, "proposals = concat([for i in range(63) : \"aes128-sha256-x25519\"], [\"default\"])\n")), "at most 64"},
		{"retransmissions", node(connection(0, 1, "retransmit_tries = 100\nretransmit_timeout = \"1h\"\nretransmit_base = 10\nretransmit_limit = \"1h\"\n")), ""},
		{"a retransmission too many", node(connection(0, 1, "retransmit_tries = 101\n")), "between 0 and 100"},
		{"a wait too long", node(connection(0, 1, "retransmit_timeout = \"3601s\"\n")), "retransmit_timeout"},
		{"growth too fast", node(connection(0, 1, "retransmit_base = 10.1\n")), "between 1 and 10"},
		{"growth backwards", node(connection(0, 1, "retransmit_base = 0.9\n")), "between 1 and 10"},
		{"signs of life", node(connection(0, 1, "dpd_delay = \"100ms\"\nkeep_alive = \"100ms\"\n")), ""},
		{"signs of life too often", node(connection(0, 1, "dpd_delay = \"99ms\"\n")), "100ms"},
		{"keepalives too often", node(connection(0, 1, "keep_alive = \"99ms\"\n")), "100ms"},
		{"a network of all IPv6", inNetwork("::/0", ""), ""},
		{"a network of all IPv4", inNetwork("0.0.0.0/0", ""), ""},
		{"its loopback address", inNetwork("0.0.0.0/0", "address = \"127.0.0.1\"\n"), "loopback"},
		{"its multicast address", inNetwork("128.0.0.0/1", "address = \"224.0.0.1\"\n"), "multicast"},
		{"an MTU for IPv6", inNetwork("2001:db8::/64", "mtu = 1280\n"), ""},
		{"an MTU too small for IPv6", inNetwork("2001:db8::/64", "mtu = 1279\n"), "1280"},
		{"an MTU too small", inNetwork("10.0.0.0/24", "mtu = 67\n"), "68"},
		{"addresses of an interface", inNetwork("10.0.0.0/24", "addresses = [for i in range(64) : \"10.0.0.${i + 1}\"]\n"), ""},
		{"an address of an interface too many", inNetwork("10.0.0.0/24", "addresses = [for i in range(65) : \"10.0.0.${i + 1}\"]\n"), "at most 64"},
		{"a flow's packets", flow("packets = 4294967295\nsize = 20\n"), ""},
		{"a packet too many", flow("packets = 4294967296\n"), "between 1 and 4294967295"},
		{"a flow's size", flow("size = 65507\n"), ""},
		{"a size too small", flow("size = 19\n"), "between 20 and 65507"},
		{"a link's rate", link("rate = \"1kbit\"\nqueue = { limit = \"1048576p\" }\ndelay = \"1h\"\n"), ""},
		{"a rate too low", link("rate = \"999bit\"\n"), "between 1000 and 1000000000000"},
		{"a queue too long", link("rate = \"1kbit\"\nqueue = { limit = \"1048577p\" }\n"), "1048576p"},
		{"a burst without end", link("loss = { model = \"gilbert-elliott\", p = 0.1, r = 0 }\n"), "never leaves"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			plan, diagnostics := topology.Load(fstest.MapFS{"lab.hcl": {Data: []byte(tc.lab)}}, "lab.hcl", nil)
			if tc.want != "" {
				placed := false
				for _, d := range diagnostics.All() {
					placed = placed || d.Line > 0 && strings.Contains(d.Summary+": "+d.Detail, tc.want)
				}
				if !placed {
					t.Errorf("validate says %q, want %q with a line", diagnostics.Error(), tc.want)
				}
				return
			}
			if diagnostics.HasErrors() {
				t.Fatalf("validate refuses: %v", diagnostics.Error())
			}
			if _, err := New(plan, Options{}); err != nil {
				t.Errorf("it validates, and a run refuses: %v", err)
			}
		})
	}
}

// TestReplayWindowIsOneNumber: package esp, which may not see the lab language's bounds,
// has the same.
func TestReplayWindowIsOneNumber(t *testing.T) {
	for window, want := range map[int]bool{esppackage.ReplayWindowPacketsMax: true, esppackage.ReplayWindowPacketsMax + 1: false, 32: true, 31: false} {
		lab := fmt.Sprintf("lab \"x\" {}\nsecret \"k\" { secret = \"x\" }\nnetwork \"n\" { prefix = \"10.0.0.0/24\" }\nnode \"a\" {\n  interface \"e\" { network = network.n }\n  connection \"c\" {\n    child \"x\" { replay_window = %d }\n  }\n}\n", window)
		_, diagnostics := topology.Load(fstest.MapFS{"lab.hcl": {Data: []byte(lab)}}, "lab.hcl", nil)
		if diagnostics.HasErrors() == want {
			t.Errorf("replay_window = %d: %q", window, diagnostics.Error())
		}
	}
}

// FuzzValidatedLabRuns holds that whatever validates can be made ready to run.
func FuzzValidatedLabRuns(f *testing.F) {
	for _, dir := range []string{"../examples", "../topology/testdata", "../topology/testdata/plans", "../topology/testdata/diagnostics"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.hcl"))
		if err != nil || len(files) == 0 {
			f.Fatalf("no labs in %s (%v)", dir, err)
		}
		for _, file := range files {
			text, err := fs.ReadFile(os.DirFS(dir), filepath.Base(file))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	f.Fuzz(func(t *testing.T, lab string) {
		plan, diagnostics := topology.Load(fstest.MapFS{"lab.hcl": {Data: []byte(lab)}}, "lab.hcl", nil)
		if diagnostics.HasErrors() {
			return
		}
		if _, err := New(plan, Options{}); err != nil {
			t.Errorf("it validates, and a run refuses: %v", err)
		}
	})
}
