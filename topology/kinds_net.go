package topology

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/ike/wire"
)

// target takes a reference to one block of the kinds it names.
type target struct{ of []string }

// examples of references, by kind.
var referenceExamples = map[string]string{
	"node": "node.gw", "interface": "node.gw.interface.wan", "network": "network.office", "link": "link.wifi",
	"connection": "node.gw.connection.office", "child": "node.gw.connection.office.child.net",
	"secret": "secret.psk", "flow": "flow.call", "step": "step.cut", "process": "process.ping",
}

func (k target) what() string {
	var names []string
	for _, of := range k.of {
		names = append(names, referenceExamples[of])
	}
	return "a reference such as " + strings.Join(names, " or ")
}
func (target) value(typed any) cty.Value { return typed.(*item).reference() }
func (k target) decode(s source, v cty.Value) (any, bool) {
	if s.l.refuseCollection(s, v) {
		return nil, false
	}
	if !isReference(v) {
		if v.Type() == cty.String {
			return nil, s.bad("%s takes %s; %q is only a string. Refer to it without quotes.", s.name, k.what(), v.AsString())
		}
		return nil, s.wrongType(k, v)
	}
	it := referenceOf(v)
	if !slices.Contains(k.of, it.schema.name) {
		return nil, s.bad("%s takes %s; %s is a %s.", s.name, k.what(), it.path, it.schema.name)
	}
	return it, true
}

// linkTarget takes a link block or the properties of a link in braces.
type linkTarget struct{}

func (linkTarget) what() string {
	return `a reference such as link.wifi, or an object such as { delay = "35ms" }`
}
func (linkTarget) value(typed any) cty.Value {
	if it := typed.(*item); it.decl != nil {
		return it.reference()
	}
	return object{linkSchema}.value(typed)
}
func (k linkTarget) decode(s source, v cty.Value) (any, bool) {
	switch {
	case isReference(v) || isCollection(v):
		return target{[]string{"link"}}.decode(s, v)
	case v.Type().IsObjectType() || v.Type().IsMapType():
		return object{linkSchema}.decode(s, v)
	}
	return nil, s.wrongType(k, v)
}

// prefixText reads a prefix; the error says what would be right.
func prefixText(t string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(t)
	if err != nil {
		if a, err := netip.ParseAddr(t); err == nil {
			return netip.Prefix{}, fmt.Errorf("%q has no prefix length: write e.g. %q", t, t+"/"+strconv.Itoa(a.BitLen()*3/4))
		}
		return netip.Prefix{}, fmt.Errorf("%q is not a prefix: write e.g. \"10.1.0.0/16\" or \"2001:db8:1::/64\"", t)
	}
	switch {
	case p.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%q is an IPv4 address in IPv6 clothes: write it as IPv4", t)
	case p.Masked() != p:
		return netip.Prefix{}, fmt.Errorf("%q has bits set behind its length: the prefix is %q", t, p.Masked().String())
	}
	return p, nil
}

// prefix is an IP prefix.
type prefix struct{}

func (prefix) what() string              { return `a prefix such as "10.1.0.0/16"` }
func (prefix) value(typed any) cty.Value { return cty.StringVal(typed.(netip.Prefix).String()) }
func (k prefix) decode(s source, v cty.Value) (any, bool) {
	if v.Type() != cty.String {
		return nil, s.wrongType(k, v)
	}
	p, err := prefixText(v.AsString())
	if err != nil {
		return nil, s.bad("%s.", err)
	}
	if why := notUnicast(p.Addr()); why != "" && p.Bits() > 0 {
		return nil, s.bad("%s is %s; a network needs unicast addresses.", p, why)
	}
	return p, true
}

// notUnicast says why no host can have an address; empty when one can.
func notUnicast(a netip.Addr) string {
	switch {
	case a.IsMulticast():
		return "multicast"
	case a.IsLoopback():
		return "loopback"
	case a.IsUnspecified():
		return "the unspecified address"
	case a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "broadcast"
	case a.Is4() && a.As4()[0] == 0:
		return "of \"this network\" (RFC 1122)"
	case a.Is4() && a.As4()[0] >= 240:
		return "reserved (RFC 1112)"
	}
	return ""
}

// destination is where a route leads: a network, a prefix or "default".
type destination struct{}

