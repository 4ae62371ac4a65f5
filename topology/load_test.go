package topology

import (
	"flag"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files")

// loadText loads a lab that stands in a test.
func loadText(t testing.TB, src string, vars map[string]string, opts ...Option) (*Plan, Diagnostics) {
	t.Helper()
	return Load(fstest.MapFS{"lab.hcl": {Data: []byte(src)}}, "lab.hcl", vars, opts...)
}

// loadFile loads a lab of testdata.
func loadFile(t testing.TB, path string, opts ...Option) (*Plan, Diagnostics) {
	t.Helper()
	return Load(os.DirFS("testdata"), path, nil, opts...)
}

// TestVariables gives variables on the command line.
func TestVariables(t *testing.T) {
	const src = `
lab "variables" {
  description = var.text
  duration    = "${var.seconds}s"
  seed        = length(var.list) + (var.flag ? 10 : 20)
}
variable "text" { default = "as it is" }
variable "seconds" {
  type    = number
  default = 5
  validation {
    condition     = var.seconds < 100
    error_message = "${var.seconds} seconds are too many"
  }
}
variable "list" {
  type    = list(string)
  default = []
}
variable "flag" {
  type    = bool
  default = false
}
`
	for _, test := range []struct {
		name string
		vars map[string]string
		want Lab
		err  string
	}{
		{"defaults", nil, Lab{Description: "as it is", Duration: 5 * time.Second, Seed: 20}, ""},
		{"all", map[string]string{"text": "x", "seconds": "7.5", "list": `["a", "b"]`, "flag": "true"},
			Lab{Description: "x", Duration: 7500 * time.Millisecond, Seed: 12}, ""},
		{"a string is not parsed", map[string]string{"text": "${7}"}, Lab{Description: "${7}", Duration: 5 * time.Second, Seed: 20}, ""},
		{"wrong type", map[string]string{"seconds": "many"}, Lab{}, `The value "many" of --var does not fit the type number`},
		{"no variable", map[string]string{"second": "7"}, Lab{}, `There is no variable "second": Did you mean "seconds"?`},
		{"against the rules", map[string]string{"seconds": "100"}, Lab{}, "100 seconds are too many"},
		{"not a literal", map[string]string{"list": "[var.text]"}, Lab{}, "does not fit the type list(string)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, d := loadText(t, src, test.vars)
			if test.err != "" {
				if !strings.Contains(d.Error(), test.err) || p != nil {
					t.Fatalf("want %q, got %q", test.err, d.Error())
				}
				return
			}
			if d.Len() > 0 {
				t.Fatal(d.All())
			}
			test.want.Name, test.want.Epoch = "variables", mustTime(epochDefault)
			if diff := cmp.Diff(test.want, p.Lab); diff != "" {
				t.Errorf("lab (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNoFile: a lab that is not there is said to be not there.
func TestNoFile(t *testing.T) {
	p, d := Load(fstest.MapFS{}, "lab.hcl", nil)
	if p != nil || d.Error() != "Cannot read the lab: There is no file lab.hcl." {
		t.Errorf("%v, %q", p, d.Error())
	}
}

// TestFormat lays out what is HCL and refuses what is not.
func TestFormat(t *testing.T) {
	got, d := Format([]byte("lab \"x\" {\nseed=1\n  duration   =  \"4s\"\n}\n"), "lab.hcl")
	if d.Len() > 0 || string(got) != "lab \"x\" {\n  seed     = 1\n  duration = \"4s\"\n}\n" {
		t.Errorf("%q, %s", got, d.Error())
	}
	got, d = Format([]byte("lab \"x\" {\n"), "lab.hcl")
	if !d.HasErrors() || got != nil || d.All()[0].Line == 0 {
		t.Errorf("%q, %s", got, d.Error())
	}
}

// TestScale: a lab of thousands of nodes loads, and every instance is itself.
func TestScale(t *testing.T) {
	if testing.Short() {
		t.Skip("not for -short; cure: make test")
	}
	const n = 3000
	p, d := loadText(t, `
lab "scale" {}
variable "n" { default = 3000 }
network "internet" { prefix = "100.64.0.0/10" }
network "office" { prefix = "10.0.0.0/16" }
node "gw" {
  interface "wan" { network = network.internet }
  interface "lan" { network = network.office }
  connection "clients" {
    child "net" {}
  }
}
node "client" {
  count = var.n
  interface "wan" { network = network.internet }
  connection "gw" {
    remote_addrs = [node.gw.interface.wan]
    child "net" {}
  }
}
secret "psk" {
  count  = var.n
  secret = "of ${count.index}"
  ids    = [node.client[count.index].interface.wan.address]
}
flow "up" {
  count = var.n
  from  = node.client[count.index]
  to    = node.gw.interface.lan
}
`, nil)
	if d.Len() > 0 {
		t.Fatal(d.Error())
	}
	if len(p.Nodes) != n+1 || len(p.Flows) != n || len(p.Nodes[0].Secrets) != n {
		t.Fatalf("%d nodes, %d flows, %d secrets", len(p.Nodes), len(p.Flows), len(p.Nodes[0].Secrets))
	}
	for i, f := range p.Flows {
		c := p.Nodes[i+1]
		if f.From != c.Name || f.FromAddr != c.Interfaces[0].Addresses[0].Addr() || len(c.Secrets) != 1 || c.Secrets[0].IDs[0].Text != f.FromAddr.String() {
			t.Fatalf("client %d: flow %+v, secrets %v", i, f, c.Secrets)
		}
	}
}
