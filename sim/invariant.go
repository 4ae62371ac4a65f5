package sim

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/ikelab/ikelab/ike/wire"
	"github.com/ikelab/ikelab/impair"
)

// The invariants' names, by which a lab turns one off.
const (
	InvariantNoCleartext             = "no-cleartext"
	InvariantNoReuse                 = "no-reuse"
	InvariantNoReplay                = "no-replay"
	InvariantNoOrphanSA              = "no-orphan-sa"
	InvariantIdenticalRetransmission = "identical-retransmission"
	InvariantNoAmplification         = "no-amplification"
)

// Invariants answers the names of all invariants, in the order of results.
func Invariants() []string {
	var names []string
	for _, i := range newInvariants(invariantConfig{}) {
		names = append(names, i.name())
	}
	return names
}

// invariant judges a run as it goes. Observations come in order of time.
type invariant interface {
	name() string
	observe(o observation)
	// finish judges what only the end shows and answers the verdict.
	finish(now time.Duration) InvariantResult
}

// invariantConfig is what the invariants know of the lab beforehand.
type invariantConfig struct {
	// nodes holds the nodes' names, for sentences.
	nodes []string
	// speaks holds which nodes run IKE.
	speaks []bool
	// networks are the prefixes of the networks behind the interfaces, by node and
	// interface.
	networks [][][]netip.Prefix
	// policies are the policies in force before any negotiation, by node.
	policies [][]policy
	// notice is how long the node takes, by connection, to find out that its peer is
	// no more: the silence that it bears and a whole retransmission schedule. A
	// connection without dpd_delay never does and is not in it.
	notice []map[string]time.Duration
	// quiet is the longest retransmission schedule of any connection: who has
	// an exchange open says something at least that often.
	quiet time.Duration
}

// node is a node's name for sentences.
func (c invariantConfig) node(i int) string {
	if i >= 0 && i < len(c.nodes) {
		return c.nodes[i]
	}
	return fmt.Sprintf("node %d", i)
}

// speaksIKE reports whether a node runs IKE.
func (c invariantConfig) speaksIKE(node int) bool {
	return node >= 0 && node < len(c.speaks) && c.speaks[node]
}

// delivers reports whether a packet that leaves by an interface is for the network
// behind it, and, unless the tunnel runs elsewhere, for a part of that network that the
// policy's local selectors name. Where the tunnel runs elsewhere, what goes on to
// others is delivered, too, if that network itself is one that the selectors name.
func (c invariantConfig) delivers(node, iface int, dst netip.Addr, p policy, elsewhere bool) bool {
	if node >= len(c.networks) || iface >= len(c.networks[node]) {
		return false
	}
	for _, network := range c.networks[node][iface] {
		if elsewhere && sameFamily(network.Addr(), dst) && slices.ContainsFunc(p.local, func(l wire.Selector) bool { return names(l, network) }) {
			return true
		}
		if !network.Contains(dst) {
			continue
		}
		if elsewhere || slices.ContainsFunc(p.local, func(l wire.Selector) bool {
			return within(dst, l) && network.Contains(l.Start) && network.Contains(l.End)
		}) {
			return true
		}
	}
	return false
}

// names reports whether a selector covers a network, and not everything: that names none.
func names(l wire.Selector, network netip.Prefix) bool {
	of := wire.PrefixSelector(network.Masked(), 0, 0, 65535)
	all := wire.PrefixSelector(netip.PrefixFrom(of.Start, 0).Masked(), 0, 0, 65535)
	return within(of.Start, l) && within(of.End, l) && (l.Start != all.Start || l.End != all.End)
}

// notices answers how long a node takes to find out that the peer of a connection is
// no more; ok is false when it never does.
func (c invariantConfig) notices(node int, connection string) (after time.Duration, ok bool) {
	if node < 0 || node >= len(c.notice) {
		return 0, false
	}
	after, ok = c.notice[node][connection]
	return after, ok
}

// newInvariants makes one of each.
func newInvariants(c invariantConfig) []invariant {
	return []invariant{
		newClearInvariant(c),
		newReuseInvariant(c),
		newReplayInvariant(c),
		newOrphanInvariant(c),
		newRetransmissionInvariant(c),
		newAmplificationInvariant(c),
	}
}

// associationsFollowedMax bounds the child SAs that an invariant follows at a
// time, keysRememberedMax the keys whose use is remembered for good. What is
// beyond them is not judged, which only a lab far larger than memory gets to see.
const (
	associationsFollowedMax = 1 << 18
	keysRememberedMax       = 1 << 20
)

// policy is traffic that a node protects.
type policy struct {
	connection, child string
	local, remote     []wire.Selector
}

