package standing

import (
	"strings"
	"testing"

	"github.com/ikelab/ikelab/topology"
)

var testSource = Source{Path: "lab.hcl", Text: []byte(`
lab "test" { duration = "10s" }
network "a" { prefix = "10.1.0.0/16" }
network "wan" { prefixes = ["192.0.2.0/24"] }
variable "peer" { default = "host" }
secret "psk" { secret = "test" }
node "gw" {
  interface "lan" { network = network.a }
  interface "wan" { network = network.wan }
  connection "all" {
    child "net" {}
  }
}
node "host" {
  implementation = var.peer
  interface "eth0" { network = network.a }
}
step "by-hand" {
  at     = "1s"
  action = link_down(node.host.interface.eth0)
}
`)}

func TestActionOf(t *testing.T) {
	plan, diags := testSource.Load()
	if diags.HasErrors() {
		t.Fatal(diags.Error())
	}
	for what, want := range map[string]topology.Action{
		"by-hand":                                     {Kind: topology.ActionLinkDown, Node: "host", Interface: "eth0"},
		" link_up(node.gw.interface.wan) ":            {Kind: topology.ActionLinkUp, Node: "gw", Interface: "wan"},
		"kill(node.gw)":                               {Kind: topology.ActionKill, Node: "gw"},
		"start(node.gw)":                              {Kind: topology.ActionStart, Node: "gw"}, // though no step kills it
		"restart(node.gw) # a comment":                {Kind: topology.ActionRestart, Node: "gw"},
		"terminate(node.gw.connection.all.child.net)": {Kind: topology.ActionTerminate, Node: "gw", Connection: "all", Child: "net"},
	} {
		_, a, err := testSource.actionOf(plan, what)
		if err != nil || a.Kind != want.Kind || a.Node != want.Node || a.Interface != want.Interface || a.Connection != want.Connection || a.Child != want.Child {
			t.Errorf("%s: %+v (%v), want %+v", what, a, err, want)
		}
	}
	if _, a, err := testSource.actionOf(plan, `add_address(node.gw.interface.wan, "192.0.2.77")`); err != nil || len(a.Addresses) != 1 || a.Addresses[0].String() != "192.0.2.77/24" {
		t.Errorf("add_address: %+v, %v", a, err)
	}
	// What a person may have added or removed before.
	for _, what := range []string{`remove_address(node.gw.interface.wan, "192.0.2.77")`, `add_address(node.gw.interface.wan, "192.0.2.1")`} {
		if _, a, err := testSource.actionOf(plan, what); err != nil || a.Kind != what[:strings.IndexByte(what, '(')] {
			t.Errorf("%s: %+v, %v", what, a, err)
		}
	}
	for what, wants := range map[string][]string{
		"by-hant":                         {`did you mean "by-hand"?`, "link_down(node.gw.interface.wan)"},
		"link_dwn(node.gw.interface.wan)": {`did you mean "link_down"?`},
		"link_down(node.gw.interface.wam)": {
			"\n  link_down(node.gw.interface.wam)\n            ~~~~~~~~~~~~~~~~~~~~~\n", `Did you mean "wan"?`,
		},
		"kill(node.host)":                {"no process"},
		"start(node.gww)":                {`Did you mean "gw"?`},
		"link_down(\nnode.gw)":           {"one line"},
		"rekey(node.gw.connection.all)":  {"rekey"},
		`"kill(node.gw)"`:                {"action"},
		`liveness(node.gw.connection.x)`: {"~~~", `"x"`},
	} {
		_, _, err := testSource.actionOf(plan, what)
		for _, want := range wants {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", what, err, want)
			}
		}
		if err != nil && failureOf(err).Kind != KindUsage {
			t.Errorf("%s: it is no usage error", what)
		}
		if err != nil && strings.Contains(err.Error(), "by-hand_") {
			t.Errorf("%s: the error names what nobody typed: %v", what, err)
		}
	}
}

// TestBare: a lab that stands has nothing in it that happens by itself.
func TestBare(t *testing.T) {
	plan, _ := testSource.Load()
	bare := Bare(plan)
	if len(bare.Steps)+len(bare.Flows)+len(bare.Processes)+len(bare.Expectations) > 0 || bare.Lab.Duration != standingDuration {
		t.Errorf("bare: %+v", bare)
	}
	if len(plan.Steps) != 1 || plan.Lab.Duration == standingDuration || len(plan.Lab.InvariantsOff) > 0 {
		t.Errorf("the plan itself has changed: %+v", plan)
	}
}

func TestDidYouMean(t *testing.T) {
	for name, want := range map[string]string{
		"gw-b": `did you mean "gw-a"?`, "GW-A": `did you mean "gw-a"?`,
		"elsewhere": "there are gw-a, host",
	} {
		if got := DidYouMean(name, []string{"host", "gw-a"}); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	many := strings.Fields("k j i h g f e d c b a")
	if got := DidYouMean("elsewhere", many); got != "there are a, b, c, d, e, f, g, h, and 3 more" {
		t.Errorf("of many: %q", got)
	}
}
