package wire

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// captures is the folder with the packets that other programs recorded.
func captures(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("IKELAB_CAPTURES")
	if dir == "" {
		t.Skip("IKELAB_CAPTURES is not set; point it at the folder of recorded captures")
	}
	return dir
}

// TestAOSPPayloads reads the raw octets of the Android Open Source Project's IKE
// tests, writes them again and expects the same octets.
func TestAOSPPayloads(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(captures(t), "packets", "aosp_ike_2019_vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var files map[string]map[string]string
	if err := json.Unmarshal(raw, &files); err != nil {
		t.Fatal(err)
	}
	value := func(t *testing.T, file, key string) []byte {
		t.Helper()
		for path, values := range files {
			if filepath.Base(path) == file+".java" {
				return unhex(t, strings.ToLower(values[key]))
			}
		}
		t.Fatalf("no vectors of %s", file)
		return nil
	}
	// asPayload puts a generic header in front of a body.
	asPayload := func(body []byte) []byte {
		return append([]byte{0, 0, byte((len(body) + 4) >> 8), byte(len(body) + 4)}, body...)
	}
	// asTS makes a payload of one selector.
	asTS := func(selector []byte) []byte { return asPayload(append([]byte{1, 0, 0, 0}, selector...)) }
	// alone ends the chain that a whole payload with its header is a part of.
	alone := func(payload []byte) []byte { return append([]byte{0}, payload[1:]...) }

	for _, c := range []struct {
		file, key string
		first     PayloadType
		wrap      func([]byte) []byte
		describe  string
	}{
		{"ChildSessionStateMachineTest", "IKE_AUTH_REQ_SA_PAYLOAD", PayloadSA, alone, "SA(1 proposal)"},
		{"ChildSessionStateMachineTest", "IKE_AUTH_RESP_SA_PAYLOAD", PayloadSA, alone, "SA(1 proposal)"},
		{"IkeSaPayloadTest", "OUTBOUND_PROPOSAL_RAW_PACKET", PayloadSA, asPayload, "SA(1 proposal)"},
		{"IkeSaPayloadTest", "INBOUND_PROPOSAL_RAW_PACKET", PayloadSA, asPayload, "SA(1 proposal)"},
		{"IkeSaPayloadTest", "INBOUND_TWO_PROPOSAL_RAW_PACKET", PayloadSA, asPayload, "SA(2 proposals)"},
		{"IkeKePayloadTest", "KE_PAYLOAD_RAW_PACKET", PayloadKE, asPayload, "KE(modp1024)"},
		{"IkeIdPayloadTest", "IPV4_ADDR_ID_PAYLOAD_RESPONDER_HEX_STRING", PayloadIDr, alone, "IDr(192.0.2.100)"},
		{"IkeIdPayloadTest", "IPV6_ADDR_ID_PAYLOAD_RESPONDER_HEX_STRING", PayloadIDr, alone, "IDr(0:2001:0:db8::1)"},
		{"IkeAuthPskPayloadTest", "PSK_AUTH_PAYLOAD_HEX_STRING", PayloadAuth, alone, "AUTH(PSK)"},
		{"IkeAuthDigitalSignPayloadTest", "AUTH_PAYLOAD_BODY_GENERIC_DIGITAL_SIGN_HEX_STRING", PayloadAuth, asPayload, "AUTH(SIG)"},
		{"IkeCertX509CertPayloadTest", "CERT_PAYLOAD_BODY_HEX_STRING", PayloadCert, asPayload, "CERT(X509)"},
		{"IkeDeletePayloadTest", "DELETE_IKE_PAYLOAD_HEX_STRING", PayloadDelete, alone, "D(IKE)"},
		{"IkeDeletePayloadTest", "DELETE_CHILD_PAYLOAD_HEX_STRING", PayloadDelete, alone, "D(ESP 1 SPI)"},
		{"IkeNoncePayloadTest", "NONCE_PAYLOAD_RAW_HEX_STRING", PayloadNonce, alone, "Ni,Nr"},
		{"IkeNotifyPayloadTest", "NOTIFY_PAYLOAD_BODY_RAW_PACKET", PayloadNotify, asPayload, "N(NAT_DETECTION_SOURCE_IP)"},
		{"IkeTsPayloadTest", "TS_INITIATOR_PAYLOAD_HEX_STRING", PayloadTSi, alone, "TSi[0.0.0.0/0 0.0.0.1-255.255.255.254]"},
		{"IkeTrafficSelectorTest", "TS_IPV4_ONE_HEX_STRING", PayloadTSr, asTS, "TSr[192.0.2.100-192.0.3.101[any/16-65520]]"},
		{"IkeTrafficSelectorTest", "TS_IPV4_TWO_HEX_STRING", PayloadTSr, asTS, "TSr[192.0.4.100-192.0.4.102]"},
		{"IkeSkPayloadTest", "IKE_AUTH_INIT_REQUEST_DECRYPTED_BODY_HEX_STRING", PayloadIDi, func(b []byte) []byte { return b }, "IDi(10.80.80.13)"},
	} {
		t.Run(c.key, func(t *testing.T) {
			b := c.wrap(value(t, c.file, c.key))
			ps, err := ParsePayloads(c.first, b)
			if err != nil {
				t.Fatal(err)
			}
			if got := Describe(ps[0]); got != c.describe {
				t.Errorf("described as %q, want %q", got, c.describe)
			}
			again, err := AppendPayloads(nil, ps)
			if err != nil || !bytes.Equal(again, b) {
				t.Errorf("written again (%v)\n%x, want\n%x", err, again, b)
			}
		})
	}
	for _, key := range []string{"TX_IPV4_INVALID_PORT_RANGE_HEX_STRING", "TX_IPV4_INVALID_ADDRESS_RANGE_HEX_STRING"} {
		t.Run(key, func(t *testing.T) {
			if ps, err := ParsePayloads(PayloadTSr, asTS(value(t, "IkeTrafficSelectorTest", key))); err == nil {
				t.Errorf("accepted as %s", Describe(ps[0]))
			}
		})
	}
	for _, c := range []struct{ file, key string }{
		{"IkeSocketTest", "IKE_REQ_MESSAGE_HEX_STRING"},
		{"IkeHeaderTest", "IKE_SA_INIT_RAW_PACKET"},
		{"IkeSkPayloadTest", "IKE_AUTH_INIT_REQUEST_HEX_STRING"},
	} {
		t.Run(c.key, func(t *testing.T) { parseAndWriteAgain(t, value(t, c.file, c.key)) })
	}
	t.Run("malformedIkePacketHexString", func(t *testing.T) {
		_, err := Parse(value(t, "IkeSocketTest", "malformedIkePacketHexString"))
		checkParseError(t, nil, err, &ParseError{Field: "IKE Header", Offset: 24})
	})
}

func parseAndWriteAgain(t *testing.T, b []byte) *Message {
	t.Helper()
	m, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	again, err := m.Append(nil)
	if want := withoutCriticalBits(b); err != nil || !bytes.Equal(again, want) {
		t.Errorf("written again (%v)\n%x, want\n%x", err, again, want)
	}
	return m
}

// withoutCriticalBits is a valid message with the bits cleared that RFC 7296 §3.2
// asks a sender to clear, and that ancient Openswan set.
func withoutCriticalBits(b []byte) []byte {
	b = bytes.Clone(b)
	for at := HeaderBytes; at < len(b); at += int(binary.BigEndian.Uint16(b[at+2:])) {
		b[at+1] &^= criticalBit
	}
	return b
}

// expectedFrame is what an independent program read from one frame.
type expectedFrame struct {
	Frame      int
	Kind       string
	ISPI, RSPI string
	Exch       any // a name for IKEv2, a number for IKEv1
	Initiator  bool
	Response   bool
	MID        uint32
	Len        uint32
	Payloads   []string
	IKEv       int
	Decrypted  bool
	InnerFirst string `json:"inner_first"`
	InnerHex   string `json:"inner_hex"`
	Inner      []string
}

// refusedFrames are frames whose payload is wrong on purpose, with the field.
var refusedFrames = map[string]string{
	"ikev2-id-short.pcap/1": "ID Type",
}

// TestCapturedMessages reads every IKE message of the captures, compares it with
// what an independent program saw, and writes the same octets again; the
// plaintext that the program decrypted is treated alike.
func TestCapturedMessages(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(captures(t), "*", "*.expected.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures with expectations: %v", err)
	}
	messages := 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".expected.jsonl")
		t.Run(name, func(t *testing.T) {
			frames := readFrames(t, strings.TrimSuffix(file, ".expected.jsonl"))
			for _, want := range readExpected(t, file) {
				if want.Kind == "ike" {
					messages++
					t.Run(fmt.Sprint(want.Frame), func(t *testing.T) {
						checkCapturedMessage(t, ikeOf(t, frames[want.Frame-1]), want, refusedFrames[fmt.Sprintf("%s/%d", name, want.Frame)])
					})
				}
			}
		})
	}
	if messages < 66 {
		t.Errorf("only %d messages were looked at", messages)
	}
}