// observation is something that happened, as invariants see it: *sighted,
// *sealed, *opened, *installed, *removed, *established, *gone, *spoke, *heard, *gaveUp,
// *answered, *died or *readdressed.
// Pointers are valid during the call.
type observation any

// sighted is a packet at the end of a link: leaving its node (up) or about to
// enter it (down).
type sighted struct {
	now       time.Duration
	node      int
	iface     int // index in the node
	direction impair.Direction
	// mine says that the packet, going down, is for this node rather than to be
	// forwarded.
	mine bool
	// own says that the packet, going up, was made by this node rather than
	// forwarded.
	own bool
	// tunnelEnds says that the packet looks like ESP and that both its addresses are
	// those of nodes that run IKE.
	tunnelEnds bool
	packet     *sight
}

// esp reports whether the packet is ESP. At the port of ESP in UDP that is not to be
// seen: there it is what goes between nodes that run IKE, and not a flow between hosts.
func (o *sighted) esp() bool {
	return o.packet.esp != nil && (o.packet.protocol == protocolESP || o.tunnelEnds)
}

// association identifies a child SA at a node: by the node's own count of its
// SAs, which begins again with each of its lives, and not by the SPI, which says
// nothing about the key.
type association struct {
	node    int
	life    int
	ordinal uint64
}

// String is the number, for sentences.
func (a association) String() string {
	if a.life > 1 {
		return fmt.Sprintf("%d of its life %d", a.ordinal, a.life)
	}
	return strconv.FormatUint(a.ordinal, 10)
}

// sealed is an ESP packet that a node made.
type sealed struct {
	now      time.Duration
	by       association
	spi      uint32
	sequence uint64
	iv       [ivBytesMax]byte
	ivBytes  uint8
}

// ivBytesMax is the longest explicit IV of an ESP packet, AES-CBC's.
const ivBytesMax = 16

// opened is an ESP packet that a node accepted.
type opened struct {
	now      time.Duration
	by       association
	spi      uint32
	sequence uint64
	iface    int     // by which it came, -1 when that is not known
	inner    traffic // what came out
}

// installed is a child SA that a node took into use.
type installed struct {
	now           time.Duration
	by            association
	policy        policy
	ike           wire.SPI // the initiator SPI of the IKE SA that made it
	spiIn, spiOut uint32
	keyIn, keyOut keyPrint
	replayWindow  int // packets; 0: no replay protection
	peer          netip.Addr
}

// keyPrint stands for a key without being one.
type keyPrint [16]byte

// removed is a child SA that a node no longer uses.
type removed struct {
	now           time.Duration
	by            association
	spiIn, spiOut uint32
}

// established and gone are an IKE SA's life at one node.
type established struct {
	now        time.Duration
	node       int
	connection string
	spiI, spiR wire.SPI
}

type gone struct {
	now        time.Duration
	node       int
	spiI, spiR wire.SPI
}

// spoke is an IKE message that a node sent, or sent again, whether or not it got out;
// heard is one that a node took for its peer's; gaveUp is a
// request that no retransmission helped.
type spoke struct {
	now  time.Duration
	node int
	said said
	// deletes says that the message deletes the IKE SA.
	deletes bool
}

type heard struct {
	now  time.Duration
	node int
	said said
}

type gaveUp struct {
	now  time.Duration
	node int
	said said
}

// said names an IKE message within its IKE SA, but for the end that sends it.
type said struct {
	spiI     wire.SPI
	exchange wire.ExchangeType
	id       uint32
	response bool
}

// answered is a response that a node took for the answer to its request.
type answered struct {
	now      time.Duration
	node     int
	spiI     wire.SPI
	exchange wire.ExchangeType
	id       uint32
}

// died is the end of a node without a word: whatever it held is gone.
type died struct {
	now  time.Duration
	node int
}

// readdressed is a node with other addresses, and the policies that its
// configuration then makes.
type readdressed struct {
	now      time.Duration
	node     int
	policies []policy
}

// verdict counts what an invariant judged and keeps the first violation.
type verdict struct {
	checks, violations uint64
	why                string
	at                 time.Duration
}

// violated notes a violation; format is the sentence that says what happened.
func (v *verdict) violated(at time.Duration, format string, a ...any) {
	if v.violations++; v.violations == 1 {
		v.why, v.at = fmt.Sprintf(format, a...), at
	}
}

func (v *verdict) result(name string) InvariantResult {
	return InvariantResult{
		Name: name, Pass: v.violations == 0, Why: v.why, At: v.at, Count: v.violations, Checks: v.checks,
	}
}