func (destination) what() string {
	return `a network such as network.office, a prefix such as "10.1.0.0/16", or "default"`
}
func (destination) value(any) cty.Value { return cty.DynamicVal }
func (k destination) decode(s source, v cty.Value) (any, bool) {
	switch {
	case isReference(v) || isCollection(v):
		return target{[]string{"network"}}.decode(s, v)
	case v.Type() != cty.String:
		return nil, s.wrongType(k, v)
	case v.AsString() == "default":
		return "default", true
	}
	p, err := prefixText(v.AsString())
	if err != nil {
		return nil, s.bad("%s, or \"default\".", err)
	}
	return p, true
}

// addressText reads an address that a host can have.
func addressText(t string) (netip.Addr, error) {
	a, err := netip.ParseAddr(t)
	switch {
	case err != nil && strings.Contains(t, "/"):
		return a, fmt.Errorf("%q is a prefix: write one address", t)
	case err != nil:
		return a, fmt.Errorf("%q is not an address: write e.g. \"192.0.2.1\" or \"2001:db8::1\"", t)
	case a.Zone() != "":
		return a, fmt.Errorf("%q has a zone: leave %q away", t, "%"+a.Zone())
	case a.Is4In6():
		return a, fmt.Errorf("%q is an IPv4 address in IPv6 clothes: write %q", t, a.Unmap().String())
	}
	if why := notUnicast(a); why != "" {
		return a, fmt.Errorf("%q is %s: no host has it", t, why)
	}
	return a, nil
}

// ifaceAddress is an address of an interface, with or without prefix length.
type ifaceAddress struct{}

func (ifaceAddress) what() string { return `an address such as "10.1.0.5" or "10.1.0.5/16"` }
func (ifaceAddress) value(typed any) cty.Value {
	return cty.StringVal(typed.(statedAddress).addr.String())
}

// statedAddress is an address of the file; bits is its prefix length, -1 for none.
type statedAddress struct {
	addr netip.Addr
	bits int
}

func (k ifaceAddress) decode(s source, v cty.Value) (any, bool) {
	if v.Type() != cty.String {
		return nil, s.wrongType(k, v)
	}
	t, bits := v.AsString(), -1
	if p, err := netip.ParsePrefix(t); err == nil {
		t, bits = p.Addr().String(), p.Bits()
	}
	a, err := addressText(t)
	if err != nil {
		return nil, s.bad("%s.", err)
	}
	return statedAddress{a, bits}, true
}

// peers is a list element of local_addrs and remote_addrs: an interface, a node with
// one interface, an address or %any. It decodes to []located of netip.Addr, without
// elements for %any.
type peers struct{}

func (peers) what() string {
	return `an interface such as node.gw.interface.wan, an address, or "%any"`
}
func (k peers) value(typed any) cty.Value {
	if many, is := typed.([]located); is {
		return list{k, 0}.value(many)
	}
	return cty.StringVal(typed.(netip.Addr).String())
}
func (k peers) decode(s source, v cty.Value) (any, bool) {
	if s.l.refuseCollection(s, v) {
		return nil, false
	}
	if isReference(v) {
		it := referenceOf(v)
		if it.schema.name == "node" {
			interfaces := it.children("interface")
			if len(interfaces) != 1 {
				return nil, s.bad("%s has %d interfaces; name one of them, e.g. %s.interface.%s.", it.path, len(interfaces), it.path, firstName(interfaces))
			}
			it = interfaces[0]
		}
		if it.schema.name != "interface" {
			return nil, s.bad("%s takes %s; %s is a %s.", s.name, k.what(), it.path, it.schema.name)
		}
		addresses, ok := it.addresses()
		out := make([]located, 0, len(addresses))
		for _, a := range addresses {
			out = append(out, located{a.Addr(), s.rng})
		}
		return out, ok
	}
	if v.Type() != cty.String {
		return nil, s.wrongType(k, v)
	}
	t := v.AsString()
	if t == "%any" || t == "0.0.0.0" || t == "::" {
		return []located{}, true
	}
	switch {
	case t == "%any4" || t == "%any6" || strings.Contains(t, "/"):
		s.l.refuse(s.rng, "restricting "+s.name+" to "+t)
		return []located{}, s.l.opts.despiteRefusals
	case strings.HasPrefix(t, "%"):
		return nil, s.bad("There is no %q; write \"%%any\" or an address.", t)
	}
	a, err := addressText(t)
	if err != nil {
		return nil, s.bad("%s. Names are not resolved; refer to an interface, e.g. node.gw.interface.wan.", err)
	}
	return []located{{a, s.rng}}, true
}

