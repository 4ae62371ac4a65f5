package virtual

import (
	"testing"
	"time"

	"github.com/ikelab/ikelab/ike/suite"
)

// TestAlgorithms carries a tunnel with each algorithm that the suite has, in IKE
// and in ESP, over a lossy line, and finds the invariants kept: also those about
// IVs and sequence numbers, which each kind of cipher makes in its own way.
func TestAlgorithms(t *testing.T) {
	tests := []struct{ ike, esp string }{
		{"aes128gcm8-prfsha1-ecp256", "aes128gcm8"},
		{"aes192gcm12-prfsha256-ecp384", "aes192gcm12"},
		{"aes256gcm16-prfsha384-ecp521", "aes256gcm16-esn"},
		{"chacha20poly1305-prfsha512-x25519", "chacha20poly1305"},
		{"aes128-sha1-modp2048", "aes128-sha1"},
		{"aes256-sha256-x25519", "aes256-sha256-esn"},
		{"aes128-sha384-modp3072", "aes192-sha384"},
		{"aes192ctr-sha512-x25519", "aes128ctr-sha512"},
	}
	for _, test := range tests {
		t.Run(test.ike+" "+test.esp, func(t *testing.T) {
			plan := twoGateways(0.02)
			plan.Lab.Duration = 8 * time.Second
			for i := range 2 {
				c := &plan.Nodes[i].Connections[0]
				c.Proposals = []suite.Proposal{proposal(suite.ProtocolIKE, test.ike)}
				c.Children[0].ESPProposals = []suite.Proposal{proposal(suite.ProtocolESP, test.esp)}
			}
			o := mustRun(t, plan)
			for _, f := range failures(o.Result) {
				t.Error(f)
			}
			if call := o.Flows[1]; call.Received < call.Sent*9/10-2 || call.Duplicated != 0 {
				t.Errorf("the call: %+v", call)
			}
			for _, i := range o.Invariants {
				if (i.Name == "no-reuse" || i.Name == "no-replay") && i.Checks < 100 {
					t.Errorf("%s judged %d packets", i.Name, i.Checks)
				}
			}
			if len(o.IKEKeys) != 1 || len(o.ESPKeys) != 2 {
				t.Errorf("keys of %d IKE SAs and %d ESP SAs, want 1 and 2", len(o.IKEKeys), len(o.ESPKeys))
			}
		})
	}
}
