package sim

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/ike/wire"
)

// TestLadderFates: each message finds out what became of it, also when several
// transmissions are on their way.
func TestLadderFates(t *testing.T) {
	request := see(t, ikePacket(t, gwA, gwB, 500, initRequest(), "x"))
	response := see(t, ikePacket(t, gwB, gwA, 500, initResponse(), "x"))
	exchange := func(transmission int, response bool) *ike.Exchange {
		x := &ike.Exchange{Type: wire.ExchangeIKESAInit, SPIi: spiI, Initiator: true, Transmission: transmission, Payloads: []string{"SA"}}
		if response {
			x.SPIr, x.Initiator, x.Response = spiR, false, true
		}
		return x
	}
	type fate struct {
		arrived   bool
		arrivedAt time.Duration
		lost      bool
		reason    string
	}
	tests := map[string]struct {
		happens func(l *ladder)
		end     time.Duration
		want    []fate
	}{
		"arrives": {func(l *ladder) {
			l.sent(0, nodeA, "gw-a", "gw-b", exchange(0, false), 100)
			l.fate(5, request, "")
		}, time.Hour, []fate{{true, 5, false, ""}}},
		"is lost": {func(l *ladder) {
			l.sent(0, nodeA, "gw-a", "gw-b", exchange(0, false), 100)
			l.fate(0, request, "loss")
		}, time.Hour, []fate{{false, 0, true, "loss"}}},
		"vanishes": {func(l *ladder) {
			l.sent(0, nodeA, "gw-a", "gw-b", exchange(0, false), 100)
		}, time.Hour, []fate{{false, 0, true, ""}}},
		"is on its way at the end": {func(l *ladder) {
			l.sent(0, nodeA, "gw-a", "gw-b", exchange(0, false), 100)
		}, time.Second, []fate{{false, 0, false, ""}}},
		"the second of two is lost": {func(l *ladder) {
			l.sent(0, nodeA, "gw-a", "gw-b", exchange(0, false), 100)
			l.sent(2, nodeA, "gw-a", "gw-b", exchange(1, false), 100)
			l.fate(2, request, "loss")
			l.fate(5, request, "")
		}, time.Hour, []fate{{true, 5, false, ""}, {false, 0, true, "loss"}}},
		"both arrive": {func(l *ladder) {
			l.sent(0, nodeA, "gw-a", "gw-b", exchange(0, false), 100)
			l.sent(2, nodeA, "gw-a", "gw-b", exchange(1, false), 100)
			l.fate(5, request, "")
			l.fate(7, request, "")
			l.fate(8, request, "") // a link's duplicate
		}, time.Hour, []fate{{true, 5, false, ""}, {true, 7, false, ""}}},
		"a response is not its request": {func(l *ladder) {
			l.sent(0, nodeA, "gw-a", "gw-b", exchange(0, false), 100)
			l.sent(1, nodeB, "gw-b", "gw-a", exchange(0, true), 100)
			l.fate(5, response, "")
		}, time.Second, []fate{{false, 0, false, ""}, {true, 5, false, ""}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := newLadder()
			test.happens(&l)
			var got []fate
			for _, r := range l.finish(test.end) {
				got = append(got, fate{r.Arrived, r.ArrivedAt, r.Lost, r.Reason})
			}
			if d := cmp.Diff(test.want, got, cmp.AllowUnexported(fate{})); d != "" {
				t.Errorf("fates (-want +got):\n%s", d)
			}
		})
	}
}

// TestLadderNames: a responder learns the connection's name after it answered,
// and the rows before get it too.
func TestLadderNames(t *testing.T) {
	l := newLadder()
	l.sent(0, nodeB, "gw-b", "gw-a", &ike.Exchange{Type: wire.ExchangeIKESAInit, SPIi: spiI, Response: true}, 1)
	l.sent(0, nodeB, "gw-b", "gw-a", &ike.Exchange{Type: wire.ExchangeIKESAInit, SPIi: wire.SPI{9}, Response: true}, 1)
	l.named(nodeB, spiI, "to-a")
	l.named(nodeA, wire.SPI{9}, "of another node")
	rows := l.finish(0)
	if rows[0].Connection != "to-a" || rows[1].Connection != "" {
		t.Errorf("connections %q and %q, want to-a and none", rows[0].Connection, rows[1].Connection)
	}
}

func TestLadderIsBounded(t *testing.T) {
	l := newLadder()
	for i := range exchangeRowsMax + 5 {
		l.sent(0, nodeA, "a", "b", &ike.Exchange{SPIi: wire.SPI{byte(i), byte(i >> 8), byte(i >> 16)}}, 1)
	}
	if rows := l.finish(0); len(rows) != exchangeRowsMax || l.omitted != 5 {
		t.Errorf("%d rows and %d omitted", len(rows), l.omitted)
	}
}

// TestLadderDiscarded: what a node throws away in the instant in which a message arrives
// is that message's fate, at that node and in that instant alone.
func TestLadderDiscarded(t *testing.T) {
	request := see(t, ikePacket(t, gwA, gwB, 500, initRequest(), "x"))
	for _, c := range []struct {
		name string
		at   time.Duration
		node string
		want string
	}{
		{"the message", 5, "gw-b", "bad-checksum"},
		{"at another node", 5, "gw-a", ""},
		{"later", 6, "gw-b", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLadder()
			l.discarded(0, "gw-b", "before any message")
			l.sent(0, nodeA, "gw-a", "gw-b", &ike.Exchange{Type: wire.ExchangeIKESAInit, SPIi: spiI, Initiator: true}, 100)
			l.fate(5, request, "")
			l.discarded(c.at, c.node, "bad-checksum")
			l.discarded(c.at, c.node, "something else")
			if got := l.finish(time.Hour)[0]; got.Discarded != c.want || !got.Arrived {
				t.Errorf("arrived %v and was discarded for %q, want %q", got.Arrived, got.Discarded, c.want)
			}
		})
	}
}