func firstName(items []*item) string {
	if len(items) == 0 {
		return "NAME"
	}
	return items[0].name
}

// identity is an IKE identity in swanctl's notation.
type identity struct{}

func (identity) what() string {
	return `an identity such as "gw.example.org", "user@example.org", an address, or "%any"`
}
func (identity) value(typed any) cty.Value { return cty.StringVal(typed.(Identity).Text) }
func (k identity) decode(s source, v cty.Value) (any, bool) {
	if v.Type() != cty.String {
		return nil, s.wrongType(k, v)
	}
	t := v.AsString()
	id, err := parseIdentity(t)
	var refused *wire.IdentityError
	switch {
	case err == nil:
		return id, true
	case errors.As(err, &refused) && refused.Later != "":
		s.l.report(hcl.DiagError, s.rng, refusal{}, "an identity that is "+refused.Later+" is not available yet", refused.Reason+".")
		return Identity{}, s.l.opts.despiteRefusals
	}
	return nil, s.bad("%s.", err)
}

// parseIdentity follows swanctl's rules (wire.ParseIdentity). The zero Identity is %any.
func parseIdentity(t string) (Identity, error) {
	kind, data, err := wire.ParseIdentity(t)
	if err != nil || kind == 0 {
		return Identity{}, err
	}
	return Identity{Type: kind, Data: data, Text: t}, nil
}

// proposal is a list element of proposals and esp_proposals. It decodes to []located
// of suite.Proposal: "default" is several.
type proposal struct{ protocol suite.Protocol }

func (k proposal) what() string {
	if k.protocol == suite.ProtocolIKE {
		return `a proposal such as "aes256gcm16-prfsha384-x25519"`
	}
	return `a proposal such as "aes256gcm16-esn"`
}
func (proposal) value(typed any) cty.Value { return cty.StringVal(typed.(suite.Proposal).String()) }
func (k proposal) decode(s source, v cty.Value) (any, bool) {
	if v.Type() != cty.String {
		return nil, s.wrongType(k, v)
	}
	t := v.AsString()
	parsed, err := suite.ParseProposals(k.protocol, t)
	if err != nil {
		if parsed = k.wrong(s, t, err); parsed == nil {
			return nil, false
		}
	}
	out := make([]located, 0, len(parsed))
	for _, p := range parsed {
		out = append(out, located{p, s.rng})
	}
	return out, true
}

// sentence begins with a capital, unless it begins with a quotation.
func sentence(t string) string {
	if t == "" {
		return t
	}
	return strings.ToUpper(t[:1]) + t[1:]
}

// traffic is a list element of local_ts and remote_ts in swanctl's notation. It
// decodes to []located of TrafficSelector; "dynamic" to one whose prefix is zero.
type traffic struct{}

func (traffic) what() string {
	return `a network such as network.office, a prefix such as "10.1.0.0/16" or "10.1.0.0/16[tcp/443]", or "dynamic"`
}
func (traffic) value(typed any) cty.Value {
	ts := typed.(TrafficSelector)
	if !ts.Prefix.IsValid() {
		return cty.StringVal("dynamic")
	}
	return cty.StringVal(ts.Prefix.String())
}

// trafficPattern is prefix or address, and protocol with port in brackets.
var trafficPattern = regexp.MustCompile(`^([^\[\]]*)(?:\[([^\[\]/]*)(?:/([^\[\]/]*))?\])?$`)

// protocolNumbers are the protocols that a selector can name.
var protocolNumbers = map[string]uint8{
	"any": 0, "icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ah": 51,
	"icmpv6": 58, "ipv6-icmp": 58, "ospf": 89, "l2tp": 115, "sctp": 132, "udplite": 136,
}

