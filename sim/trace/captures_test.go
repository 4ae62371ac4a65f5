package trace

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/ikelab/ikelab/ike/wire"
)

// frame is what an independent program read from a captured frame.
type frame struct {
	Frame     int
	Source    string `json:"src"`
	Kind      string
	SPIi      string `json:"ispi"`
	Exchange  string `json:"exch"`
	Initiator bool
	Response  bool
	MessageID uint32 `json:"mid"`
	ESPSPI    string `json:"esp_spi"`
	Sequence  uint64 `json:"seq"`
}

// In captures that others recorded, every packet is recognised as what an independent program found it to be,
// and SPIs and ordinals belong together one to one.
func TestClassifyCaptures(t *testing.T) {
	captures := os.Getenv("IKELAB_CAPTURES")
	if captures == "" {
		t.Skip("IKELAB_CAPTURES is unset; point it at a folder of recorded captures with their keys")
	}
	expected, err := filepath.Glob(filepath.Join(captures, "*", "*.expected.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	classified := 0
	for _, file := range expected {
		if filepath.Base(filepath.Dir(file)) == "negative" {
			continue // IKEv1, broken messages
		}
		t.Run(filepath.Base(strings.TrimSuffix(file, ".expected.jsonl")), func(t *testing.T) {
			packets := readCapture(t, strings.TrimSuffix(file, ".expected.jsonl"))
			c := NewClassifier(func(netip.Addr) (string, bool) { return "", false })
			flowOfSPI, spiOfFlow := map[string]string{}, map[string]string{}
			last := 0
			for _, want := range readFrames(t, file) {
				if want.Frame == last {
					continue // what is inside the frame
				}
				last = want.Frame
				got := c.Classify(0, packets[want.Frame-1])
				classified++
				var flow string // with its SPI in the place of its ordinal
				switch want.Kind {
				case "esp":
					flow = fmt.Sprintf("esp %s %s", want.Source, want.ESPSPI)
					if !strings.HasPrefix(got.Flow, "esp "+want.Source+">") || got.Ordinal != want.Sequence {
						t.Errorf("frame %d is %+v; want ESP %s with sequence number %d", want.Frame, got, want.ESPSPI, want.Sequence)
					}
				case "ike":
					role, kind := "responder", "request"
					if want.Initiator {
						role = "initiator"
					}
					if want.Response {
						kind = "response"
					}
					flow = fmt.Sprintf("ike %s %s %s %s %s", want.Source, want.SPIi, role, want.Exchange, kind)
					if !strings.HasPrefix(got.Flow, "ike "+want.Source+">") || got.Ordinal>>16 != uint64(want.MessageID) ||
						!strings.Contains(got.Flow, fmt.Sprintf(" %s exchange %d %s", role, exchangeNumber(want.Exchange), kind)) {
						t.Errorf("frame %d is %+v; want %+v", want.Frame, got, want)
					}
				default:
					t.Fatalf("frame %d is of the unknown kind %q", want.Frame, want.Kind)
				}
				if before, ok := flowOfSPI[flow]; ok && before != got.Flow {
					t.Errorf("frame %d: %s is %q, and was %q", want.Frame, flow, got.Flow, before)
				}
				if before, ok := spiOfFlow[got.Flow]; ok && before != flow {
					t.Errorf("frame %d: %q is %s, and was %s", want.Frame, got.Flow, flow, before)
				}
				flowOfSPI[flow], spiOfFlow[got.Flow] = got.Flow, flow
			}
		})
	}
	if classified < 40 {
		t.Errorf("%d frames classified; the captures have more", classified)
	}
}

func exchangeNumber(name string) wire.ExchangeType {
	for exchange := wire.ExchangeIKESAInit; exchange <= wire.ExchangeIKEFollowupKE; exchange++ {
		if exchange.String() == name {
			return exchange
		}
	}
	return 0
}

func readFrames(t *testing.T, path string) (frames []frame) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var f frame
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			t.Fatal(err)
		}
		frames = append(frames, f)
	}
	return frames
}

// readCapture returns the IP packets of a capture in any of libpcap's formats.
func readCapture(t *testing.T, path string) (packets [][]byte) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(path, ".gz") {
		unzipped, err := gzip.NewReader(bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		if content, err = io.ReadAll(unzipped); err != nil {
			t.Fatal(err)
		}
	}
	var source interface {
		gopacket.PacketDataSource
		LinkType() layers.LinkType
	}
	if source, err = pcapgo.NewReader(bytes.NewReader(content)); err != nil {
		if source, err = pcapgo.NewNgReader(bytes.NewReader(content), pcapgo.DefaultNgReaderOptions); err != nil {
			t.Fatal(err)
		}
	}
	for {
		data, _, err := source.ReadPacketData()
		if err == io.EOF {
			return packets
		}
		if err != nil {
			t.Fatal(err)
		}
		var packet []byte
		if network := gopacket.NewPacket(data, source.LinkType(), gopacket.NoCopy).NetworkLayer(); network != nil {
			packet = append(append(packet, network.LayerContents()...), network.LayerPayload()...)
		}
		packets = append(packets, packet)
	}
}
