package standing

import (
	"testing"
	"time"

	"github.com/ikelab/ikelab/impair"
)

// BenchmarkTap is what a captured packet costs who sees it, on the thread that carries the lab's links.
func BenchmarkTap(b *testing.B) {
	plan, diags := testSource.Load()
	if diags.HasErrors() {
		b.Fatal(diags.Error())
	}
	one, _, err := newTap(plan, time.Unix(0, 0), nil)
	if err != nil {
		b.Fatal(err)
	}
	all := &taps{}
	all.add(one)
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- one.pump(stop, func([]byte) error { return nil }) }()
	packet := make([]byte, 1500)
	packet[0] = 0x45
	b.SetBytes(int64(len(packet)))
	b.ReportAllocs()
	for b.Loop() {
		all.Packet(0, 0, 0, impair.Up, packet)
	}
	close(stop)
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	_, dropped := one.counts()
	b.ReportMetric(float64(dropped)/float64(b.N), "dropped/op")
}
