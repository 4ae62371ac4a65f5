package decode

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ikelab/ikelab/esp"
	"github.com/ikelab/ikelab/ike/suite"
	"github.com/ikelab/ikelab/node/host/hosttest"
	"github.com/ikelab/ikelab/sim/capture"
)

// benchPackets is the size of the generated capture.
const benchPackets = 200_000

// generate writes a capture of ESP packets of a tunnel, 64 to 1400 octets inside,
// with the tables that open it, and returns its folder.
func generate(b *testing.B, packets int) string {
	b.Helper()
	folder := b.TempDir()
	file, err := os.Create(filepath.Join(folder, "capture.pcapng"))
	if err != nil {
		b.Fatal(err)
	}
	out := bufio.NewWriter(file)
	w := capture.NewWriter(out, time.Unix(1_700_000_000, 0))
	end := w.AddInterface("gw-a.wan")
	key := make([]byte, 20)
	for i := range key {
		key[i] = byte(i * 7)
	}
	encr := suite.Transform{Type: suite.TransformENCR, ID: suite.EncrAESGCM16, KeyBits: 128}
	sa, err := esp.NewOutbound(esp.SAConfig{SPI: 0x12345678, Encr: encr, EncrKey: key})
	if err != nil {
		b.Fatal(err)
	}
	sizes := []int{64, 128, 576, 1400}
	for i := range packets {
		inner := ipv4("10.1.0.1", "10.2.0.1", 17, udp(5000, 6000, make([]byte, sizes[i%len(sizes)]-28)))
		binary.BigEndian.PutUint32(inner[28:], uint32(i))
		packet, err := seal(sa, inner)
		if err != nil {
			b.Fatal(err)
		}
		if err := w.Packet(time.Duration(i)*time.Microsecond, end, ipv4("192.0.2.1", "192.0.2.2", 50, packet)); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	if err := out.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := file.Close(); err != nil {
		b.Fatal(err)
	}
	if _, err := capture.WriteProfile(func(name string) (io.WriteCloser, error) {
		return os.Create(filepath.Join(folder, name))
	}, nil, []capture.ESPKeys{{
		Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"), SPI: 0x12345678, Encr: encr, EncrKey: key,
	}}); err != nil {
		b.Fatal(err)
	}
	return folder
}

// seal is the next ESP packet of an SA.
func seal(sa *esp.Outbound, inner []byte) ([]byte, error) {
	seq, err := sa.Reserve(1)
	if err != nil {
		return nil, err
	}
	return sa.Seal(nil, seq, inner, esp.NextHeaderIPv4)
}

// decodeAll decodes a generated capture as the command does, and fails unless
// every packet opened.
func decodeAll(b *testing.B, folder string, packets int, asJSON bool) time.Duration {
	b.Helper()
	start := time.Now()
	keys, _, err := LoadKeys(os.DirFS(folder))
	if err != nil {
		b.Fatal(err)
	}
	file, err := os.Open(filepath.Join(folder, "capture.pcapng"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	r, err := NewReader(file)
	if err != nil {
		b.Fatal(err)
	}
	var text Text
	var line []byte
	out := bufio.NewWriterSize(io.Discard, 1<<16)
	d := NewDecoder(Options{Keys: keys}, func(r *Record) error {
		if asJSON {
			line = AppendJSON(line[:0], r)
		} else {
			line = text.Append(line[:0], r)
		}
		_, err := out.Write(line)
		return err
	})
	if err := d.Run(r); err != nil {
		b.Fatal(err)
	}
	if got := d.Stats().Decrypted; got != uint64(packets) || !d.Stats().Clean() {
		b.Fatalf("decrypted %d of %d", got, packets)
	}
	return time.Since(start)
}

// BenchmarkDecode is packets per second, as text and as JSON, and side by side
// with tshark, which reads the same capture with the same tables and prints a
// line for each packet. tshark's start, measured with an empty capture, is taken
// off its time: the ratio is of the work alone.
func BenchmarkDecode(b *testing.B) {
	folder := generate(b, benchPackets)
	rate := func(b *testing.B, asJSON bool) {
		b.ReportAllocs()
		var total time.Duration
		for b.Loop() {
			total += decodeAll(b, folder, benchPackets, asJSON)
		}
		b.ReportMetric(float64(benchPackets)*float64(b.N)/total.Seconds(), "packets/s")
	}
	b.Run("text", func(b *testing.B) { rate(b, false) })
	b.Run("json", func(b *testing.B) { rate(b, true) })
	b.Run("tshark", func(b *testing.B) {
		tool := hosttest.Program(b, "tshark")
		empty := generate(b, 0)
		run := func(folder string, packets int) time.Duration {
			command := exec.Command(tool, "-r", filepath.Join(folder, "capture.pcapng"))
			command.Env = append(os.Environ(), "WIRESHARK_CONFIG_DIR="+folder)
			out, err := command.StdoutPipe()
			if err != nil {
				b.Fatal(err)
			}
			start := time.Now()
			if err := command.Start(); err != nil {
				b.Fatal(err)
			}
			lines := 0
			for s := bufio.NewScanner(out); s.Scan(); {
				if bytes.Contains(s.Bytes(), []byte("10.1.0.1")) { // the inner source: it was decrypted
					lines++
				}
			}
			if err := command.Wait(); err != nil {
				b.Fatal(err)
			}
			if lines != packets {
				b.Fatalf("tshark printed %d lines of decrypted packets, not %d", lines, packets)
			}
			return time.Since(start)
		}
		var theirs, ours time.Duration
		for b.Loop() {
			start := run(empty, 0)
			theirs += max(run(folder, benchPackets)-start, time.Millisecond)
			ours += decodeAll(b, folder, benchPackets, false)
		}
		b.ReportMetric(float64(benchPackets)*float64(b.N)/theirs.Seconds(), "packets/s")
		b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")
	})
}
