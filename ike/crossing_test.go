package ike

import (
	"fmt"
	"testing"
	"time"
)

// TestCrossing gives both ends an order at the same instant and tries every order
// in which the network can deliver what follows (choicesMax), with and without
// losing some of it. Whatever happens, both ends come to the same end.
func TestCrossing(t *testing.T) {
	if testing.Short() {
		t.Skip("not for -short; cure: make test")
	}
	initiate := Command{Kind: Initiate, Connection: "ike"}
	deleteIKE := Command{Kind: Terminate, Connection: "ike"}
	deleteChild := Command{Kind: Terminate, Connection: "ike", Child: "net"}
	liveness := Command{Kind: Liveness, Connection: "ike"}
	for _, tc := range []struct {
		name      string
		up        bool // begin with an IKE SA that a initiated
		a, b      []Command
		losses    int
		wantIKE   int // IKE SAs in the end
		wantChild int
	}{
		{name: "both delete the IKE SA", up: true, a: []Command{deleteIKE}, b: []Command{deleteIKE}, losses: 2},
		{name: "both delete the CHILD_SA", up: true, a: []Command{deleteChild}, b: []Command{deleteChild}, losses: 2, wantIKE: 1},
		{name: "one deletes the IKE SA, the other the CHILD_SA", up: true, a: []Command{deleteIKE}, b: []Command{deleteChild}, losses: 2},
		{name: "one deletes the CHILD_SA, the other the IKE SA", up: true, a: []Command{deleteChild}, b: []Command{deleteIKE}, losses: 2},
		{name: "one deletes, the other asks for life", up: true, a: []Command{deleteIKE}, b: []Command{liveness}, losses: 2},
		{name: "both delete the CHILD_SA, then the IKE SA", up: true, a: []Command{deleteChild, deleteIKE}, b: []Command{deleteChild, deleteIKE}, losses: 1},
		{name: "both delete the CHILD_SA and want it back", up: true, a: []Command{deleteChild}, b: []Command{deleteChild, initiate}, wantIKE: 1, wantChild: 1},
		{name: "both want back what both delete", up: true, a: []Command{deleteChild, initiate}, b: []Command{deleteChild, initiate}, wantIKE: 1, wantChild: 1},
		{name: "both delete the IKE SA and want it back", up: true, a: []Command{deleteIKE, initiate}, b: []Command{deleteIKE, initiate}, wantIKE: 1, wantChild: 1},
		{name: "both initiate", a: []Command{initiate}, b: []Command{initiate}, wantIKE: 1, wantChild: 1},
		{name: "both initiate, one message is lost", a: []Command{initiate}, b: []Command{initiate}, losses: 1, wantIKE: 1, wantChild: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			orders := 0
			explore(func(choose func(n int) int) {
				orders++
				n := newTestnet()
				n.quiet = true
				m := &refModel{up: map[string]map[string]bool{"a": {}, "b": {}}}
				settings := []string{"retransmit_timeout 1s", "half_open_timeout 20s"}
				for _, end := range [][3]string{{"a", "192.0.2.1", "198.51.100.1"}, {"b", "198.51.100.1", "192.0.2.1"}} {
					if _, err := addMachine(n, end[0], end[1], end[2], settings); err != nil {
						t.Fatal(err)
					}
				}
				if tc.up {
					n.step(n.node("a"), initiate)
					n.settle()
				}
				for _, c := range tc.a {
					n.step(n.node("a"), c)
				}
				for _, c := range tc.b {
					n.step(n.node("b"), c)
				}
				trail := deliverAll(n, choose, tc.losses)
				n.advance(2 * time.Minute)
				for _, name := range []string{"a", "b"} {
					node := n.node(name)
					m.follow(node, 0, func(id uint64) string { return saName(node, id) }, t)
				}
				for _, p := range n.problems {
					t.Fatalf("%s: %s", trail, p)
				}
				agree(trailed{t, trail}, n, m)
				if got := len(m.up["a"]); got != tc.wantIKE {
					t.Fatalf("%s: %d IKE SAs are left, want %d", trail, got, tc.wantIKE)
				}
				if got := len(n.children) / 2; got != tc.wantChild {
					t.Fatalf("%s: %d CHILD_SAs are left, want %d", trail, got, tc.wantChild)
				}
			})
			t.Logf("%d orders", orders)
			if orders < 2 {
				t.Fatalf("%d orders: nothing crossed", orders)
			}
		})
	}
}

// deliverAll delivers what is in flight, and what is sent in answer, in the order
// that choose says, losing some of it if it says so. Only when nothing is in flight
// does time go on by itself.
func deliverAll(n *testnet, choose func(n int) int, losses int) (trail string) {
	const deliveriesMax = 64
	for range deliveriesMax {
		if len(n.flights) == 0 {
			return trail
		}
		options := len(n.flights)
		if losses > 0 {
			options *= 2
		}
		i := choose(options)
		lost := i >= len(n.flights)
		i %= len(n.flights)
		f := n.flights[i]
		n.flights = append(n.flights[:i:i], n.flights[i+1:]...)
		trail += fmt.Sprintf(" #%d", f.number)
		if lost {
			losses--
			trail += "(lost)"
			continue
		}
		n.now += time.Millisecond
		n.deliver(f)
	}
	return trail
}

// trailed puts the order of delivery in front of a failure.
type trailed struct {
	t     *testing.T
	trail string
}

func (t trailed) Fatalf(format string, args ...any) {
	t.t.Helper()
	t.t.Fatalf("%s: "+format, append([]any{t.trail}, args...)...)
}

// choicesMax bounds how many deliveries of one run are chosen; what follows comes in
// the order sent. Two whole handshakes crossing have millions of orders, and the
// interesting ones differ early.
const choicesMax = 5

// explore runs a function with every sequence of choices that it can make.
func explore(run func(choose func(n int) int)) {
	var path, widths []int
	for {
		depth := 0
		run(func(n int) int {
			if depth == choicesMax {
				return 0
			}
			if depth == len(path) {
				path, widths = append(path, 0), append(widths, n)
			}
			widths[depth] = n
			depth++
			return path[depth-1]
		})
		path, widths = path[:depth], widths[:depth]
		for len(path) > 0 && path[len(path)-1] == widths[len(path)-1]-1 {
			path, widths = path[:len(path)-1], widths[:len(widths)-1]
		}
		if len(path) == 0 {
			return
		}
		path[len(path)-1]++
	}
}
