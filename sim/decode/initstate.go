package decode

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// initExchange is what the capture has of the IKE_SA_INIT exchange of one
// initiator's SPI: also what came before the SA (cookies, another group).
type initExchange struct {
	nonce    []byte
	messages uint64
	bytes    uint64
	again    uint64
	// offers are the proposals of the last requests, at most offersMax.
	offers [][]offer
	// request and response are what is to be said of the two messages.
	request, response initMessage
	// refused is why a response made no SA, empty if none refused. retry says that
	// it asked for another request: with a cookie, with another group.
	refused string
	retry   bool
	// resumed says that IKE_SESSION_RESUME stands in place of IKE_SA_INIT (RFC 5723
	// §4.3.1). It has a ticket and no key exchange.
	resumed bool
	// sa is the SA that the exchange made, nil before there is one.
	sa *ikeSA
}

// offer is one proposal as suite has it, with the number that an answer repeats.
type offer struct {
	number uint8
	suite.Proposal
}

// initMessage is one message of IKE_SA_INIT.
type initMessage struct {
	state messageState
	lacks []string // payloads that RFC 7296 §1.2 has in it
}

// messageState is how much there is of a message.
type messageState int

const (
	messageMissing messageState = iota
	messageMalformed
	messageCut // by the capture
	messageWhole
)

// note remembers a message. A whole one says more than one that was cut, and that
// more than a malformed one.
func (m *initMessage) note(state messageState, payloads []wire.Payload) {
	m.state = max(m.state, state)
	if state != messageWhole {
		return
	}
	m.lacks = nil
	for _, want := range [3]wire.PayloadType{wire.PayloadSA, wire.PayloadKE, wire.PayloadNonce} {
		found := false
		for _, p := range payloads {
			found = found || p.Type() == want
		}
		if !found {
			m.lacks = append(m.lacks, payloadName(want))
		}
	}
}

// fault is what is to be said of a message, empty for nothing.
func (m *initMessage) fault(name string) string {
	switch {
	case m.state == messageMissing:
		return "the IKE_SA_INIT " + name + " is not in the capture"
	case m.state == messageMalformed:
		return "the IKE_SA_INIT " + name + " is malformed"
	case m.state == messageCut:
		return "the IKE_SA_INIT " + name + " was not captured whole"
	case len(m.lacks) > 0:
		last := len(m.lacks) - 1
		list := m.lacks[last]
		if last > 0 {
			list = strings.Join(m.lacks[:last], ", ") + " and " + list
		}
		return fmt.Sprintf("the IKE_SA_INIT %s has no %s (RFC 7296 §1.2)", name, list)
	}
	return ""
}

