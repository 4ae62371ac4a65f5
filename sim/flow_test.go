package sim

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/node"
	"github.com/ikelab/ikelab/topology"
)

func testFlow(change func(*topology.Flow)) topology.Flow {
	f := topology.Flow{
		Name: "call", From: "a", To: "b", FromAddr: hostA, ToAddr: hostB, Protocol: topology.ProtocolUDP,
		SourcePort: 40000, DestinationPort: 5004, Rate: topology.Rate{Packets: 3, Per: time.Second},
		SizeBytes: 64, Start: 2 * time.Second, Stop: 4 * time.Second,
	}
	if change != nil {
		change(&f)
	}
	return f
}

// TestFlowSchedule: packets leave at the rate without drift, up to the stop or
// the count.
func TestFlowSchedule(t *testing.T) {
	const third = time.Second / 3
	two := 2 * time.Second
	tests := map[string]struct {
		change func(*topology.Flow)
		want   []time.Duration
	}{
		"until the stop":  {nil, []time.Duration{two, two + third, two + 2*third, two + time.Second, two + time.Second + third, two + time.Second + 2*third}},
		"so many":         {func(f *topology.Flow) { f.Packets = 2 }, []time.Duration{two, two + third}},
		"stop at a start": {func(f *topology.Flow) { f.Stop = f.Start }, nil},
		"one a minute":    {func(f *topology.Flow) { f.Rate = topology.Rate{Packets: 1, Per: time.Minute} }, []time.Duration{two}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f, err := newFlow(testFlow(test.change), 1, 0, 1)
			if err != nil {
				t.Fatal(err)
			}
			var got []time.Duration
			for at, ok := f.due(); ok; at, ok = f.due() {
				got = append(got, at)
				f.send(at)
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("packets leave at (-want +got):\n%s", d)
			}
			if f.meter.sentCount != uint64(len(got)) {
				t.Errorf("%d packets counted, %d sent", f.meter.sentCount, len(got))
			}
		})
	}
}

// TestFlowPackets: what is sent is what the receiver understands.
func TestFlowPackets(t *testing.T) {
	udp, err := newFlow(testFlow(nil), 7, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	udp.send(0)
	order := udp.send(1234 * ms)
	out, ok := order.Input.(node.DatagramOut)
	if !ok || order.Node != 0 || out.Src != netip.AddrPortFrom(hostA, 40000) || out.Dst != netip.AddrPortFrom(hostB, 5004) || len(out.Payload) != 64 {
		t.Fatalf("order %+v", order)
	}
	got, ok := parseFlowPayload(out.Payload)
	if want := (flowArrival{udp.tag, 1, 1234 * ms}); !ok || got != want {
		t.Errorf("the packet says %+v, want %+v", got, want)
	}
	if udp.receiver() != 1 {
		t.Errorf("the flow ends at node %d", udp.receiver())
	}

	ping, err := newFlow(testFlow(func(f *topology.Flow) { f.Protocol = topology.ProtocolICMP }), 7, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	echo, ok := ping.send(0).Input.(node.EchoOut)
	if !ok || echo.Src != hostA || echo.Dst != hostB || echo.ID != 7 || echo.Sequence != 0 {
		t.Errorf("echo %+v", echo)
	}
	if ping.receiver() != 0 {
		t.Errorf("the echo flow ends at node %d, its replies come to 0", ping.receiver())
	}
	if _, ok := parseFlowPayload(make([]byte, flowHeaderBytes-1)); ok {
		t.Error("a payload too short for a header was read")
	}
}

// TestFlowTag: a flow's packets depend on its name and not on its place.
func TestFlowTag(t *testing.T) {
	a, _ := newFlow(testFlow(nil), 1, 0, 1)
	b, _ := newFlow(testFlow(nil), 2, 5, 6)
	c, _ := newFlow(testFlow(func(f *topology.Flow) { f.Name = "other" }), 1, 0, 1)
	if a.tag != b.tag || a.tag == c.tag {
		t.Errorf("tags %x, %x and %x", a.tag, b.tag, c.tag)
	}
}

// TestTimeline: what is due comes in the order of time, kind and place in the
// plan, however it was put there.
func TestTimeline(t *testing.T) {
	want := []due{
		{1, dueStep, 0}, {1, dueStep, 3}, {1, dueFlow, 0}, {1, dueFlow, 1}, {1, dueJudge, -2}, {1, dueJudge, 0}, {2, dueStep, 1},
	}
	for shift := range want {
		var line timeline
		for i := range want {
			line.add(want[(i*3+shift)%len(want)])
		}
		if at, ok := line.next(); !ok || at != 1 {
			t.Fatalf("next is %v %v", at, ok)
		}
		if _, ok := line.pop(0); ok {
			t.Fatal("something was due before its time")
		}
		var got []due
		for d, ok := line.pop(2); ok; d, ok = line.pop(2) {
			got = append(got, d)
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(due{})); d != "" {
			t.Fatalf("order (-want +got):\n%s", d)
		}
	}
}
