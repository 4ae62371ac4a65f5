package virtual

import (
	"testing"
)

func TestFirstTunnel(t *testing.T) {
	o := mustRun(t, twoGateways(0.05))
	for _, f := range failures(o.Result) {
		t.Error(f)
	}
	for _, c := range o.Connections {
		t.Logf("%+v", c)
	}
	for _, c := range o.Flows {
		t.Logf("%+v", c)
	}
	for _, c := range o.Exchanges {
		t.Logf("%+v", c)
	}
	for _, c := range o.Invariants {
		t.Logf("%+v", c)
	}
	t.Logf("%s %d %d", o.Digest, o.Records, o.Events)
}