// faults are what is to be said of the exchange, empty where both messages are
// there and whole. wentOn says that there is an exchange behind IKE_SA_INIT, which
// no refusal allows.
func (x *initExchange) faults(wentOn bool) []string {
	if x != nil && x.resumed {
		return []string{"resumed with a ticket (RFC 5723)"}
	}
	if x == nil || x.request.state == messageMissing && x.response.state == messageMissing && x.refused == "" {
		return []string{"IKE_SA_INIT is not in the capture"}
	}
	var out []string
	response := x.response.fault("response")
	if x.response.state == messageMissing && x.refused != "" {
		if x.retry && wentOn {
			response += ", before it came " + x.refused
		} else {
			response = "the IKE_SA_INIT response is a refusal: " + x.refused
		}
	}
	for _, s := range [2]string{x.request.fault("request"), response} {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

// init is the exchange of an initiator's SPI, made when it is seen first.
func (d *Decoder) init(spi wire.SPI) *initExchange {
	x, ok := d.ike.inits.get(spi)
	if !ok {
		x = &initExchange{}
		d.ike.inits.put(spi, x)
	}
	return x
}

// refusal is what a response says instead of an SA: a cookie, another group, an
// error (RFC 7296 §1.2, §2.6). It is empty where a response has no such thing.
// retry says that the initiator is to ask again.
func refusal(payloads []wire.Payload) (notification string, retry bool) {
	for _, p := range payloads {
		switch p := p.(type) {
		case *wire.Notify:
			if p.Kind.IsError() || p.Kind == wire.Cookie || p.Kind == wire.Redirect {
				notification, retry = notation(p), p.Kind == wire.Cookie || p.Kind == wire.InvalidKEPayload
			}
		case *wire.SA, *wire.KE:
			return "", false
		}
	}
	return notification, retry
}

// initMessage learns from IKE_SA_INIT what later exchanges and the summary need.
// payloads are those that could be read, all of them if it is whole.
func (d *Decoder) initMessage(h wire.Header, sa *ikeSA, state messageState, payloads []wire.Payload) {
	whole := state == messageWhole
	if h.Exchange != wire.ExchangeIKESAInit && h.Exchange != wire.ExchangeIKESessionResume {
		return
	}
	x := d.init(h.InitiatorSPI)
	x.resumed = h.Exchange == wire.ExchangeIKESessionResume
	if sa != nil && sa.init == nil {
		d.join(sa) // there was no request
	}
	var nonce []byte
	var proposals *wire.SA
	for _, p := range payloads {
		switch p := p.(type) {
		case *wire.Nonce:
			nonce = p.Data
		case *wire.SA:
			proposals = p
		}
	}
	if !h.IsResponse() {
		x.request.note(state, payloads)
		if whole && nonce != nil {
			x.nonce = nonce
		}
		if proposals != nil && !d.rec.Elsewhere && !d.rec.Duplicate && d.rec.Retransmission == 0 {
			x.offers = append(x.offers, offersOf(proposals.Proposals))
			x.offers = x.offers[max(len(x.offers)-offersMax, 0):]
		}
	}
	if h.IsResponse() {
		if refused, retry := refusal(payloads); whole && refused != "" {
			x.refused, x.retry = refused, retry
			d.suggested(payloads, x)
		} else {
			x.response.note(state, payloads)
		}
	}
	if sa == nil && !d.rec.Elsewhere && !d.rec.Duplicate {
		// A request, or an answer that makes no SA: it counts for the SA to come, or
		// for the one that there is.
		messages, bytes, again := &x.messages, &x.bytes, &x.again
		if x.sa != nil {
			messages, bytes, again = &x.sa.messages, &x.sa.bytes, &x.sa.again
		}
		*messages++
		*bytes += uint64(d.rec.Bytes)
		if d.rec.Retransmission > 0 {
			*again++
		}
	}
	if !h.IsResponse() || proposals == nil {
		return
	}
	if len(x.offers) > 0 {
		d.remark(chosenFrom(proposals.Proposals, x.offers...))
	}
	if sa == nil || len(proposals.Proposals) != 1 || len(sa.chosen.Transforms) > 0 && (!whole || sa.nr != nil) {
		return
	}
	sa.chosen = negotiated(proposals.Proposals[0])
	sa.notOffered = len(x.offers) > 0 && chosenFrom(proposals.Proposals, x.offers...) != ""
	if whole {
		sa.nr, sa.ni = nonce, x.nonce
	}
}

// suggested looks at the group that a response wants: one of those that the request
// proposed (RFC 7296 §1.2, §2.6).
func (d *Decoder) suggested(payloads []wire.Payload, x *initExchange) {
	for _, p := range payloads {
		n, ok := p.(*wire.Notify)
		if !ok || n.Kind != wire.InvalidKEPayload || len(n.Data) != 2 || len(x.offers) == 0 {
			continue
		}
		group := suite.Transform{Type: suite.TransformKE, ID: binary.BigEndian.Uint16(n.Data)}
		for _, offers := range x.offers {
			for _, o := range offers {
				if slices.Contains(o.Transforms, group) {
					return
				}
			}
		}
		d.remark(fmt.Sprintf("the response wants %s, which the request did not offer (RFC 7296 §1.2)", transformName(group)))
	}
}

// join gives an SA the exchange that made it, where the capture has it.
func (d *Decoder) join(sa *ikeSA) {
	x, ok := d.ike.inits.get(sa.id.i)
	if !ok {
		return
	}
	sa.init = x
	if x.sa == nil { // else the initiator's SPI made another SA before
		x.sa = sa
		sa.messages += x.messages
		sa.bytes += x.bytes
		sa.again += x.again
	}
}

func offersOf(ps []wire.Proposal) []offer {
	var out []offer
	for _, p := range ps {
		out = append(out, offer{p.Number, negotiated(p)})
	}
	return out
}
