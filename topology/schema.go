package topology

import (
	"math/big"
	"regexp"
	"time"

	"github.com/ikelab/ikelab/ike/settings"
	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/impair"
)

// attribute is one attribute of a block.
type attribute struct {
	name     string
	kind     kind
	required bool
	// fallback is the typed value of an attribute that the file leaves out, nil for
	// none.
	fallback any
	// later says that this version refuses the attribute by name.
	later bool
	// aka are names that people write instead.
	aka []string
}

// blockSchema is what may stand in a block, or in an object in braces.
type blockSchema struct {
	name string
	// labelled blocks carry one name; free says that the name is any text.
	labelled, free bool
	// repeatable blocks may say count or for_each.
	repeatable bool
	// single blocks occur at most once in their parent.
	single bool
	// required blocks occur at least once in their parent.
	required bool
	// open blocks take attributes of any name (locals).
	open       bool
	attributes []attribute
	blocks     []*blockSchema
	// later blocks are refused by name; what stands in them is not looked at.
	later bool
	// example is the object form, for messages.
	example string
}

// attribute answers the attribute of the name, or nil.
func (b *blockSchema) attribute(name string) *attribute {
	for i := range b.attributes {
		if b.attributes[i].name == name {
			return &b.attributes[i]
		}
	}
	return nil
}

// block answers the nested block of the name, or nil.
func (b *blockSchema) block(name string) *blockSchema {
	for _, nested := range b.blocks {
		if nested.name == name {
			return nested
		}
	}
	return nil
}

// later makes attributes that are refused by name.
func later(names ...string) []attribute {
	out := make([]attribute, 0, len(names))
	for _, n := range names {
		out = append(out, attribute{name: n, later: true, kind: anything{}})
	}
	return out
}

var (
	namePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)
	keyPattern  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

	probability = decimal{0, 1, "a probability between 0 and 1"}
	port        = integer{min: 1, max: 65535}
)