func checkCapturedMessage(t *testing.T, b []byte, want expectedFrame, refusedField string) {
	h, err := ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	if h.InitiatorSPI.String() != want.ISPI || h.ResponderSPI.String() != want.RSPI || h.MessageID != want.MID || h.Length != want.Len {
		t.Errorf("header %+v, want %+v", h, want)
	}
	if want.IKEv == 1 {
		var ve *VersionError
		if _, err := Parse(b); !errors.As(err, &ve) || ve.Major != 1 {
			t.Errorf("IKEv1 gave %v, want a VersionError", err)
		}
		return
	}
	if h.Exchange.String() != want.Exch || h.FromInitiator() != want.Initiator || h.IsResponse() != want.Response {
		t.Errorf("header %+v, want %+v", h, want)
	}
	if refusedField != "" {
		_, err := Parse(b)
		var pe *ParseError
		if !errors.As(err, &pe) || pe.Field != refusedField {
			t.Errorf("got %v, want a ParseError at %s", err, refusedField)
		}
		return
	}
	m := parseAndWriteAgain(t, b)
	if diff := cmp.Diff(want.Payloads, captureNames(m.Payloads)); diff != "" {
		t.Errorf("payloads (-want +got):\n%s", diff)
	}
	if !want.Decrypted {
		return
	}
	sk := m.Payloads[len(m.Payloads)-1].(*Encrypted)
	if want.InnerFirst == "-" {
		want.InnerFirst = PayloadNone.String()
	}
	if sk.First.String() != want.InnerFirst {
		t.Errorf("SK announces %s, want %s", sk.First, want.InnerFirst)
	}
	plain := unhex(t, want.InnerHex)
	ps, err := ParsePayloads(sk.First, plain)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.Inner, captureNames(ps), equalPayloads); diff != "" {
		t.Errorf("payloads inside SK (-want +got):\n%s", diff)
	}
	again, err := AppendPayloads(nil, ps)
	if err != nil || !bytes.Equal(again, plain) {
		t.Errorf("plaintext written again (%v)\n%x, want\n%x", err, again, plain)
	}
}

