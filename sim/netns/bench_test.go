//go:build linux

package netns

import (
	"encoding/json"
	"testing"

	"github.com/ikelab/ikelab/node/host/hosttest"
	"github.com/ikelab/ikelab/sim"
)

// BenchmarkLink is one TCP connection through a link that the box holds, one that draws
// for every packet besides, and one that is the kernel's, in turn. The ratio says what a
// model costs.
func BenchmarkLink(b *testing.B) {
	root(b)
	hosttest.Program(b, "iperf3")
	var rates [3]float64
	for b.Loop() {
		for i, link := range []string{`link = { delay = "100us" }`, `link = { delay = "100us", loss = { p = 0.000001 } }`, ""} {
			rates[i] += tcpRate(b, link)
		}
	}
	b.ReportMetric(rates[0]/float64(b.N)/1e9, "modelled-Gbit/s")
	b.ReportMetric(rates[1]/float64(b.N)/1e9, "drawing-Gbit/s")
	b.ReportMetric(rates[2]/float64(b.N)/1e9, "veth-Gbit/s")
	b.ReportMetric(rates[2]/rates[0], "ratio")
}

// tcpRate is what iperf3 reaches between two hosts, in bit/s.
func tcpRate(b *testing.B, link string) float64 {
	b.Helper()
	r, err := sim.New(load(b, `
lab "rate" { duration = "4s" }
network "net" { prefix = "10.1.0.0/24" }
node "x" {
  implementation = "host"
  interface "eth0" {
    network = network.net
    `+link+`
  }
}
node "y" {
  implementation = "host"
  interface "eth0" { network = network.net }
}
process "server" {
  node    = node.y
  command = ["iperf3", "-s", "-1"]
}
process "client" {
  node    = node.x
  command = ["iperf3", "-c", "10.1.0.2", "-t", "2", "-J"]
  start   = "1s"
}
`), sim.Options{})
	if err != nil {
		b.Fatal(err)
	}
	result, err := Engine{}.Run(b.Context(), r, sim.EngineOptions{})
	if err != nil {
		b.Fatal(err)
	}
	var report struct {
		End struct {
			SumReceived struct {
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if err := json.Unmarshal([]byte(result.Processes[1].Output), &report); err != nil {
		b.Fatalf("%v: %+v", err, result.Processes)
	}
	return report.End.SumReceived.BitsPerSecond
}