// The blocks of a lab. docs/language.md has a line for every one and for every
// attribute; a test holds it to that.
var (
	labSchema = &blockSchema{name: "lab", labelled: true, single: true, required: true, attributes: []attribute{
		{name: "description", kind: text{empty: true}, fallback: ""},
		{name: "seed", kind: integer{max: 1<<64 - 1}, fallback: uint64(1)},
		{name: "duration", kind: span{min: time.Millisecond}, fallback: 60 * time.Second, aka: []string{"until", "length"}},
		{name: "epoch", kind: timestamp{}, fallback: mustTime(epochDefault)},
		{name: "engines_differ", kind: text{}, fallback: ""},
	}, blocks: []*blockSchema{invariantsSchema}}

	invariantsSchema = &blockSchema{name: "invariants", single: true, attributes: []attribute{
		{name: "off", kind: list{choice{of: invariantNames}, len(invariantNames)}, required: true},
	}}

	variableSchema = &blockSchema{name: "variable", labelled: true, attributes: []attribute{
		{name: "type", kind: anything{}},
		{name: "default", kind: anything{}},
		{name: "description", kind: text{empty: true}, fallback: ""},
	}, blocks: []*blockSchema{
		{name: "validation", attributes: []attribute{
			{name: "condition", kind: anything{}, required: true},
			{name: "error_message", kind: text{}, required: true},
		}},
	}}

	localsSchema = &blockSchema{name: "locals", open: true}

	networkSchema = &blockSchema{name: "network", labelled: true, repeatable: true, attributes: []attribute{
		{name: "prefix", kind: prefix{}, aka: []string{"cidr", "subnet"}},
		{name: "prefixes", kind: list{prefix{}, prefixesPerNetworkMax}, aka: []string{"cidrs", "subnets"}},
	}}

	jitterSchema = &blockSchema{name: "jitter", example: `{ distribution = "normal", sigma = "2ms" }`, attributes: []attribute{
		{name: "distribution", kind: choice{of: []string{string(impair.Uniform), string(impair.Normal), string(impair.Pareto)}}, fallback: string(impair.Uniform)},
		{name: "sigma", kind: span{max: impair.DelayMax}, required: true},
		{name: "keep_order", kind: boolean{}, fallback: false},
	}}

	lossSchema = &blockSchema{name: "loss", example: `{ model = "random", p = 0.05 }`, attributes: []attribute{
		{name: "model", kind: choice{of: []string{string(impair.LossRandom), string(impair.LossGilbertElliott), string(impair.LossNone)}}, fallback: string(impair.LossRandom)},
		{name: "p", kind: probability, fallback: 0.0},
		{name: "r", kind: probability, fallback: 0.0},
		{name: "deliver_bad", kind: probability, fallback: 0.0},
		{name: "loss_good", kind: probability, fallback: 0.0},
	}}

	queueSchema = &blockSchema{name: "queue", example: `{ discipline = "droptail", limit = "100ms" }`, attributes: []attribute{
		{name: "discipline", kind: choice{of: []string{impair.Droptail}, later: []string{"codel", "fq_codel", "red", "pie"}}, fallback: impair.Droptail},
		{name: "limit", kind: queueLimit{}},
	}}

	linkSchema = &blockSchema{name: "link", labelled: true, repeatable: true, example: `{ delay = "35ms" }`, attributes: append([]attribute{
		{name: "delay", kind: span{max: impair.DelayMax}, fallback: time.Duration(0), aka: []string{"latency"}},
		{name: "jitter", kind: object{jitterSchema}},
		{name: "loss", kind: object{lossSchema}},
		{name: "duplicate", kind: probability, fallback: 0.0},
		{name: "reorder", kind: probability, fallback: 0.0},
		{name: "corrupt", kind: probability, fallback: 0.0},
		{name: "rate", kind: bitRate{impair.RateBitsPerSecondMin, impair.RateBitsPerSecondMax}, aka: []string{"bandwidth"}},
		{name: "queue", kind: object{queueSchema}},
		{name: "mtu", kind: integer{min: mtuBytesMin, max: mtuBytesMax, unit: "bytes"}},
	}, later("middlebox")...)}

	interfaceSchema = &blockSchema{name: "interface", labelled: true, attributes: append([]attribute{
		{name: "network", kind: target{[]string{"network"}}, required: true},
		{name: "address", kind: ifaceAddress{}, aka: []string{"ip"}},
		{name: "addresses", kind: list{ifaceAddress{}, addressesPerIfaceMax}, aka: []string{"ips"}},
		{name: "link", kind: linkTarget{}},
		{name: "up", kind: boolean{}, fallback: true},
		{name: "mtu", kind: integer{min: mtuBytesMin, max: mtuBytesMax, unit: "bytes"}},
	}, later("dhcp", "slaac")...)}

	routeSchema = &blockSchema{name: "route", attributes: []attribute{
		{name: "to", kind: destination{}, required: true, aka: []string{"destination", "prefix"}},
		{name: "via", kind: peers{}, aka: []string{"gateway", "next_hop"}},
		{name: "interface", kind: target{[]string{"interface"}}, aka: []string{"dev"}},
	}}

	authAttributes = append([]attribute{
		{name: "auth", kind: choice{of: []string{AuthPSK}, later: []string{
			"pubkey", "rsa", "ecdsa", "ed25519", "ed448", "null", "eap", "eap-tls", "eap-mschapv2", "eap-md5", "eap-gtc", "eap-radius", "eap-ttls", "eap-peap", "eap-aka", "eap-sim", "eap-identity", "eap-dynamic",
		}}, fallback: AuthPSK, aka: []string{"method"}},
		{name: "id", kind: identity{}, fallback: Identity{}, aka: []string{"identity"}},
	}, later("cert", "certs", "cacert", "cacerts", "pubkeys", "ca_id", "groups", "cert_policy", "revocation", "eap_id", "aaa_id", "round", "ppk_id")...)

	localSchema  = &blockSchema{name: "local", single: true, attributes: authAttributes}
	remoteSchema = &blockSchema{name: "remote", single: true, attributes: authAttributes}

	childSchema = &blockSchema{name: "child", labelled: true, attributes: append([]attribute{
		{name: "local_ts", kind: list{traffic{}, settings.SelectorsPerEndMax}},
		{name: "remote_ts", kind: list{traffic{}, settings.SelectorsPerEndMax}},
		{name: "esp_proposals", kind: list{proposal{suite.ProtocolESP}, settings.ProposalsPerListMax}, aka: []string{"proposals"}},
		{name: "start_action", kind: choice{of: []string{StartNone, StartStart, StartTrap}, later: []string{"trap|start", "start|trap"}}, fallback: StartNone},
		{name: "mode", kind: choice{of: []string{"tunnel"}, later: []string{"transport", "transport_proxy", "beet", "iptfs", "pass", "drop"}}, fallback: "tunnel"},
		{name: "replay_window", kind: integer{min: replayWindowPacketsMin, max: replayWindowPacketsMax, unit: "packets", orZero: true}, fallback: uint64(32)},
	}, later("ah_proposals", "rekey_time", "life_time", "rand_time", "rekey_bytes", "life_bytes", "rand_bytes",
		"rekey_packets", "life_packets", "rand_packets", "dpd_action", "close_action", "inactivity", "ipcomp",
		"policies", "priority", "interface", "updown", "hostaccess", "reqid", "mark_in", "mark_out", "set_mark_in",
		"set_mark_out", "if_id_in", "if_id_out", "label", "label_mode", "tfc_padding", "hw_offload", "copy_df",
		"copy_ecn", "copy_dscp", "per_cpu_sas", "sha256_96")...)}

	connectionSchema = &blockSchema{name: "connection", labelled: true, attributes: append([]attribute{
		{name: "local_addrs", kind: list{peers{}, settings.AddressesPerListMax}, aka: []string{"local_addr", "left"}},
		{name: "remote_addrs", kind: list{peers{}, settings.AddressesPerListMax}, aka: []string{"remote_addr", "right", "peer"}},
		{name: "local_port", kind: port, fallback: uint64(500)},
		{name: "remote_port", kind: port, fallback: uint64(500)},
		{name: "version", kind: integer{min: 2, max: 2}, fallback: uint64(2)},
		{name: "proposals", kind: list{proposal{suite.ProtocolIKE}, settings.ProposalsPerListMax}, aka: []string{"ike_proposals"}},
		{name: "encap", kind: boolean{}, fallback: false, aka: []string{"forceencaps"}},
		{name: "dpd_delay", kind: span{min: settings.RepeatedMin, orZero: true}, fallback: time.Duration(0)},
		{name: "keep_alive", kind: span{min: settings.RepeatedMin, orZero: true}, fallback: 20 * time.Second, aka: []string{"keepalive"}},
		{name: "keyingtries", kind: integer{min: 0, max: settings.KeyingTriesMax}, fallback: uint64(1)},
		{name: "retransmit_timeout", kind: span{min: retransmitTimeoutMin, max: settings.RetransmitWaitMax}, fallback: 4 * time.Second},
		{name: "retransmit_base", kind: decimal{settings.RetransmitBaseMilliMin / 1000.0, settings.RetransmitBaseMilliMax / 1000.0, "a factor between 1 and 10"}, fallback: 1.8},
		{name: "retransmit_tries", kind: integer{max: settings.RetransmitTriesMax}, fallback: uint64(5)},
		{name: "retransmit_limit", kind: span{max: settings.RetransmitWaitMax}, fallback: time.Duration(0)},
	}, later("mobike", "rekey_time", "reauth_time", "over_time", "rand_time", "pools", "vips", "fragmentation",
		"childless", "unique", "send_cert", "send_certreq", "dpd_timeout", "ppk_id", "ppk_required", "aggressive",
		"pull", "dscp", "ocsp", "mediation", "mediated_by", "mediation_peer", "if_id_in", "if_id_out", "cookies")...),
		blocks: []*blockSchema{localSchema, remoteSchema, childSchema}}

	nodeSchema = &blockSchema{name: "node", labelled: true, repeatable: true, attributes: append([]attribute{
		{name: "implementation", kind: choice{of: []string{ImplementationIkelab, ImplementationHost}, later: []string{"strongswan", "libreswan", "openiked"}}, fallback: ImplementationIkelab},
		{name: "dataplane", kind: choice{of: []string{DataplaneUserspace}, later: []string{"kernel"}}, fallback: DataplaneUserspace},
		{name: "forward", kind: boolean{}, aka: []string{"forwarding", "router"}},
	}, later("image", "command", "cpu")...),
		blocks: []*blockSchema{interfaceSchema, routeSchema, connectionSchema, {name: "pool", labelled: true, later: true}}}

	secretSchema = &blockSchema{name: "secret", labelled: true, repeatable: true, attributes: []attribute{
		{name: "secret", kind: text{bytes: secretBytesMax, means: "a pre-shared key: text, 0x and hexadecimal digits, or 0s and Base64"}, required: true, aka: []string{"key", "psk", "value"}},
		{name: "ids", kind: list{identity{}, 256}, aka: []string{"id", "identities"}},
		{name: "nodes", kind: list{target{[]string{"node"}}, instancesMax}, aka: []string{"node"}},
	}}

	flowSchema = &blockSchema{name: "flow", labelled: true, repeatable: true, attributes: append([]attribute{
		{name: "from", kind: endpoint{}, required: true, aka: []string{"source"}},
		{name: "to", kind: endpoint{address: true}, required: true, aka: []string{"destination"}},
		{name: "protocol", kind: choice{of: []string{ProtocolUDP, ProtocolICMP}, later: []string{"tcp", "sctp"}}, fallback: ProtocolUDP},
		{name: "rate", kind: packetRate{}, fallback: flowRate{packetsPerSecond: big.NewRat(1, 1)}},
		{name: "size", kind: size{min: flowSizeBytesMin, max: flowSizeBytesMax}, fallback: uint64(64)},
		{name: "packets", kind: integer{min: 1, max: FlowPacketsMax}},
		{name: "start", kind: span{}, fallback: time.Duration(0)},
		{name: "stop", kind: span{}},
		{name: "source_port", kind: port},
		{name: "destination_port", kind: port, aka: []string{"port"}},
	}, later("dscp", "bidirectional")...)}

	selectorSchema = &blockSchema{name: "on", example: `{ event = "ike-established", node = node.gw }`, attributes: []attribute{
		{name: "event", kind: text{}, required: true},
		{name: "node", kind: target{[]string{"node"}}},
		{name: "connection", kind: connectionName{}},
		{name: "nth", kind: integer{min: 1, max: 1 << 32}, fallback: uint64(1)},
	}}

	stepSchema = &blockSchema{name: "step", labelled: true, repeatable: true, attributes: []attribute{
		{name: "at", kind: span{}},
		{name: "on", kind: object{selectorSchema}},
		{name: "after", kind: span{}, fallback: time.Duration(0)},
		{name: "action", kind: actionKind{}, required: true, aka: []string{"do", "actions"}},
	}}

	processSchema = &blockSchema{name: "process", labelled: true, repeatable: true, attributes: []attribute{
		{name: "node", kind: target{[]string{"node"}}, required: true},
		{name: "command", kind: list{argument{}, argumentsMax}, required: true, aka: []string{"cmd", "argv", "run", "exec"}},
		{name: "env", kind: environment{}, fallback: []string(nil), aka: []string{"environment"}},
		{name: "stdin", kind: text{empty: true}, fallback: "", aka: []string{"input"}},
		{name: "start", kind: span{}, fallback: time.Duration(0), aka: []string{"at"}},
		{name: "on", kind: object{selectorSchema}},
		{name: "after", kind: span{}, fallback: time.Duration(0)},
		{name: "stop", kind: span{}},
		{name: "timeout", kind: span{min: processTimeoutMin, orZero: true}, fallback: time.Duration(0)},
	}}

	expectSchema = &blockSchema{name: "expect", labelled: true, free: true, repeatable: true, attributes: []attribute{
		{name: "condition", kind: anything{}, required: true},
		{name: "error_message", kind: anything{}},
		{name: "after", kind: span{}},
		{name: "within", kind: span{}},
		{name: "always", kind: boolean{}, fallback: false},
	}}

	// natSchema is looked at although NAT is refused: what lies behind a NAT box
	// would otherwise be reported as unreachable.
	natSchema = &blockSchema{name: "nat", labelled: true, repeatable: true, later: true, attributes: []attribute{
		{name: "inside", kind: target{[]string{"network"}}},
		{name: "outside", kind: target{[]string{"network"}}},
	}, blocks: []*blockSchema{interfaceSchema}}

	rootSchema = &blockSchema{name: "the lab", blocks: []*blockSchema{
		labSchema, variableSchema, localsSchema, networkSchema, linkSchema, nodeSchema, secretSchema,
		flowSchema, stepSchema, processSchema, expectSchema, natSchema,
		{name: "pki", labelled: true, later: true},
		{name: "pool", labelled: true, later: true},
		{name: "fault", labelled: true, later: true},
		{name: "middlebox", labelled: true, later: true},
		{name: "radius", labelled: true, later: true},
	}}
)

// referable are the top-level blocks that expressions can name, by their root.
var referable = []string{"network", "link", "node", "secret", "flow", "step", "process"}

// roots are the names with which a reference can begin.
var roots = []string{"var", "local", "lab", "count", "each", "network", "link", "node", "secret", "flow", "step", "process", "result"}

func mustTime(t string) time.Time {
	parsed, err := time.Parse(time.RFC3339, t)
	if err != nil {
		panic(err) // the argument is a constant of this package
	}
	return parsed
}
