package ike

import (
	"fmt"
	"io"
	"strings"

	"github.com/ikelab/ikelab/ike/wire"
)

// Labels of random streams name the IKE SA, the exchange and the purpose:
//
//	ike/<connection>/initiator/<ordinal>/<exchange>/<purpose>
//	ike/responder/<peer's SPI>/<generation>.<occurrence>/<exchange>/<purpose>
//
// The ordinal counts the IKE SAs that this end initiated on the connection. For a
// responder the peer's SPI says which SA it is, whatever else arrives before it; the
// occurrence keeps a second SA under the same SPI (a late duplicate of the request,
// or a replay) from getting the first one's key.
const labelRoot = "ike"

var escapeLabel = strings.NewReplacer("%", "%25", "/", "%2F")

func initiatorLabel(connection string, ordinal uint64) string {
	return fmt.Sprintf("%s/%s/initiator/%d", labelRoot, escapeLabel.Replace(connection), ordinal)
}

// peerSPIs counts how often each peer's SPI began an IKE SA here, in bounded
// memory: a full table is forgotten. The generation of the table is part of the
// label, so a forgotten SPI still does not get an old label.
type peerSPIs struct {
	generation uint64
	counts     map[wire.SPI]uint64
}

func (p *peerSPIs) label(spi wire.SPI) string {
	n, known := p.counts[spi]
	switch {
	case p.counts == nil:
		p.counts = make(map[wire.SPI]uint64)
	case !known && len(p.counts) >= peerSPIsMax:
		p.generation++
		clear(p.counts)
	}
	p.counts[spi] = n + 1
	return fmt.Sprintf("%s/responder/%s/%d.%d", labelRoot, spi, p.generation, n)
}

// stream opens one of the SA's streams; each pair of exchange and purpose only once.
func (m *Machine) stream(sa *ikeSA, exchange, purpose string) io.Reader {
	return m.cfg.Random(sa.label + "/" + exchange + "/" + purpose)
}

// draw reads n octets of a stream that is used for nothing else.
func (m *Machine) draw(sa *ikeSA, exchange, purpose string, n int) []byte {
	return readFull(m.stream(sa, exchange, purpose), n)
}

// readFull reads from a stream that, by Config.Random's contract, never ends.
func readFull(r io.Reader, n int) []byte {
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		panic("ike: a stream of Config.Random ended: " + err.Error())
	}
	return b
}