func (k traffic) decode(s source, v cty.Value) (any, bool) {
	if s.l.refuseCollection(s, v) {
		return nil, false
	}
	if isReference(v) {
		it := referenceOf(v)
		var prefixes []netip.Prefix
		var ok bool
		switch it.schema.name {
		case "network":
			prefixes, ok = it.prefixes()
		case "interface":
			var addresses []netip.Prefix
			addresses, ok = it.addresses()
			for _, a := range addresses {
				prefixes = append(prefixes, netip.PrefixFrom(a.Addr(), a.Addr().BitLen()))
			}
		default:
			return nil, s.bad("%s takes %s; %s is a %s.", s.name, k.what(), it.path, it.schema.name)
		}
		out := make([]located, 0, len(prefixes))
		for _, p := range prefixes {
			out = append(out, located{TrafficSelector{Prefix: p, ToPort: 65535}, s.rng})
		}
		return out, ok
	}
	if v.Type() != cty.String {
		return nil, s.wrongType(k, v)
	}
	ts, later, err := parseTraffic(v.AsString())
	switch {
	case later != "":
		s.l.refuse(s.rng, later)
		return []located{{TrafficSelector{ToPort: 65535}, s.rng}}, s.l.opts.despiteRefusals
	case err != nil:
		return nil, s.bad("%s.", err)
	}
	return []located{{ts, s.rng}}, true
}

// parseTraffic reads one selector; later names what this version lacks.
func parseTraffic(t string) (ts TrafficSelector, later string, err error) {
	m := trafficPattern.FindStringSubmatch(t)
	if m == nil {
		return ts, "", fmt.Errorf("%q is not a traffic selector: write e.g. \"10.1.0.0/16\" or \"10.1.0.0/16[tcp/443]\"", t)
	}
	ts.ToPort = 65535
	hasBrackets := strings.Contains(t, "[")
	switch {
	case m[1] == "dynamic" && hasBrackets:
		return ts, "\"dynamic\" with a protocol", nil
	case m[1] == "dynamic":
		return ts, "", nil
	case strings.Contains(m[1], "-"):
		return ts, "a range of addresses in a traffic selector", nil
	}
	if a, err := netip.ParseAddr(m[1]); err == nil && a.Zone() == "" && !a.Is4In6() {
		ts.Prefix = netip.PrefixFrom(a, a.BitLen())
	} else if ts.Prefix, err = prefixText(m[1]); err != nil {
		return ts, "", err
	}
	if !hasBrackets {
		return ts, "", nil
	}
	number, known := protocolNumbers[strings.ToLower(m[2])]
	if !known {
		n, err := strconv.ParseUint(m[2], 10, 8)
		if err != nil {
			var names []string
			for name := range protocolNumbers {
				names = append(names, name)
			}
			slices.Sort(names)
			return ts, "", fmt.Errorf("there is no protocol %q; %s", m[2], strings.TrimSuffix(didYouMean(m[2], names), "."))
		}
		number = uint8(n)
	}
	ts.Protocol = number
	if m[3] == "" || m[3] == "any" {
		return ts, "", nil
	}
	if m[3] == "opaque" {
		return ts, "an opaque port in a traffic selector", nil
	}
	if !slices.Contains([]uint8{6, 17, 132, 136}, ts.Protocol) {
		return ts, "", fmt.Errorf("protocol %q has no ports: leave \"/%s\" out", m[2], m[3])
	}
	from, to, isRange := strings.Cut(m[3], "-")
	if !isRange {
		to = from
	}
	low, errLow := strconv.ParseUint(from, 10, 16)
	high, errHigh := strconv.ParseUint(to, 10, 16)
	if errLow != nil || errHigh != nil || low > high {
		return ts, "", fmt.Errorf("%q is not a port: write a number from 0 to 65535 or a range such as \"1024-65535\"", m[3])
	}
	ts.FromPort, ts.ToPort = uint16(low), uint16(high)
	return ts, "", nil
}

// endpoint is one end of a flow: a node, an interface or, where a lab allows it, an
// address.
type endpoint struct{ address bool }

func (k endpoint) what() string {
	w := "a node such as node.pbx or an interface such as node.pbx.interface.lan"
	if k.address {
		w += ", or an address of one"
	}
	return w
}
func (endpoint) value(typed any) cty.Value {
	if it, is := typed.(*item); is {
		return it.reference()
	}
	return cty.StringVal(typed.(netip.Addr).String())
}
func (k endpoint) decode(s source, v cty.Value) (any, bool) {
	if isReference(v) || isCollection(v) || !k.address {
		return target{[]string{"node", "interface"}}.decode(s, v)
	}
	if v.Type() != cty.String {
		return nil, s.wrongType(k, v)
	}
	a, err := addressText(v.AsString())
	if err != nil {
		return nil, s.bad("%s.", err)
	}
	return a, true
}
