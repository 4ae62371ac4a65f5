package decode

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/ikelab/ikelab/ike/wire"
)

// Summary writes what was read: the counts, then every IKE SA with its children
// and every ESP and AH SA. interfaceName names the capture's interfaces and may
// be nil.
func (d *Decoder) Summary(w io.Writer, interfaceName func(int) string) error {
	var b strings.Builder
	s := d.stats
	fmt.Fprintf(&b, "%s in %s: %d IKE, %d ESP, %d AH, %d other\n",
		counted(s.Frames, "frame", "frames"), d.end.Sub(d.start), s.IKE, s.ESP, s.AH, s.Other)
	fmt.Fprintf(&b, "decrypted %d of %d; malformed %d; wrong ICV %d", s.Decrypted, s.Decrypted+s.Encrypted, s.Malformed, s.BadICV)
	if s.IKEv1 > 0 {
		fmt.Fprintf(&b, "; IKEv1, not decoded, %d", s.IKEv1)
	}
	for _, part := range []struct {
		name string
		n    uint64
	}{{"remarks", s.Remarks}, {"captured twice", s.Duplicates}} {
		if part.n > 0 {
			fmt.Fprintf(&b, "; %s %d", part.name, part.n)
		}
	}
	b.WriteByte('\n')
	for _, u := range d.unread {
		fmt.Fprintf(&b, "not looked into: %s, %s\n", u.Name, counted(u.Frames, "frame", "frames"))
	}
	if n := len(d.reassembler.waiting.entries); n > 0 {
		fmt.Fprintf(&b, "%s without all fragments\n", count(n, "IP datagram", "IP datagrams"))
	}
	if n := d.reassembler.evicted(); n > 0 {
		fmt.Fprintf(&b, "%s forgotten before all fragments came\n", counted(n, "IP datagram", "IP datagrams"))
	}
	if n := len(d.ike.fragmented.entries); n > 0 {
		fmt.Fprintf(&b, "%s without all fragments\n", count(n, "IKE message", "IKE messages"))
	}
	if n := d.ike.fragmented.dropped; n > 0 {
		fmt.Fprintf(&b, "%s forgotten before all fragments came\n", counted(n, "IKE message", "IKE messages"))
	}
	if dropped := d.ike.sas.dropped; dropped > 0 {
		fmt.Fprintf(&b, "%s more than are kept\n", counted(dropped, "IKE SA", "IKE SAs"))
	}
	if dropped := d.esp.sas.dropped; dropped > 0 {
		fmt.Fprintf(&b, "%s more than are kept\n", counted(dropped, "ESP or AH SA", "ESP or AH SAs"))
	}
	flush := func() error {
		_, err := io.WriteString(w, b.String())
		b.Reset()
		return err
	}
	err := flush()
	d.ike.sas.each(func(_ ikeID, sa *ikeSA) {
		if err == nil {
			sa.summary(&b)
			err = flush()
		}
	})
	d.esp.sas.each(func(_ espID, sa *espSA) {
		if err == nil {
			sa.summary(&b, interfaceName)
			err = flush()
		}
	})
	return err
}

func counted(n uint64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

func (sa *ikeSA) summary(b *strings.Builder) {
	fmt.Fprintf(b, "\nIKE SA %s-%s  %s <> %s\n", sa.id.i, sa.id.r, sa.initiator, sa.responder)
	var parts []string
	switch {
	case sa.notOffered:
		parts = append(parts, proposalName(sa.chosen)+", which was not offered")
	case len(sa.chosen.Transforms) > 0:
		parts = append(parts, proposalName(sa.chosen))
	case sa.keys != nil:
		parts = append(parts, sa.keys.algorithms)
	}
	if sa.rekeyed != "" {
		parts = append(parts, "in place of "+sa.rekeyed)
	} else {
		parts = append(parts, sa.init.faults(sa.wentOn)...)
	}
	if sa.idi != "" || sa.idr != "" {
		parts = append(parts, fmt.Sprintf("%s with %s", or(sa.idi, "?"), or(sa.idr, "?")))
	}
	parts = append(parts, fmt.Sprintf("%s, %d bytes", counted(sa.messages, "message", "messages"), sa.bytes))
	parts = append(parts, counted(sa.again, "retransmission", "retransmissions"))
	if sa.keys == nil {
		parts = append(parts, "no keys")
	}
	if sa.badICV > 0 {
		parts = append(parts, fmt.Sprintf("%d with a wrong ICV", sa.badICV))
	}
	if sa.deleted {
		parts = append(parts, "deleted")
	}
	fmt.Fprintf(b, "  %s\n", strings.Join(parts, "; "))
	for _, c := range sa.children {
		fmt.Fprintf(b, "  CHILD SA %s 0x%s / 0x%s  %s; keys: %s\n", c.protocol,
			hex.EncodeToString(c.spiI), hex.EncodeToString(c.spiR), proposalName(c.chosen), c.keys)
	}
	if sa.more > 0 {
		fmt.Fprintf(b, "  … %s more\n", count(sa.more, "CHILD SA", "CHILD SAs"))
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (sa *espSA) summary(b *strings.Builder, interfaceName func(int) string) {
	protocol := wire.ProtocolESP
	if sa.id.protocol == protocolAH {
		protocol = wire.ProtocolAH
	}
	name := ""
	switch {
	case sa.keys != nil:
		name = sa.keys.algorithms
		if sa.keys.derived {
			name += ", keys derived"
		}
	case len(sa.candidates) > 0:
		name = sa.candidates[0].algorithms + ", which opens none"
	case protocol == wire.ProtocolESP:
		name = "no keys"
	default:
		name = "not checked" // there is no table of AH's keys
	}
	switch {
	case sa.esnKnown && sa.esn:
		name += ", esn"
	case sa.wrapped && !sa.esnKnown:
		name += ", esn as its numbers wrap"
	}
	encapsulated := ""
	if sa.udp {
		encapsulated = " in UDP or TCP"
	}
	fmt.Fprintf(b, "\n%s SA 0x%08x  %s > %s%s  %s\n", protocol, sa.id.spi, sa.src, sa.id.dst, encapsulated, name)
	for _, p := range sa.points {
		where := ""
		if len(sa.points) > 1 {
			where = fmt.Sprintf("interface %d", p.iface)
			if interfaceName != nil && interfaceName(p.iface) != "" {
				where = safe(interfaceName(p.iface))
			}
			where += ": "
		}
		fmt.Fprintf(b, "  %s%s, %d bytes; sequence %d to %d, %d missing; %s", where,
			counted(p.packets, "packet", "packets"), p.bytes, p.low, p.top, p.gaps(), counted(p.replays, "replay", "replays"))
		if p.duplicates > 0 {
			fmt.Fprintf(b, "; captured twice %d", p.duplicates)
		}
		b.WriteByte('\n')
	}
	if sa.elsewhere > 0 {
		fmt.Fprintf(b, "  %s at further points\n", counted(sa.elsewhere, "packet", "packets"))
	}
	fmt.Fprintf(b, "  ICV ok %d, bad %d, unchecked %d", sa.good, sa.bad, sa.unchecked)
	if sa.opaque > 0 {
		fmt.Fprintf(b, "; not decrypted %d", sa.opaque)
	}
	b.WriteByte('\n')
}