// captureNames are the payloads in the notation of the expectations.
func captureNames(ps []Payload) []string {
	var names []string
	for _, p := range ps {
		switch p := p.(type) {
		case *Nonce:
			names = append(names, "Nonce")
		case *Notify:
			names = append(names, fmt.Sprintf("N(%d)", p.Kind))
		case *Auth:
			names = append(names, fmt.Sprintf("AUTH(method %d)", p.Method))
		default:
			names = append(names, p.Type().String())
		}
	}
	return names
}

func readExpected(t *testing.T, file string) []expectedFrame {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []expectedFrame
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var e expectedFrame
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, e)
	}
	return all
}

// frame is one captured frame with the link type of its capture.
type frame struct {
	link gopacket.Decoder
	data []byte
}

// readFrames reads a pcap or pcapng file, gzipped or not.
func readFrames(t *testing.T, file string) []frame {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(file, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if raw, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	var source interface {
		gopacket.PacketDataSource
		LinkType() layers.LinkType
	}
	if bytes.HasPrefix(raw, []byte{0x0a, 0x0d, 0x0d, 0x0a}) {
		source, err = pcapgo.NewNgReader(bytes.NewReader(raw), pcapgo.DefaultNgReaderOptions)
	} else {
		source, err = pcapgo.NewReader(bytes.NewReader(raw))
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var frames []frame
	for {
		data, _, err := source.ReadPacketData()
		if err != nil {
			return frames // a cut capture ends here too; its expectations end as well
		}
		frames = append(frames, frame{link: source.LinkType(), data: data})
	}
}

// ikeOf is the IKE message in a frame.
func ikeOf(t *testing.T, f frame) []byte {
	t.Helper()
	packet := gopacket.NewPacket(f.data, f.link, gopacket.Default)
	udp, ok := packet.Layer(layers.LayerTypeUDP).(*layers.UDP)
	if !ok {
		t.Fatalf("no UDP in frame %s", hex.EncodeToString(f.data))
	}
	if udp.SrcPort == 4500 || udp.DstPort == 4500 {
		return bytes.TrimPrefix(udp.Payload, NonESPMarker[:])
	}
	return udp.Payload
}
