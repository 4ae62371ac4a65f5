package ike

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// saState is where an IKE SA stands.
type saState uint8

const (
	stateInitSent    saState = iota // initiator: the IKE_SA_INIT request is out
	stateAuthSent                   // initiator: the IKE_AUTH request is out
	stateHalfOpen                   // responder: IKE_SA_INIT is answered, IKE_AUTH has not come
	stateEstablished                // both are authenticated
	stateDeleting                   // established, and this end's Delete is out
	stateClosed                     // over; only the last response is still repeated
)

// ikeSA is one IKE SA.
type ikeSA struct {
	id    uint64 // the machine's number, from 1 in order of creation
	label string // root of its random streams
	conn  *connection
	// candidates are the connections a responder may still choose from, which it
	// does when IKE_AUTH shows the identities; none afterwards, and for an initiator.
	// conn is the first with a proposal in common until then.
	candidates []*connection
	initiator  bool
	state      saState
	gone       bool
	failed     bool // its failure is recorded; what follows only tells the peer
	// proven says that the peer has sealed a request, so it got what this responder
	// answered to IKE_SA_INIT, where it says to be or close to it.
	proven bool

	spiI, spiR    wire.SPI
	local, remote netip.AddrPort
	nat           natState

	proposal        suite.Proposal
	init            initState
	keys            saKeys
	localID, peerID Identity
	attempt         attempt  // initiator: what it is for
	terminate       string   // initiator: delete as soon as established, for this reason
	pending         *childSA // initiator: what IKE_AUTH is to set up
	// begunAt and establishedAt are instants of Machine.sequence.
	begunAt, establishedAt uint64

	nextRequest uint32       // message ID of this end's next request
	expect      uint32       // message ID of the peer's next request
	out         *outstanding // this end's request without response
	last        *answeredRequest
	tasks       []task // own exchanges that wait for the window
	children    []*childSA
	childCount  uint64

	lastHeard time.Duration // authenticated messages and ESP
	lastSent  time.Duration // anything: IKE, keepalives, ESP in UDP
	expires   time.Duration // of stateHalfOpen and stateClosed
	timer     timer
	heapIndex int
	touched   bool
}

// initState is what IKE_SA_INIT leaves for IKE_AUTH, and what its retries need.
type initState struct {
	request, response []byte // as on the wire, without marker
	nonceI, nonceR    []byte
	public            []byte
	private           suite.KEPrivate
	group             uint16
	triedGroups       []uint16
	cookie            []byte
	restarts          int
	refusal           string // an unauthenticated error notification, believed when the timer ends
	unread            string // what was wrong with a response that could not be read
	received, sent    int    // responder: octets before authentication
	key               initKey
}

// initKey finds the IKE SA that an IKE_SA_INIT request began (RFC 7296 §2.1).
type initKey struct {
	spi    wire.SPI
	remote netip.AddrPort
	hash   [32]byte
}

// answeredRequest is the peer's last request and what was answered.
type answeredRequest struct {
	request, response []byte
	info              Exchange
}

// attempt is what an initiator wants and how far it has got with it.
type attempt struct {
	child   int // index of the child for IKE_AUTH
	packet  TrafficKey
	address int // index into RemoteAddrs
	tries   int // passes through RemoteAddrs that are over
}

// taskKind is an exchange this end wants on an established IKE SA.
type taskKind uint8

const (
	taskNone taskKind = iota
	taskDeleteChild
	taskDeleteIKE
	taskLiveness
	taskAuthFailed
)

// task is one such exchange.
type task struct {
	kind   taskKind
	child  *childSA
	spi    uint32 // taskDeleteChild: the SPI to name
	reason string
	more   []Field // behind the reason, in the record
}

// connectionName is the connection an SA is known to be for, "" while a responder
// has several to choose from.
func (sa *ikeSA) connectionName() string {
	if len(sa.candidates) > 1 {
		return ""
	}
	return sa.conn.Name
}

// up reports whether both ends are authenticated and neither has begun to delete.
func (sa *ikeSA) up() bool { return sa.state == stateEstablished }

// ending reports whether this end's Delete for the IKE SA is out or waits.
func (sa *ikeSA) ending() bool {
	return sa.state == stateDeleting || slices.ContainsFunc(sa.tasks, func(t task) bool { return t.kind == taskDeleteIKE })
}

// negotiating reports whether an initiator is on its way to establish.
func (sa *ikeSA) negotiating() bool { return sa.state == stateInitSent || sa.state == stateAuthSent }

// keepsAlive reports whether this end has a NAT mapping to hold open (RFC 3948 §4).
func (sa *ikeSA) keepsAlive() bool {
	return sa.nat.supported && sa.nat.local && sa.conn.KeepAlive > 0 && sa.local.Port() == portNATT &&
		(sa.state == stateAuthSent || sa.state == stateEstablished || sa.state == stateDeleting)
}

// header is the header of a message of this end.
func (sa *ikeSA) header(exchange wire.ExchangeType, id uint32, response bool) wire.Header {
	h := wire.Header{InitiatorSPI: sa.spiI, ResponderSPI: sa.spiR, Exchange: exchange, MessageID: id}
	if sa.initiator {
		h.Flags |= wire.FlagInitiator
	}
	if response {
		h.Flags |= wire.FlagResponse
	}
	return h
}

// localSPI is the SPI by which the peer's messages find this SA.
func (sa *ikeSA) localSPI() wire.SPI {
	if sa.initiator {
		return sa.spiI
	}
	return sa.spiR
}

// queue adds an exchange unless an equal one waits or is out.
func (sa *ikeSA) queue(t task) {
	same := func(o task) bool { return o.kind == t.kind && o.child == t.child && o.spi == t.spi }
	if sa.out != nil && same(sa.out.task) {
		return
	}
	for _, o := range sa.tasks {
		if same(o) {
			return
		}
	}
	if len(sa.tasks) < pendingTasksMax || t.kind == taskDeleteIKE {
		sa.tasks = append(sa.tasks, t)
	}
}

// describe makes the Exchange of a message.
func describe(h wire.Header, ps []wire.Payload, protected bool) Exchange {
	e := Exchange{
		Type: h.Exchange, MessageID: h.MessageID, Response: h.IsResponse(), Initiator: h.FromInitiator(),
		SPIi: h.InitiatorSPI, SPIr: h.ResponderSPI, Protected: protected, Payloads: make([]string, len(ps)),
	}
	for i, p := range ps {
		switch p := p.(type) {
		case *wire.SA: // package wire does not know the algorithms' names
			e.Payloads[i] = describeSA(p)
		case *wire.Nonce: // only the exchange knows whose it is
			e.Payloads[i] = "Ni"
			if e.Response {
				e.Payloads[i] = "Nr"
			}
		default:
			e.Payloads[i] = wire.Describe(p)
		}
	}
	return e
}
