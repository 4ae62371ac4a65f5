package sim

import (
	"maps"
	"time"
)

// ivsRememberedMax bounds the IVs that the reuse invariant remembers for all
// SAs together, the oldest forgotten first. Sequence numbers, which a counting
// IV follows, are judged without bound.
const ivsRememberedMax = 1 << 18

// reuseInvariant: no SPI, sequence number or IV used twice under a key, and no
// key under two SAs. Sequence numbers of a sender only ever rise (RFC 4303,
// section 3.3.3), so the last one is memory enough.
type reuseInvariant struct {
	verdict
	c       invariantConfig
	senders map[association]*senderState
	keys    map[keyPrint]keyUse
	spis    map[spiAt]association
	ivs     map[ivUnder]struct{}
	ivOrder []ivUnder // a ring
	ivNext  int
}

type senderState struct {
	started  bool
	sequence uint64
}

// keyUse is where a key serves. Both ends of an SA hold the same key, one as a
// sender and one as a receiver, so each role is used once.
type keyUse struct {
	sender, receiver     association
	isSender, isReceiver bool
}

type spiAt struct {
	node int
	spi  uint32
}

type ivUnder struct {
	by association
	iv [ivBytesMax]byte
}

func newReuseInvariant(c invariantConfig) *reuseInvariant {
	return &reuseInvariant{
		c: c, senders: map[association]*senderState{}, keys: map[keyPrint]keyUse{},
		spis: map[spiAt]association{}, ivs: map[ivUnder]struct{}{},
	}
}

func (*reuseInvariant) name() string { return InvariantNoReuse }

func (i *reuseInvariant) observe(o observation) {
	switch o := o.(type) {
	case *installed:
		i.install(o)
	case *removed:
		delete(i.spis, spiAt{o.by.node, o.spiIn})
		delete(i.senders, o.by)
	case *died:
		// Its SPIs are free again; its keys must not come back in another life.
		maps.DeleteFunc(i.spis, func(at spiAt, _ association) bool { return at.node == o.node })
		maps.DeleteFunc(i.senders, func(by association, _ *senderState) bool { return by.node == o.node })
	case *sealed:
		i.seal(o)
	}
}

func (i *reuseInvariant) install(o *installed) {
	i.checks++
	at := spiAt{o.by.node, o.spiIn}
	if other, used := i.spis[at]; used && other != o.by {
		i.violated(o.now, "%s gave the inbound SPI %#08x to two child SAs at a time, its numbers %v and %v",
			i.c.node(o.by.node), o.spiIn, other, o.by)
	}
	if len(i.spis) < associationsFollowedMax {
		i.spis[at] = o.by
	}
	if o.keyIn == o.keyOut {
		i.violated(o.now, "%s uses one key for both directions of its child SA number %v", i.c.node(o.by.node), o.by)
	}
	out, in := i.keys[o.keyOut], i.keys[o.keyIn]
	if out.isSender && out.sender != o.by {
		i.violated(o.now, "%s seals with a key in its child SA number %v that %s seals with in its number %v",
			i.c.node(o.by.node), o.by, i.c.node(out.sender.node), out.sender)
	}
	if in.isReceiver && in.receiver != o.by {
		i.violated(o.now, "%s opens with a key in its child SA number %v that %s opens with in its number %v",
			i.c.node(o.by.node), o.by, i.c.node(in.receiver.node), in.receiver)
	}
	if len(i.keys) >= keysRememberedMax {
		return
	}
	out.sender, out.isSender = o.by, true
	i.keys[o.keyOut] = out
	in = i.keys[o.keyIn]
	in.receiver, in.isReceiver = o.by, true
	i.keys[o.keyIn] = in
}

func (i *reuseInvariant) seal(o *sealed) {
	i.checks++
	s := i.senders[o.by]
	if s == nil {
		if len(i.senders) == associationsFollowedMax {
			return
		}
		s = &senderState{}
		i.senders[o.by] = s
	}
	if s.started && o.sequence <= s.sequence {
		i.violated(o.now, "%s used sequence number %d of SPI %#08x again or out of order: the last one was %d",
			i.c.node(o.by.node), o.sequence, o.spi, s.sequence)
	}
	if o.ivBytes > 0 {
		i.judgeIV(o)
	}
	s.started, s.sequence = true, o.sequence
}

func (i *reuseInvariant) judgeIV(o *sealed) {
	key := ivUnder{o.by, o.iv}
	if _, seen := i.ivs[key]; seen {
		i.violated(o.now, "%s used the IV %x twice under the key of SPI %#08x", i.c.node(o.by.node), o.iv[:o.ivBytes], o.spi)
		return
	}
	if len(i.ivOrder) < ivsRememberedMax {
		i.ivOrder = append(i.ivOrder, key)
	} else {
		delete(i.ivs, i.ivOrder[i.ivNext])
		i.ivOrder[i.ivNext] = key
		i.ivNext = (i.ivNext + 1) % ivsRememberedMax
	}
	i.ivs[key] = struct{}{}
}

func (i *reuseInvariant) finish(time.Duration) InvariantResult { return i.result(i.name()) }
